package gvisor

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// A desk is a recorder with both its ends in the test's hands.
type desk struct {
	*testing.T
	socket, path string
	orders       *io.PipeWriter
	reports      chan report
	done         chan error
}

// open starts a recorder that writes to a file.
func open(t *testing.T, file func(path string) (*os.File, error)) *desk {
	t.Helper()
	folder := t.TempDir()
	d := &desk{T: t, socket: filepath.Join(folder, "s"), path: filepath.Join(folder, "record"), reports: make(chan report), done: make(chan error, 1)}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: d.socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	f, err := file(d.path)
	if err != nil {
		t.Fatal(err)
	}
	control, orders := io.Pipe()
	status, told := io.Pipe()
	d.orders = orders
	go decodeReports(status, d.reports)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	go func() {
		err := Record(ctx, Recording{Listener: listener, File: f, Control: control, Status: told, Clock: clock.NewSystem()})
		_ = told.Close()
		d.done <- err
	}()
	return d
}

func (d *desk) order(o order) {
	d.Helper()
	if err := json.NewEncoder(d.orders).Encode(o); err != nil {
		d.Fatal(err)
	}
}

// connect is what gVisor does.
func (d *desk) connect() *net.UnixConn {
	d.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: d.socket, Net: "unixpacket"})
	if err != nil {
		d.Fatal(err)
	}
	if _, err := conn.Write([]byte{8, 1}); err != nil {
		d.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 10)); err != nil || n != 2 {
		d.Fatal(n, err)
	}
	return conn
}

func (d *desk) send(conn *net.UnixConn, messages ...[]byte) {
	d.Helper()
	for _, m := range messages {
		if _, err := conn.Write(m); err != nil {
			d.Fatal(err)
		}
	}
}

// last waits for the recorder to end, and returns its last report and its record.
func (d *desk) last() (report, *trail.Report, error) {
	d.Helper()
	var last report
	for r := range d.reports {
		last = r
	}
	err := <-d.done
	text, readErr := os.ReadFile(d.path)
	if readErr != nil {
		d.Fatal(readErr)
	}
	return last, verified(d.T, text), err
}

func TestRecord(t *testing.T) {
	d := open(t, os.Create)
	d.order(order{Begin: &trail.Begin{Sandbox: "box"}})
	conn := d.connect()
	d.send(conn, started(1), []byte("junk"), exited(1, 0))
	for r := range d.reports {
		if r.Events == 2 && r.Gaps == 1 {
			break
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	d.order(order{End: &finish{Reason: "exited"}})
	last, record, err := d.last()
	if err != nil || !last.Ended || last.Head != record.Head || record.Events != 2 || record.GapCount != 1 || record.Begin.Sandbox != "box" {
		t.Errorf("%v, %+v, %+v", err, last, record)
	}
}

// TestRecordRunnerLost: a runner that is gone is a gap, and the record ends.
func TestRecordRunnerLost(t *testing.T) {
	d := open(t, os.Create)
	d.order(order{Begin: &trail.Begin{Sandbox: "box"}})
	conn := d.connect()
	d.send(conn, started(1))
	if err := d.orders.Close(); err != nil {
		t.Fatal(err)
	}
	d.send(conn, exited(1, 9)) // the sandbox ends a little later
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	_, record, err := d.last()
	if err != nil || record.End == nil || record.End.Exit != -1 || record.Events != 2 || record.GapCount != 1 || record.Gaps[0].Reason != trail.GapRunner {
		t.Errorf("%v, %+v", err, record)
	}
}

// TestRecordNobodyCame: a sandbox that never connected is a gap, at once.
func TestRecordNobodyCame(t *testing.T) {
	d := open(t, os.Create)
	d.order(order{Begin: &trail.Begin{}})
	<-d.reports
	d.order(order{End: &finish{Exit: -1, Reason: "not started"}})
	_, record, err := d.last()
	if err != nil || record.End == nil || record.GapCount != 1 || record.Gaps[0].Reason != trail.GapNoSession {
		t.Errorf("%v, %+v", err, record)
	}
}

// TestRecordSilent: who connects and says nothing is a fault, which freezes the workload.
func TestRecordSilent(t *testing.T) {
	d := open(t, os.Create)
	d.order(order{Begin: &trail.Begin{}})
	<-d.reports
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: d.socket, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	last, record, err := d.last()
	if err == nil || !strings.Contains(last.Error, "handshake") || record.End != nil {
		t.Errorf("%v, %+v, %+v", err, last, record)
	}
}

// TestRecordCannotWrite: the runner hears of it at once.
func TestRecordCannotWrite(t *testing.T) {
	d := open(t, func(path string) (*os.File, error) {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return nil, err
		}
		return os.Open(path) // for reading
	})
	d.order(order{Begin: &trail.Begin{}})
	last, _, err := d.last()
	if err == nil || last.Error == "" {
		t.Errorf("%v, %+v", err, last)
	}
}

// TestRecordNoBeginning: without one there is no record.
func TestRecordNoBeginning(t *testing.T) {
	d := open(t, os.Create)
	d.order(order{End: &finish{}})
	if last, _, err := d.last(); err == nil || last.Error == "" {
		t.Errorf("%v, %+v", err, last)
	}
}

// BenchmarkReceive is the whole way of an event: from the socket of the sandbox's kernel into the record's file.
func BenchmarkReceive(b *testing.B) {
	folder := b.TempDir()
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unixpacket"})
	if err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(filepath.Join(folder, "record"))
	if err != nil {
		b.Fatal(err)
	}
	control, orders := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Record(b.Context(), Recording{Listener: listener, File: file, Control: control, Status: io.Discard, Clock: clock.NewSystem()})
	}()
	give := json.NewEncoder(orders)
	if err := give.Encode(order{Begin: &trail.Begin{Sandbox: "box"}}); err != nil {
		b.Fatal(err)
	}
	conn := (&desk{T: &testing.T{}, socket: filepath.Join(folder, "s")}).connect()
	message := sent(7, wire{1, wire{1, 1790000000000000000, 2, 12, 4, 12, 8, "/work", 9, "parser", 10, 1}, 2, wire{1, 3}, 3, 257, 4, -100, 6, "/inbox/statement-2026-11-22.xml"})
	for b.Loop() {
		if _, err := conn.Write(message); err != nil {
			b.Fatal(err)
		}
	}
	_ = conn.Close()
	if err := give.Encode(order{End: &finish{}}); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
