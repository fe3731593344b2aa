package gvisor

import (
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// maxTasks bounds the tasks that a recorder follows. A sandbox's limit of processes is lower.
const maxTasks = 1 << 17

// A recorder turns messages of a sandbox's kernel into a record, and knows what is missing. Not safe for concurrent
// use. Its errors are those of the writer below it.
type recorder struct {
	out       io.Writer
	chain     trail.Chain
	line      []byte
	firstLine trail.Hash
	body      []byte

	events, gaps, lost, alerts uint64

	rules  *sandbox.Rules // nil: none
	fields eventFields
	fired  sandbox.Fired // the strictest so far

	witness witness

	dropped uint32 // the kernel's count, as of the last message
	// tasks are those that have begun and not ended, with the process of each. While it is empty, and has not always
	// been, no event can be missing without a count that says so: each comes from a task that is yet to say that it
	// ends, and the count of that message covers all before it.
	tasks    map[int64]int64
	first    claims // of the workload's first task
	started  bool
	executed bool // the first task's process executed a program
	finished bool // the first task's process said how it ended
	status   int64
}

func newRecorder(out io.Writer) *recorder { return &recorder{out: out, tasks: map[int64]int64{}} }

func (r *recorder) append(now uint64, kind trail.Kind, body []byte) error {
	r.line = r.chain.Append(r.line[:0], now, kind, body)
	if _, err := r.out.Write(r.line); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return nil
}

func (r *recorder) begin(now uint64, b trail.Begin) error {
	b.Format = trail.Format
	err := r.append(now, trail.KindBegin, trail.Body(b))
	r.firstLine, _ = r.chain.Head()
	return err
}

func (r *recorder) gap(now uint64, g trail.Gap) error {
	r.gaps++
	r.lost += g.Lost
	return r.append(now, trail.KindGap, trail.Body(g))
}

// message records one message: an event, after a gap if the kernel lost some before it, or a gap if it is no event.
func (r *recorder) message(now uint64, message []byte) error {
	h, payload, err := parseHeader(message)
	if err != nil {
		return r.malformed(now, message, err)
	}
	var c claims
	r.body, c, err = appendEvent(r.body[:0], h.kind, payload)
	if err != nil {
		return r.malformed(now, message, err)
	}
	// The count is the kernel's own and wraps around.
	if lost := h.dropped - r.dropped; lost > 0 {
		r.dropped = h.dropped
		if err := r.missed(now, trail.Gap{Reason: trail.GapDropped, Lost: uint64(lost)}); err != nil {
			return err
		}
	}
	r.follow(h.kind, c)
	r.events++
	if err := r.append(now, trail.KindEvent, r.body); err != nil || r.rules == nil {
		return err
	}
	return r.judge(now, h.kind, payload)
}

func (r *recorder) malformed(now uint64, message []byte, err error) error {
	return r.missed(now, trail.Gap{
		Reason: trail.GapMalformed, Lost: 1,
		Detail: fmt.Sprintf("%d bytes, SHA-256 %x: %v", len(message), sha256.Sum256(message), err),
	})
}

// follow keeps the set of tasks.
func (r *recorder) follow(kind uint16, c claims) {
	switch kind {
	case msgStart:
		if !r.started {
			r.started, r.first = true, c
		}
	case msgExit:
		delete(r.tasks, c.task)
		if c.process == r.first.process {
			r.finished, r.status = true, c.status
		}
		return
	case msgExec:
		// A new program ends the other tasks of its process, and the one that goes on takes the process's number.
		for task, process := range r.tasks {
			if process == c.process {
				delete(r.tasks, task)
			}
		}
		c.task = c.process
		r.executed = r.executed || c.process == r.first.process
	case msgConnect:
		if c.connected {
			r.witness.connected(c.address)
		}
	case msgClone:
		r.add(c.newTask, c.newProcess)
	}
	r.add(c.task, c.process)
}

func (r *recorder) add(task, process int64) {
	if len(r.tasks) < maxTasks {
		r.tasks[task] = process
	}
}

// end compares what the events claim with what the host saw, and writes the last line. An exit below zero is not
// known.
func (r *recorder) end(now uint64, exit int, reason string) error {
	var gaps []trail.Gap
	claimed := exitCode(r.status)
	switch {
	case !r.started && r.events == 0:
		gaps = append(gaps, trail.Gap{Reason: trail.GapNoSession})
	case len(r.tasks) > 0 || !r.started:
		gaps = append(gaps, trail.Gap{Reason: trail.GapOpenTasks, Detail: fmt.Sprintf("%d tasks did not say that they ended", len(r.tasks))})
	case r.finished && exit >= 0 && exit != claimed:
		gaps = append(gaps, trail.Gap{Reason: trail.GapExitCode, Detail: fmt.Sprintf("claimed %d, the host saw %d", claimed, exit)})
	}
	for _, g := range gaps {
		if err := r.gap(now, g); err != nil {
			return err
		}
	}
	return r.append(now, trail.KindEnd, trail.Body(trail.End{
		Exit: exit, Reason: reason, Events: r.events, Gaps: r.gaps, Lost: r.lost, Alerts: r.alerts,
	}))
}

// exitCode is a status of wait(2) as shells give it.
func exitCode(status int64) int {
	if signal := int(status & 0x7f); signal != 0 {
		return 128 + signal
	}
	return int(status >> 8 & 0xff)
}
