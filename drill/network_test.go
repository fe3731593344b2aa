package drill_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/auth"
)

// tokenOf is the admin token of a folder.
func tokenOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, auth.AdminFile))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestHalfRequests leaves requests unfinished in every way; none may happen in part, and others go on.
func TestHalfRequests(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	c := p.dial()
	openAccounts(t, c)
	body := `{"transfers":[{"id":"77","debitAccountId":"1","creditAccountId":"2","amount":"1","asset":"CNY/2","code":1}]}`
	head := fmt.Sprintf("POST /sterling.ledger.v1.LedgerService/CreateTransfers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", tokenOf(t, p.dir), len(body))
	whole := head + body
	for _, half := range []string{
		whole[:3], whole[:60], head, head + body[:40], whole[:len(whole)-1],
		"PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x20\x04\x00\x00",
		"\x16\x03\x01\x02\x00", strings.Repeat("\x00", 100),
	} {
		conn := connect(t, p.addr)
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	pay(t, c, 1, 10)
	if list, err := c.Ledger().LookupTransfers(t.Context(), lookupOf("77")); err != nil || len(list.GetTransfers()) != 0 {
		t.Errorf("a request that was not complete has happened: %v, %v", list, err)
	}
	// The same bytes, complete, are a transfer: the halves above were real.
	conn := connect(t, p.addr)
	if _, err := io.WriteString(conn, whole); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(text), "CREATE_TRANSFER_STATUS_CREATED") {
		t.Errorf("%s, %v", text, err)
	}
	p.stop()
}

// TestSlowClients lets requests come in drop by drop. The server must hang up on each in the time its limits say, and
// must serve others meanwhile.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	p := start(t, filepath.Join(t.TempDir(), "data"))
	c := p.dial()
	openAccounts(t, c)
	began := time.Now()
	var group sync.WaitGroup
	for _, first := range []string{"P", "POST /sterling.ledger.v1.LedgerService/CreateTransfers HTTP/1.1\r\nHost: x\r\nX: ", "PRI * HTTP/2"} {
		conn := connect(t, p.addr)
		if _, err := io.WriteString(conn, first); err != nil {
			t.Fatal(err)
		}
		group.Go(func() { // a drop every second, until it is cut off
			drops := time.NewTicker(time.Second)
			defer drops.Stop()
			for range drops.C {
				if _, err := io.WriteString(conn, "y"); err != nil || time.Since(began) > patience {
					return
				}
			}
		})
		group.Go(func() {
			_ = conn.SetReadDeadline(began.Add(patience))
			if _, err := io.Copy(io.Discard, conn); err != nil && os.IsTimeout(err) {
				t.Errorf("%q: the server still listens after %v", first, patience)
			}
		})
	}
	for i := range 20 {
		pay(t, c, 1+i*10, 10)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("others took %v", took)
	}
	group.Wait()
	p.stop()
}

// TestIdleConnections holds 10,000 connections open that have done one request each.
func TestIdleConnections(t *testing.T) {
	const connections = 10_000
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < connections+500 {
		limit.Cur = min(limit.Max, connections+2000)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < connections+500 {
			t.Skipf("a process may have %d files open here (%v): %d connections need %d", limit.Cur, err, connections, connections+500)
		}
	}
	p := start(t, filepath.Join(t.TempDir(), "data"))
	c := p.dial()
	openAccounts(t, c)
	list := make([]net.Conn, connections)
	var group sync.WaitGroup
	for part := range 16 {
		group.Go(func() {
			for i := part; i < connections; i += 16 {
				conn, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				list[i] = conn
				if err := healthy(conn); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	group.Wait()
	defer func() {
		for _, conn := range list {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	pay(t, c, 1, 100)
	pay(t, p.dialAs(tokenOf(t, p.dir)), 101, 100) // and one more connection
	for i := 0; i < connections; i += 500 {
		if err := healthy(list[i]); err != nil {
			t.Errorf("connection %d, after having been idle: %v", i, err)
		}
	}
	if out, code := command(t, "ledger", "status", "--server", p.addr, "--data", p.dir); code != 0 {
		t.Errorf("sterling ledger status: code %d, %s", code, out)
	} else {
		t.Logf("with %d idle connections:\n%s", connections, out)
	}
	p.stop()
}

// healthy makes one request on a connection that is kept open.
func healthy(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", answer.Status)
	}
	return nil
}
