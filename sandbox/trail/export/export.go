// Package export writes the lines of a verified record in the formats of other systems: lines of JSON, CEF, OCSF, and
// OpenTelemetry logs. Each names the record, the line and its hash, so that what arrives there can be found again in
// the record, which alone is proof.
//
// It reads and sends nothing, and changes no content beyond what a format demands. Which field goes where is in
// docs/sandbox-export.md. Start reading at Exporter.
package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Format is one of the formats.
type Format string

// The formats.
const (
	JSONL Format = "jsonl" // an object a line
	CEF   Format = "cef"   // ArcSight Common Event Format, version 0
	OCSF  Format = "ocsf"  // an object a line, Open Cybersecurity Schema Framework 1.3
	OTel  Format = "otel"  // OTLP/JSON, a request of one log record a line
)

// Formats are all of them.
var Formats = []Format{JSONL, CEF, OCSF, OTel}

// ErrFormat is a format that there is not.
var ErrFormat = errors.New("want jsonl, cef, ocsf or otel")

// Exporter writes the lines of one record, from the first on.
type Exporter struct {
	write func(dst []byte, l *line) ([]byte, error)
	begin trail.Begin
	first trail.Hash
}

// New makes an exporter for one record.
func New(f Format) (*Exporter, error) {
	e := &Exporter{}
	switch f {
	case JSONL:
		e.write = jsonLine
	case CEF:
		e.write = cefLine
	case OCSF:
		e.write = ocsfLine
	case OTel:
		e.write = func(dst []byte, l *line) ([]byte, error) { return Request(dst, []LogRecord{logRecord(l)}) }
	default:
		return nil, fmt.Errorf("format %.40q: %w", f, ErrFormat)
	}
	return e, nil
}

// Append appends a line in the format, its newline included.
func (e *Exporter) Append(dst []byte, r trail.Record) ([]byte, error) {
	l, err := e.read(r)
	if err != nil {
		return dst, err
	}
	return e.write(dst, l)
}

// LogRecord returns a line as OpenTelemetry has it, to be sent with others by Request.
func (e *Exporter) LogRecord(r trail.Record) (LogRecord, error) {
	l, err := e.read(r)
	if err != nil {
		return LogRecord{}, err
	}
	return logRecord(l), nil
}

// line is a line of a record, read.
type line struct {
	trail.Record
	*Exporter
	event // of an event
	gap   trail.Gap
	alert trail.Alert
	end   trail.End
}

// event is what formats use of an event. What they have no place for stays in the body.
type event struct {
	Point   string `json:"point"`
	Context struct {
		At      uint64 `json:"at"`
		Process int64  `json:"process"`
		Parent  int64  `json:"parent"`
		Folder  string `json:"folder"`
		Command string `json:"command"`
		User    struct {
			UID  uint64 `json:"uid"`
			EUID uint64 `json:"euid"`
		} `json:"user"`
	} `json:"context"`
	Exit *struct {
		Result int64 `json:"result"`
		Errno  int64 `json:"errno"`
	} `json:"exit"`
	Path       string   `json:"path"`
	Argv       []string `json:"argv"`
	SHA256     string   `json:"sha256"`
	Address    string   `json:"address"`
	NewProcess int64    `json:"new_process"`
	Status     int64    `json:"status"`
	Flags      int64    `json:"flags"`
}

// failed tells whether a call failed.
func (e *event) failed() bool { return e.Exit != nil && e.Exit.Errno != 0 }

func (e *Exporter) read(r trail.Record) (*line, error) {
	l := &line{Record: r, Exporter: e}
	var into any
	switch r.Kind {
	case trail.KindBegin:
		into, e.first = &e.begin, r.Hash
	case trail.KindEvent:
		into = &l.event
	case trail.KindGap:
		into = &l.gap
	case trail.KindAlert:
		into = &l.alert
	case trail.KindEnd:
		into = &l.end
	default:
		return l, nil
	}
	if err := json.Unmarshal(r.Body, into); err != nil {
		return nil, fmt.Errorf("read line %d of the record: %w", r.Seq, err)
	}
	return l, nil
}

// name is what the line is called: "exec" of an event, else its kind.
func (l *line) name() string {
	if l.Kind == trail.KindEvent {
		return l.Point
	}
	return string(l.Kind)
}

// at is when it happened: an event's own time where it has one.
func (l *line) at() uint64 {
	if l.Kind == trail.KindEvent && l.Context.At > 0 {
		return l.Context.At
	}
	return l.Time
}

// message is the line in words.
func (l *line) message() string {
	switch l.Kind {
	case trail.KindBegin:
		return "sandbox " + l.begin.Sandbox + " begins, " + l.begin.Isolation
	case trail.KindGap:
		return strings.TrimSpace(fmt.Sprintf("the record is not complete: %s, %d events known to be lost. %s", l.gap.Reason, l.gap.Lost, l.gap.Detail))
	case trail.KindAlert:
		why := ""
		if l.alert.Fault != "" {
			why = ", could not be decided: " + l.alert.Fault
		}
		return fmt.Sprintf("rule %s fired (%s) for line %d%s", l.alert.Rule, l.alert.Action, l.alert.Of, why)
	case trail.KindHost:
		return "what the host saw"
	case trail.KindEnd:
		return fmt.Sprintf("sandbox %s ended: %s, exit status %d", l.begin.Sandbox, l.end.Reason, l.end.Exit)
	}
	what := l.Path + l.Address
	if len(l.Argv) > 0 {
		what = strings.Join(l.Argv, " ")
	}
	return strings.TrimSpace(l.Context.Command + " " + l.Point + " " + what)
}

// gravity is how grave a line is, from 1 (it happened) to 5 (the workload was killed).
func (l *line) gravity() int {
	switch {
	case l.Kind == trail.KindAlert && l.alert.Action == "kill":
		return 5
	case l.Kind == trail.KindAlert && l.alert.Action == "pause", l.Kind == trail.KindGap:
		return 4
	case l.Kind == trail.KindAlert:
		return 3
	}
	return 1
}

// jsonLine is the line with the name of its record and its hash.
func jsonLine(dst []byte, l *line) ([]byte, error) {
	named := struct {
		Sandbox string          `json:"sandbox"`
		First   trail.Hash      `json:"record"`
		Hash    trail.Hash      `json:"hash"`
		Seq     uint64          `json:"seq"`
		Time    uint64          `json:"time"`
		Kind    trail.Kind      `json:"kind"`
		Body    json.RawMessage `json:"body"`
	}{l.begin.Sandbox, l.first, l.Hash, l.Seq, l.Time, l.Kind, l.Body}
	return appendJSON(dst, &named)
}

func appendJSON(dst []byte, v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return dst, fmt.Errorf("encode a line: %w", err)
	}
	return append(dst, b.Bytes()...), nil
}

// number writes a number as protobuf's JSON and CEF have it.
func number[T int64 | uint64 | int](n T) string {
	if n < 0 {
		return strconv.FormatInt(int64(n), 10)
	}
	return strconv.FormatUint(uint64(n), 10)
}
