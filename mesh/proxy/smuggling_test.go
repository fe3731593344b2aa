package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// smuggle is one case of testdata/smuggling.txt.
type smuggle struct {
	name, want, haproxy string
	bytes               string
}

func smuggles(t *testing.T) (cases []smuggle) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "smuggling.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		if strings.HasPrefix(block, "#") {
			continue
		}
		head, lines, _ := strings.Cut(block, "\n")
		parts := strings.SplitN(head, " | ", 3)
		if len(parts) != 3 || lines == "" {
			t.Fatalf("malformed case %q", block)
		}
		c := smuggle{name: parts[0], want: parts[1], haproxy: parts[2]}
		for line := range strings.SplitSeq(lines, "\n") {
			b, err := strconv.Unquote(`"` + line + `"`)
			if err != nil {
				t.Fatalf("%s: %q: %v", c.name, line, err)
			}
			c.bytes += b
		}
		cases = append(cases, c)
	}
	return cases
}

// recorder is an endpoint that notes the requests it gets whole.
type recorder struct {
	mu   sync.Mutex
	seen []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.seen = append(r.seen, fmt.Sprintf("%s %s [%s]", req.Method, req.URL.RequestURI(), strings.ReplaceAll(string(b), "\r\n", `\r\n`)))
	r.mu.Unlock()
	_, _ = io.WriteString(w, "ok")
}

func (r *recorder) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.Join(r.seen, " + ")
	r.seen = nil
	return s
}

// try sends the bytes and reports what became of them: what the endpoint saw if all was answered well, else the first
// status of 400 and more, or "closed". An endpoint that saw something although the answer is a refusal is reported too.
func try(t *testing.T, address, bytes string, rec *recorder) string {
	t.Helper()
	c := dialAddress(t, address)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	c.send(bytes)
	_ = c.Conn.(*net.TCPConn).CloseWrite() // the other side may have closed it already
	result := ""
	answers := 0
	for {
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			break
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode >= 200 {
			answers++
		}
		if resp.StatusCode >= 400 && result == "" {
			result = strconv.Itoa(resp.StatusCode)
		}
	}
	seen := rec.take()
	switch {
	case result == "" && answers == 0:
		result = "closed"
	case result == "":
		return seen
	}
	if seen != "" {
		result += " after " + seen
	}
	return result
}

func TestSmugglingCorpus(t *testing.T) {
	rec := &recorder{}
	app := backend(t, rec.ServeHTTP)
	address := start(t, proxy.Options{}, simple, app, "", "").Addr("in").String()
	cases := smuggles(t)
	if len(cases) < 100 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, c := range cases {
		if got := try(t, address, c.bytes, rec); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSmugglingBesideHAProxy checks that wherever HAProxy refuses, so do we, that both pass on the same where both do,
// and that the corpus says rightly where we are stricter.
func TestSmugglingBesideHAProxy(t *testing.T) {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			t.Skip("HAProxy is not installed: apt-get install haproxy")
		}
	}
	rec := &recorder{}
	address := startHAProxy(t, path, backend(t, rec.ServeHTTP))
	for _, c := range smuggles(t) {
		got := try(t, address, c.bytes, rec)
		weRefuse := c.want[0] >= '0' && c.want[0] <= '9'
		itRefuses := got == "closed" || got[0] >= '0' && got[0] <= '9' && !strings.Contains(got, " after ")
		if !weRefuse && itRefuses {
			t.Errorf("%s: HAProxy refuses (%s) what we let through", c.name, got)
		}
		how := "differs"
		if weRefuse && itRefuses || !weRefuse && got == c.want {
			how = "same"
		}
		if how != c.haproxy && c.haproxy != "-" {
			t.Errorf("%s: HAProxy: %q, that is %s; the corpus says %s", c.name, got, how, c.haproxy)
		}
	}
}

// startHAProxy runs HAProxy in front of app and returns its address.
func startHAProxy(t *testing.T, path, app string) string {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	config := fmt.Sprintf("defaults\n mode http\n timeout connect 2s\n timeout client 2s\n timeout server 2s\nfrontend in\n bind %s\n default_backend app\nbackend app\n server app %s\n", address, app)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-db", "-f", file)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said = append(said, lines.Text())
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	for by := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		} else if time.Now().After(by) || errors.Is(err, os.ErrPermission) {
			t.Fatalf("HAProxy does not listen: %v; it says %q", err, slices.Clone(said))
		}
		select {
		case <-ended:
			t.Fatalf("HAProxy ended: %q", said)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
