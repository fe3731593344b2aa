package gvisor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// socketPolicy has two sockets, and a rule that gives differences their action.
const socketPolicy = "version: 1\nname: a\nroot: {directory: /r}\ncommand: [x]\nlimits: {cpu: 1, memory: 64MiB, processes: 64}\n" +
	"network: {sockets: [{name: bank, path: /b}, {name: mail, path: /m}]}\naudit: {rules: [{name: r, on: exec, when: 'false', action: pause}]}\n"

func sockaddr(path string) string {
	return string(binary.LittleEndian.AppendUint16(nil, familyUnix)) + path + "\x00"
}

// connect is a message of one that succeeded, or failed with an errno.
func connect(path string, errno int) []byte {
	return sent(msgConnect, wire{1, wire{2, 1, 4, 1}, 2, wire{2, errno}, 4, 7, 6, sockaddr(path)})
}

func counted(n uint64) *uint64 { return &n }

// recorded runs a recorder over messages and a last account, and returns its record, and the action that it asks for.
func recorded(t *testing.T, last *trail.Host, messages ...[]byte) (*trail.Report, report) {
	t.Helper()
	d := open(t, os.Create)
	d.order(order{Begin: &trail.Begin{Sandbox: "box"}, Policy: []byte(socketPolicy)})
	conn := d.connect()
	d.send(conn, started(1))
	d.send(conn, messages...)
	d.send(conn, exited(1, 0))
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	d.order(order{End: &finish{Reason: "exited", Host: last}})
	said, record, err := d.last()
	if err != nil {
		t.Fatal(err)
	}
	return record, said
}

func saw(bank, mail uint64) *trail.Host {
	return &trail.Host{Egress: []trail.Egress{{Name: "bank", Connections: bank, Sent: 10}, {Name: "mail", Connections: mail}}, Network: counted(0)}
}

// TestWitness: what the host saw is what the sandbox's kernel claims, or the record says that it is not. Planted: a
// stream of events from which a connect was removed.
func TestWitness(t *testing.T) {
	bank, mail := connect("/run/services/bank", 0), connect("/run/services/mail", 0)
	for _, c := range []struct {
		what     string
		host     *trail.Host
		messages [][]byte
		want     string // in the gap; empty: none
	}{
		{"as it was", saw(2, 1), [][]byte{bank, mail, bank}, ""},
		{"a connect removed", saw(2, 1), [][]byte{bank, mail}, "the host saw 1 connections that no event tells of"},
		{"all removed", saw(2, 1), nil, "the host saw 3 connections"},
		{"one made up", saw(1, 0), [][]byte{bank, bank}, "events tell of 2 connections to bank, the host saw 1"},
		{"one to another socket", saw(1, 0), [][]byte{mail}, "the host saw 1 connections"},
		{"one that failed", saw(1, 0), [][]byte{bank, connect("/run/services/bank", 111)}, ""},
		{"one by another name", saw(1, 0), [][]byte{connect("services/bank", 0)}, ""},
		{"others than seen", saw(2, 0), [][]byte{connect("services/bank", 0)}, "the host saw 1 connections"},
		{"a network", &trail.Host{Network: counted(40)}, nil, "40 bytes went through a network"},
		{"the host's network", &trail.Host{Leaked: true}, nil, "in the host's network"},
	} {
		record, said := recorded(t, c.host, c.messages...)
		if c.want == "" {
			if !record.Complete() || record.Alerts != 0 {
				t.Errorf("%s: %+v", c.what, record)
			}
			continue
		}
		if record.Complete() || record.GapCount == 0 || record.Gaps[0].Reason != trail.GapHost || !strings.Contains(record.Gaps[0].Detail, c.want) {
			t.Errorf("%s: %+v", c.what, record)
		}
		if record.Alerts != record.GapCount || said.Rule != RuleWitness || said.Action != "pause" {
			t.Errorf("%s: %d alerts, asks for %q by %q", c.what, record.Alerts, said.Action, said.Rule)
		}
	}
}

