package gvisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Recording is what Record needs. Record closes Listener and File.
type Recording struct {
	Listener *net.UnixListener // unixpacket; the sandbox's kernel connects once
	File     *os.File          // the record, empty
	Control  io.Reader         // orders of the runner; its end means that the runner is gone
	Status   io.Writer         // reports to the runner
	Clock    clock.Clock
}

// Orders and reports are lines of JSON.
type (
	order struct {
		Begin  *trail.Begin `json:"begin,omitempty"`
		Policy []byte       `json:"policy,omitempty"` // with Begin: the document, for its rules
		Freeze string       `json:"freeze,omitempty"` // with Begin: the file that freezes the sandbox
		Frozen string       `json:"frozen,omitempty"` // and what to write there
		Host   *trail.Host  `json:"host,omitempty"`
		End    *finish      `json:"end,omitempty"`
	}
	finish struct {
		Exit   int    `json:"exit"`
		Reason string `json:"reason"`
		// Host is the last account; nil: none.
		Host *trail.Host `json:"host,omitempty"`
	}
	report struct {
		Events uint64 `json:"events"`
		Gaps   uint64 `json:"gaps"`
		Lost   uint64 `json:"lost"`
		Alerts uint64 `json:"alerts"`
		Head   string `json:"head"` // of what is in the file
		Kept   kept   `json:"kept"` // of what is on the disk
		// Action is the strictest that rules ask for, and Rule the one; empty: none fired.
		Action sandbox.Action `json:"action,omitempty"`
		Rule   string         `json:"rule,omitempty"`
		// Executed: a program took the place of the one that the sandbox was started with.
		Executed bool   `json:"executed,omitempty"`
		Ended    bool   `json:"ended,omitempty"` // the last report
		Error    string `json:"error,omitempty"` // so is this
	}
)

const (
	beat             = 100 * time.Millisecond // between reports
	syncEvery        = 10                     // beats between two syncs of the file
	maxRecorderOrder = 256 << 10              // bytes of an order
	drainTime        = 5 * time.Second        // for messages that are on their way when the sandbox has ended
)

// Record writes the record of one sandbox until it has ended. It is a process of its own, so that a runner that is
// killed leaves a record that says so. An error means that events may be lost from now on: the caller ends the process,
// and the runner then freezes the sandbox.
func Record(ctx context.Context, r Recording) error {
	s := &recordServer{Recording: r, out: bufio.NewWriterSize(r.File, 1<<16), gone: make(chan struct{}), failed: make(chan error, 2), begun: make(chan struct{})}
	s.rec = newRecorder(s.out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.run(ctx)
	if err != nil {
		s.report(report{Error: err.Error()})
	}
	if closed := r.Listener.Close(); !errors.Is(closed, net.ErrClosed) {
		err = errors.Join(err, closed)
	}
	return errors.Join(err, r.File.Close())
}

type recordServer struct {
	Recording
	mu     sync.Mutex // of out and rec
	out    *bufio.Writer
	rec    *recorder
	kept   kept
	freeze order         // how
	saying sync.Mutex    // of reports: each is newer than the one before it
	begun  chan struct{} // closed when the record has a beginning
	gone   chan struct{} // closed when the sandbox's kernel has closed its connection
	failed chan error
}

func (s *recordServer) run(ctx context.Context) error {
	orders := make(chan order)
	go s.readOrders(ctx, orders)
	go s.receive(ctx)
	begin, ok := <-orders
	if !ok || begin.Begin == nil {
		return errors.New("the runner gave no beginning")
	}
	if err := s.begin(&begin); err != nil {
		return err
	}
	if err := s.flush(true); err != nil {
		return err
	}
	close(s.begun)
	for beats := 0; ; beats++ {
		if err := s.flush(beats%syncEvery == 0); err != nil {
			return err
		}
		s.report(report{})
		tick, stop := s.Clock.After(beat)
		select {
		case <-tick:
		case err := <-s.failed:
			stop()
			return err
		case o, ok := <-orders:
			stop()
			if !ok {
				return s.end(ctx, finish{Exit: -1, Reason: "runner lost"}, true)
			}
			if o.End != nil {
				return s.end(ctx, *o.End, false)
			}
			if o.Host != nil {
				if err := s.locked(func() error { return s.rec.host(s.Clock.Wall(), o.Host, false) }); err != nil {
					return err
				}
			}
		}
	}
}

// readOrders ends with the runner, or with the process.
func (s *recordServer) readOrders(ctx context.Context, orders chan<- order) {
	defer close(orders)
	lines := bufio.NewScanner(s.Control)
	lines.Buffer(nil, maxRecorderOrder)
	for lines.Scan() {
		var o order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			return
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return
		}
	}
}

