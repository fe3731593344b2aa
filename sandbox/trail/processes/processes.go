// Package processes tells from the lines of a record which processes a sandbox had: what each executed, with its SHA-256,
// who began it, and how it ended. It believes what the record says, which the sandbox's own kernel told; whether the record
// is what was written is for package trail to say first. It does no I/O. Start reading at Tree.
package processes

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Most is how many processes a Tree keeps. Beyond that, those that ended first are forgotten, and counted.
const Most = 2048

// mostText bounds each text of a process, in bytes, and mostArguments how many arguments are kept.
const (
	mostText      = 4096
	mostArguments = 64
)

// Process is one of a sandbox.
type Process struct {
	ID     int64 // in the sandbox; given again after it has ended
	Parent int64 // 0: the sandbox began it, or the record does not tell
	Path   string
	Argv   []string
	SHA256 string // of the file that was executed; empty: the record does not tell, as of a cold start's first command
	UID    uint32 // effective
	// Session says that it, or who began it, came in by an exec from outside.
	Session bool
	Began   uint64 // time of the line that told of it first, ns since 1970
	Ended   uint64 // 0: it runs, as far as the record goes
	Status  uint32 // as wait(2) gives it; of one that has ended
	Line    uint64 // number of the line with its last execution, or its first one
}

// Tree are the processes of one record. Its zero value is empty. Not safe for concurrent use.
type Tree struct {
	list      []*process // in the order of their beginnings
	forgotten uint64
}

type process struct {
	Process
	started uint64         // by the sandbox's clock: with the id, it names the process
	tasks   map[int64]bool // that run
}

// event is what is read of an event's body.
type event struct {
	Point   string `json:"point"`
	Context struct {
		Task    int64  `json:"task"`
		Process int64  `json:"process"`
		Started uint64 `json:"process_started"`
		Parent  int64  `json:"parent"`
		Session string `json:"exec_session"`
		User    struct {
			EUID uint32 `json:"euid"`
		} `json:"user"`
	} `json:"context"`
	Path       string   `json:"path"`
	Argv       []string `json:"argv"`
	SHA256     string   `json:"sha256"`
	NewTask    int64    `json:"new_task"`
	NewProcess int64    `json:"new_process"`
	NewStarted uint64   `json:"new_started"`
	Status     uint32   `json:"status"`
}

// Add takes a line into account. Lines come in the order of the record. What is no event, or can't be read as one, changes
// nothing.
func (t *Tree) Add(r trail.Record) {
	var e event
	if r.Kind != trail.KindEvent || json.Unmarshal(r.Body, &e) != nil || e.Context.Process == 0 {
		return
	}
	p := t.find(e.Context.Process, e.Context.Started)
	if p == nil {
		p = t.begin(e.Context.Process, e.Context.Started, e.Context.Parent, r)
		p.Session = e.Context.Session != ""
	}
	p.UID = e.Context.User.EUID
	switch e.Point {
	case "start", "exec":
		p.Path, p.Argv, p.SHA256, p.Line = cut(e.Path), cutAll(e.Argv), cut(e.SHA256), r.Seq
		if p.Path == "" && len(p.Argv) > 0 {
			p.Path = p.Argv[0]
		}
	case "clone":
		t.cloned(p, &e, r)
	case "exit":
		if delete(p.tasks, e.Context.Task); e.Context.Task == p.ID {
			p.Status = e.Status
		}
		if len(p.tasks) == 0 {
			p.Ended = r.Time
		}
		return
	}
	p.tasks[e.Context.Task] = true
}

func (t *Tree) cloned(by *process, e *event, r trail.Record) {
	if e.NewProcess == by.ID {
		by.tasks[e.NewTask] = true
		return
	}
	if e.NewProcess == 0 || t.find(e.NewProcess, e.NewStarted) != nil {
		return // its own first event came before
	}
	p := t.begin(e.NewProcess, e.NewStarted, by.ID, r)
	p.tasks[e.NewTask] = true
	p.Path, p.Argv, p.SHA256, p.UID, p.Session = by.Path, by.Argv, by.SHA256, by.UID, by.Session
}

func (t *Tree) find(id int64, started uint64) *process {
	for _, p := range slices.Backward(t.list) {
		if p.ID == id && p.started == started {
			return p
		}
	}
	return nil
}

func (t *Tree) begin(id int64, started uint64, parent int64, r trail.Record) *process {
	if len(t.list) == Most {
		t.forget()
	}
	p := &process{Process: Process{ID: id, Parent: parent, Began: r.Time, Line: r.Seq}, started: started, tasks: map[int64]bool{}}
	t.list = append(t.list, p)
	return p
}

// forget makes room: the process that ended first goes, or, where all of them run, the oldest.
func (t *Tree) forget() {
	first := 0
	for i, p := range t.list {
		if p.Ended != 0 && (t.list[first].Ended == 0 || p.Ended < t.list[first].Ended) {
			first = i
		}
	}
	t.list = slices.Delete(t.list, first, first+1)
	t.forgotten++
}

// List returns the processes in the order of their beginnings, and how many were forgotten.
func (t *Tree) List() (list []Process, forgotten uint64) {
	list = make([]Process, len(t.list))
	for i, p := range t.list {
		list[i] = p.Process
	}
	return list, t.forgotten
}

func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), mostText)], "") }

func cutAll(list []string) []string {
	out := make([]string, 0, min(len(list), mostArguments))
	for _, s := range list[:min(len(list), mostArguments)] {
		out = append(out, cut(s))
	}
	return out
}
