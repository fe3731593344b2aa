package ownkernel

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// patience bounds what must happen.
const patience = 20 * time.Second

// hostile is a machine whose guest the test plays.
type hostile struct {
	t     *testing.T
	m     *Machine
	guest *yamux.Session
	ended func()
}

// booted plays a guest until the workload has been asked for; its stream is the second result.
func booted(t *testing.T, sockets ...sandbox.Socket) (*hostile, net.Conn) {
	t.Helper()
	ours, theirs := net.Pipe()
	recorder, told := net.Pipe()
	go func() { _, _ = io.Copy(io.Discard, told) }()
	policy := &sandbox.Policy{Command: []string{"/x"}}
	policy.Network.Sockets = sockets
	m := &Machine{
		options: Options{Folder: t.TempDir(), Cgroup: "sterling-test/" + t.Name(), Policy: policy, Stdout: io.Discard, Stderr: io.Discard},
		console: &tail{}, ended: make(chan struct{}), exited: make(chan int, 1), told: make(chan struct{}),
	}
	if err := m.talk(ours); err != nil {
		t.Fatal(err)
	}
	guest, err := yamux.Server(theirs, protocol.Config())
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t, m: m, guest: guest, ended: func() { close(m.ended) }}
	go m.keep(protocol.Boot{}, recorder)
	h.asked(protocol.Ready)
	return h, h.asked(0)
}

// asked takes an order, and answers it where there is an answer.
func (h *hostile) asked(answer protocol.Kind) net.Conn {
	h.t.Helper()
	stream, err := h.guest.Accept()
	var o protocol.Order
	if err == nil {
		err = protocol.ReadAsk(stream, protocol.MaxOrder, &o)
	}
	if err == nil && answer != 0 {
		err = protocol.Write(stream, answer, nil)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return stream
}

func (h *hostile) exit() int {
	h.t.Helper()
	select {
	case exit := <-h.m.Exited():
		return exit
	case <-time.After(patience):
		h.t.Fatal("the end of the machine is not told")
	}
	return 0
}

// TestHeldConnection: a service of the host that keeps a connection open does not keep a machine that has ended.
func TestHeldConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h, workload := booted(t, sandbox.Socket{Name: "bank", Path: path})
	call, err := h.guest.Open()
	if err == nil {
		err = protocol.WriteAsk(call, protocol.Call{Socket: "bank"})
	}
	if err != nil {
		t.Fatal(err)
	}
	held, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if k, _, err := protocol.Read(call, 0); err != nil || k != protocol.Ready {
		t.Fatalf("%d, %v", k, err)
	}
	if _, err := call.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := protocol.Write(workload, protocol.Exit, []byte{7}); err != nil {
		t.Fatal(err)
	}
	h.ended()
	if exit := h.exit(); exit != 7 {
		t.Errorf("exit %d", exit)
	}
	if said, err := io.ReadAll(held); string(said) != "last words" {
		t.Errorf("%q, %v", said, err)
	}
}

// TestPing: a guest that pings is cut off before the host keeps anything for it.
func TestPing(t *testing.T) {
	h, _ := booted(t)
	answered := make(chan error, 1)
	go func() {
		_, err := h.guest.Ping()
		answered <- err
	}()
	select {
	case err := <-answered:
		if err == nil {
			t.Error("a ping was answered")
		}
	case <-time.After(patience):
		t.Fatal("a guest that pings goes on")
	}
	h.ended()
	if exit := h.exit(); exit == 0 || !strings.Contains(h.m.Said(), "pings") {
		t.Errorf("exit %d: %s", exit, h.m.Said())
	}
}

// TestOpenStreams: a guest that opens connections and never closes them is ended, before what they keep is much.
func TestOpenStreams(t *testing.T) {
	h, _ := booted(t)
	for n := range 100 * maxKept {
		stream, err := h.guest.OpenStream()
		if err == nil {
			err = protocol.Write(stream, protocol.Exit, nil) // no call: the host closes it, and this end does not
		}
		if err == nil && n%32 == 0 { // until the host has taken it, or takes nothing more
			_ = stream.SetReadDeadline(time.Now().Add(time.Second))
			_, _ = io.ReadAll(stream)
		}
		if strings.Contains(h.m.Said(), "does not close") {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(h.m.Said(), "does not close") {
		t.Errorf("the host keeps %d streams", h.m.mux.NumStreams())
	}
	if n := h.m.mux.NumStreams(); n > maxKept+protocol.Config().AcceptBacklog+1 {
		t.Errorf("the host keeps %d streams", n)
	}
	if err := h.guest.Close(); err != nil {
		t.Error(err)
	}
	h.ended()
	h.exit()
}

// TestGuardedPieces: heads and data are told apart however they come.
func TestGuardedPieces(t *testing.T) {
	data := append([]byte{0, frameData, 0, 0, 0, 0, 0, 2, 0, 0, 0, 14}, make([]byte, 14)...)
	data[frameHead+frameTypeAt] = framePing // in the data: no ping
	ping := []byte{0, framePing, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1}
	for piece := 1; piece < 30; piece++ {
		g := &guard{}
		text := append(append([]byte{}, data...), data...)
		for len(text) > 0 {
			n := min(piece, len(text))
			if err := g.look(text[:n]); err != nil {
				t.Fatalf("pieces of %d: %v", piece, err)
			}
			text = text[n:]
		}
		if err := g.look(ping); err == nil {
			t.Errorf("pieces of %d: a ping goes through", piece)
		}
	}
}

// TestSaidIsPlain: what a machine says gives no orders to the terminal of who reads it.
func TestSaidIsPlain(t *testing.T) {
	h, workload := booted(t)
	if err := protocol.Write(workload, protocol.Fault, []byte("no\x1b[2J such\r\xff file"+strings.Repeat("x", 10000))); err != nil {
		t.Fatal(err)
	}
	h.ended()
	if exit, said := h.exit(), h.m.Said(); exit != -1 || !strings.Contains(said, "no?[2J such?") || strings.ContainsAny(said, "\x1b\r") || len(said) > 2*maxSaid {
		t.Errorf("exit %d: %q", exit, said)
	}
	c := &tail{}
	if _, err := c.Write([]byte("panic\x1b]0;x\a\nat once\n")); err != nil || c.String() != "panic?]0;x?\nat once" {
		t.Errorf("%q, %v", c, err)
	}
}
