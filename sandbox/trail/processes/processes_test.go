package processes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/trail"
	"github.com/sterlingrun/sterling/sandbox/trail/processes"
)

// told is a tree of a record with these events.
type told struct {
	processes.Tree
	seq uint64
}

func (t *told) event(process, parent, task int64, point, rest string) {
	t.seq++
	body := fmt.Sprintf(`{"point":%q,"context":{"task":%d,"process":%d,"process_started":%d,"parent":%d,"user":{"euid":65534}}%s}`, point, task, process, 1000+process, parent, rest)
	t.Add(trail.Record{Seq: t.seq, Time: 100 * t.seq, Kind: trail.KindEvent, Body: []byte(body)})
}

func TestATreeOfProcesses(t *testing.T) {
	var r told
	r.event(1, 0, 1, "start", `,"argv":["/bin/sh","-c","x"]`)
	r.event(1, 0, 1, "clone", `,"new_task":2,"new_process":2,"new_started":1002`)
	r.event(2, 1, 2, "exec", `,"path":"/bin/ls","argv":["ls","/"],"sha256":"ab"`)
	r.event(1, 0, 1, "clone", `,"new_task":3,"new_process":1,"new_started":1001`) // a thread
	r.event(2, 1, 2, "exit", `,"status":256`)
	r.event(1, 0, 1, "exit", `,"status":512`) // its thread goes on
	list, forgotten := r.List()
	want := []processes.Process{
		{ID: 1, Path: "/bin/sh", Argv: []string{"/bin/sh", "-c", "x"}, UID: 65534, Began: 100, Line: 1, Status: 512},
		{ID: 2, Parent: 1, Path: "/bin/ls", Argv: []string{"ls", "/"}, SHA256: "ab", UID: 65534, Began: 200, Ended: 500, Status: 256, Line: 3},
	}
	same := func(a, b processes.Process) bool { return fmt.Sprint(a) == fmt.Sprint(b) }
	if !slices.EqualFunc(list, want, same) || forgotten != 0 {
		t.Errorf("%+v\nwant %+v", list, want)
	}
	r.event(1, 0, 3, "exit", ``)
	if list, _ = r.List(); list[0].Ended != 700 {
		t.Errorf("its last thread has ended: %+v", list[0])
	}
}

// TestABoundedTree: what runs is kept for longer than what has ended, and no text is longer than its bound.
func TestABoundedTree(t *testing.T) {
	var r told
	r.event(1, 0, 1, "start", `,"argv":["/first"]`)
	for i := range int64(processes.Most + 5) {
		r.event(1, 0, 1, "clone", fmt.Sprintf(`,"new_task":%d,"new_process":%d,"new_started":%d`, i+2, i+2, 1000+i+2))
		r.event(i+2, 1, i+2, "exit", ``)
	}
	list, forgotten := r.List()
	if len(list) != processes.Most || forgotten != 6 || list[0].ID != 1 || list[1].ID != 8 {
		t.Errorf("%d processes, %d forgotten, from %+v", len(list), forgotten, list[:2])
	}
	var long told
	long.event(1, 0, 1, "start", fmt.Sprintf(`,"argv":[%q]`, strings.Repeat("x", 5000)))
	if list, _ := long.List(); len(list[0].Argv[0]) > 4096 {
		t.Error("an argument is longer than its bound")
	}
}

func FuzzTree(f *testing.F) {
	f.Add(`{"point":"start","context":{"process":1,"task":1},"argv":["a"]}`)
	f.Add(`{"point":"clone","context":{"process":1,"task":1},"new_process":1,"new_task":9}`)
	f.Add(`{"point":"exit","context":{"process":-1,"task":-1},"status":1}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		var tree processes.Tree
		for i := range 3 {
			tree.Add(trail.Record{Seq: uint64(i), Time: uint64(i), Kind: trail.KindEvent, Body: []byte(body)})
		}
		if list, _ := tree.List(); len(list) > 6 {
			t.Errorf("%d processes of three lines", len(list))
		}
	})
}
