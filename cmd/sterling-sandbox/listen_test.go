package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// withPlaces gives the bench a root with places to mount on.
func (b *bench) withPlaces(files ...string) {
	b.Helper()
	root := filepath.Join(b.folder, "root")
	program, err := os.ReadFile(filepath.Join(b.root, "workload"))
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "run", "listen"), 0o755)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(root, "run", "services"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "workload"), program, 0o755)
	}
	for _, name := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "run", "services", name), nil, 0o644)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	b.root = root
}

// short is a folder of a short path, as those of sockets have to be.
func short(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

// says answers each connection with a text.
func says(t *testing.T, network, address, text string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	return l
}

// get asks a socket of the host for a path.
func get(ctx context.Context, socket, path string) (string, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://box"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// TestListen: a workload without a network is called by a socket, and calls a service of the mesh and an address beyond
// the host by theirs, each counted by the host.
func TestListen(t *testing.T) {
	b := newBench(t)
	b.State = filepath.Join(short(t), "s")
	b.withPlaces("orders", "beyond", "late")
	services := short(t)
	says(t, "unix", filepath.Join(services, "orders"), "hello from orders")
	beyond := says(t, "tcp", "127.0.0.1:0", "hello from beyond")
	policy := b.policy("serve, one", fmt.Sprintf("network: {listen: [http], services: [orders, late], egress: [{name: beyond, address: '%s'}]}", beyond.Addr()), allEvents)
	if _, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder}); err == nil || !strings.Contains(err.Error(), "network.services") {
		t.Fatalf("without anybody who calls services: %v", err)
	}
	s, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: policy, Folder: b.folder, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Stop(ctx, "box"); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(stop)
	socket := s.Listen["http"]
	if socket == "" {
		t.Fatalf("no socket: %+v", s)
	}
	var text string
	for { // it runs, but may not listen yet
		if text, err = get(t.Context(), socket, "/x"); err == nil {
			break
		}
		b.sleep(20 * time.Millisecond)
	}
	if text != "one /x\n" {
		t.Errorf("%q", text)
	}
	for service, want := range map[string]string{"orders": "hello from orders<nil>", "beyond": "hello from beyond<nil>", "late": "<nil>"} {
		if text, err = get(t.Context(), socket, "/y?dial=/run/services/"+service); err != nil || !strings.Contains(text, "\n"+want) {
			t.Errorf("%s: %q, %v", service, text, err)
		}
	}
	stop()
	report, events := b.record()
	if !report.Complete() || report.Alerts != 0 || len(points(events, "accept")) == 0 {
		t.Errorf("%+v, %d accepts", report, len(points(events, "accept")))
	}
	all := b.accounts()
	counted := map[string]uint64{}
	for _, e := range all[len(all)-1].Egress {
		counted[e.Name] = e.Connections
	}
	if counted["orders"] != 1 || counted["beyond"] != 1 || counted["late"] != 1 {
		t.Errorf("%v", counted)
	}
	if left, _ := filepath.Glob(filepath.Join(b.State, "boxes", "box", "listen*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestListenAstray: what the workload puts in the place of its socket is not followed, and does not fill the host's disk.
func TestListenAstray(t *testing.T) {
	b := newBench(t)
	b.State = filepath.Join(short(t), "s")
	b.withPlaces()
	host := filepath.Join(short(t), "host")
	says(t, "unix", host, "a secret of the host")
	s, err := b.Start(t.Context(), gvisor.Options{ID: "box", Policy: b.policy("astray, "+host, "network: {listen: [http, file]}"), Folder: b.folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Stop(context.Background(), "box") })
	for strings.Count(b.said(), "\n") != 2 {
		b.sleep(20 * time.Millisecond)
	}
	for name, socket := range s.Listen {
		want := map[string]error{"http": syscall.ELOOP, "file": syscall.ECONNREFUSED}[name]
		if conn, err := net.Dial("unix", socket); !errors.Is(err, want) {
			t.Errorf("%s leads to %v, %v; want %v", name, conn, err, want)
		}
	}
	if text := b.said(); !strings.Contains(text, "symlink: <nil>") || !strings.Contains(text, "no space left") {
		t.Errorf("%s", text)
	}
}

// said is what the box has written.
func (b *bench) said() string {
	b.Helper()
	f, err := b.OpenLogs("box")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}