// TestWitnessInTime: what is on its way at one account has to be claimed, or seen, by the next, and a difference is told
// once.
func TestWitnessInTime(t *testing.T) {
	w := &witness{claimed: map[string]uint64{"bank": 0}}
	bank := func(n uint64) *trail.Host { return &trail.Host{Egress: []trail.Egress{{Name: "bank", Connections: n}}} }
	step := func(what string, seen uint64, want int) {
		t.Helper()
		if got := w.compare(bank(seen), true, false); len(got) != want {
			t.Errorf("%s: %q", what, got)
		}
	}
	step("nothing", 0, 0)
	step("seen, and not claimed yet", 1, 0)
	w.connected([]byte(sockaddr("/run/services/bank")))
	step("claimed", 1, 0)
	w.connected([]byte(sockaddr("/run/services/bank")))
	step("claimed, and not seen yet", 1, 0)
	step("claimed, and not seen", 1, 1)
	step("told", 1, 0)
	step("seen twice more", 4, 0)
	step("not claimed", 4, 1)
	step("told", 5, 0)
}

// TestWitnessCPU: a sandbox that computes when nothing runs in it, by its kernel's own word, is one that lies.
func TestWitnessCPU(t *testing.T) {
	w := &witness{}
	at := func(seconds uint64) *trail.Host { return &trail.Host{CPU: counted(seconds * 1e9)} }
	for i, c := range []struct {
		seconds uint64
		running bool
		want    int
	}{{10, true, 0}, {20, true, 0}, {30, false, 0}, {31, false, 0}, {32, true, 0}, {50, false, 0}, {53, false, 1}, {60, false, 0}} {
		if got := w.compare(at(c.seconds), c.running, false); len(got) != c.want {
			t.Errorf("step %d: %q", i, got)
		}
	}
}

// TestRelay: bytes and their end go both ways, and are counted; a service that is not there is a connection that ends.
func TestRelay(t *testing.T) {
	folder := t.TempDir()
	target, path := filepath.Join(folder, "t"), filepath.Join(folder, "r")
	service, err := net.Listen("unix", target)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(target, 0o620); err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := service.Accept()
			if err != nil {
				return
			}
			text, _ := io.ReadAll(conn) // until the other end is closed for writing
			_, _ = conn.Write(append(text, "!"...))
			_ = conn.Close()
		}
	}()
	who, err := ownerOf(target)
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRelay("bank", path, who, func() (stream, error) { return dialUnix(target) })
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o620 {
		t.Errorf("%v, %v", info, err)
	}
	ask := func(text []byte) ([]byte, error) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = conn.Write(text)
		answer, readErr := []byte(nil), conn.CloseWrite()
		if readErr == nil {
			answer, readErr = io.ReadAll(conn)
		}
		return answer, errors.Join(err, readErr)
	}
	long := bytes.Repeat([]byte("x"), 1<<20)
	if answer, err := ask(long); err != nil || len(answer) != 1<<20+1 {
		t.Errorf("%d bytes, %v", len(answer), err)
	}
	_ = service.Close()
	if answer, _ := ask([]byte("x")); len(answer) != 0 {
		t.Errorf("an answer of nobody: %q", answer)
	}
	hanging, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	all := relays{r}
	all.close()
	all.close()
	got := all.egress()[0]
	if got.Connections != 3 || got.Sent != 1<<20 || got.Received != 1<<20+1 {
		t.Errorf("%+v", got)
	}
}

// FuzzInterfaces: whatever the file says, the answer is a number or none.
func FuzzInterfaces(f *testing.F) {
	f.Add("Inter-|   Receive |  Transmit\n face |bytes packets|bytes\n    lo: 5 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n  eth0:100 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n")
	f.Add("lo: 5 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n")
	f.Add("lo: x")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "dev")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n := interfaces(path)
		if text == "lo: 5 0 0 0 0 0 0 0 7 0 0 0 0 0 0 0\n" && (n == nil || *n != 12) {
			t.Error(n)
		}
	})
}