// receive takes messages from the first connection, which gVisor makes before the workload starts. There is no other.
func (s *recordServer) receive(ctx context.Context) {
	defer close(s.gone)
	conn, err := s.Listener.AcceptUnix()
	_ = s.Listener.Close() // Record closes it, too
	if err != nil {
		return // closed before a sandbox came
	}
	defer conn.Close() //nolint:errcheck // only read from
	buffer := make([]byte, maxMessage+1)
	if _, _, _, _, err := conn.ReadMsgUnix(buffer, nil); err != nil {
		s.failed <- fmt.Errorf("read the handshake: %w", err)
		return
	}
	// Handshake{version: 1}; https://github.com/google/gvisor/blob/master/pkg/sentry/seccheck/points/common.proto
	if _, err := conn.Write([]byte{1 << 3, 1}); err != nil {
		s.failed <- fmt.Errorf("answer the handshake: %w", err)
		return
	}
	// A sandbox of a pool is there before its record is: the messages of its start wait in the socket.
	select {
	case <-s.begun:
	case <-ctx.Done():
		return
	}
	for {
		// A message beyond the buffer comes cut, with a length that parseHeader refuses.
		n, _, _, _, err := conn.ReadMsgUnix(buffer, nil)
		if err != nil || n == 0 {
			return
		}
		if err := s.message(buffer[:n]); err != nil {
			s.failed <- err
			return
		}
	}
}

func (s *recordServer) locked(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

func (s *recordServer) flush(sync bool) error {
	var now kept
	err := s.locked(func() error {
		now = s.rec.kept()
		return s.out.Flush()
	})
	if err == nil && sync {
		err = s.File.Sync()
	}
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	if sync {
		return s.locked(func() error { s.kept = now; return nil })
	}
	return nil
}

// end takes what is on its way, and writes the last line.
func (s *recordServer) end(ctx context.Context, f finish, runnerLost bool) error {
	_ = s.Listener.Close() // who has not come, comes no more; Record closes it, too
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	select {
	case <-s.gone:
	case err := <-s.failed:
		return err
	case <-ctx.Done():
	}
	err := s.locked(func() error {
		now := s.Clock.Wall()
		if runnerLost {
			if err := s.rec.gap(now, trail.Gap{Reason: trail.GapRunner}); err != nil {
				return err
			}
		}
		if f.Host != nil {
			if err := s.rec.host(now, f.Host, true); err != nil {
				return err
			}
		}
		return s.rec.end(now, f.Exit, f.Reason)
	})
	if err == nil {
		err = s.flush(true)
	}
	if err == nil {
		s.report(report{Ended: true})
	}
	return err
}

// report tells the runner how far the record is. A runner that is gone is noticed elsewhere.
func (s *recordServer) report(r report) {
	s.saying.Lock()
	defer s.saying.Unlock()
	_ = s.locked(func() error {
		head, _ := s.rec.chain.Head()
		r.Events, r.Gaps, r.Lost, r.Head = s.rec.events, s.rec.gaps, s.rec.lost, head.String()
		r.Alerts, r.Action, r.Rule, r.Kept = s.rec.alerts, s.rec.fired.Action, s.rec.fired.Rule, s.kept
		r.Executed = s.rec.executed
		return nil
	})
	line, err := json.Marshal(r)
	if err == nil {
		_, _ = s.Status.Write(append(line, '\n'))
	}
}
