package node_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/sandbox/heads"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// TestHeadsOfSandboxes: the head of a sandbox's record goes into the ledger's log by an auditor's token, and holds the
// record to what it was, for whoever has the ledger's key.
func TestHeadsOfSandboxes(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	token, _, err := auth.Create(r.dir, "sandbox host", auth.RoleAuditor, time.Now(), time.Time{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger, err := heads.NewLedger("http://"+r.address, file, "")
	if err != nil {
		t.Fatal(err)
	}
	var c trail.Chain
	record := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: trail.Format, Sandbox: "parser", Nonce: rand.Text()}))
	first, _ := c.Head()
	begin := len(record)
	record = c.Append(record, 1, trail.KindEnd, trail.Body(trail.End{}))
	head, lines := c.Head()
	eventually(t, "the head is in the log", func() bool {
		_, err := ledger.LogHead(t.Context(), audit.Head{Record: first, Lines: lines, Hash: head, Name: "parser"})
		return err == nil
	})
	response, err := http.DefaultClient.Do(request(t, "http://"+r.address+"/audit/key", token))
	if err != nil {
		t.Fatal(err)
	}
	key, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	by, err := audit.ParseTrusted(string(key))
	if err != nil {
		t.Fatal(err)
	}
	log := heads.Log{Files: ledger.Log(), Trusted: by}
	if proven, err := heads.Verify(t.Context(), bytes.NewReader(record), log); err != nil || proven.Logged() != 2 {
		t.Errorf("%+v, %v", proven, err)
	}
	if _, err := heads.Verify(t.Context(), bytes.NewReader(record[:begin]), log); !errors.Is(err, trail.ErrTampered) {
		t.Errorf("a record without its end: %v", err)
	}
}

func request(t *testing.T, url, token string) *http.Request {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	return q
}
