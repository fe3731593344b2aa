package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
)

type headLog struct {
	heads []audit.Head
	err   error
}

func (l *headLog) LogHead(_ context.Context, h audit.Head) (uint64, error) {
	l.heads = append(l.heads, h)
	return 41, l.err
}

// TestLogHead: only who may audit logs a head, in its own name, and one that is no head is refused.
func TestLogHead(t *testing.T) {
	log := &headLog{}
	b := open(t, func(c *api.Config) { c.Audit = api.Audit{Log: newAuditLog(t, 1), Heads: log} })
	h := audit.Head{Record: [32]byte{1}, Lines: 9, Hash: [32]byte{2}, Name: "parser"}
	text, err := h.Text()
	if err != nil {
		t.Fatal(err)
	}
	post := func(token, body string) int {
		status, _, _ := b.request(http.MethodPost, "/audit/heads", token, body)
		return status
	}
	auditor := b.tokens[auth.RoleAuditor]
	for what, status := range map[string][2]int{
		"no token":    {post("", text), http.StatusUnauthorized},
		"a teller":    {post(b.tokens[auth.RoleTeller], text), http.StatusForbidden},
		"no head":     {post(auditor, "head"), http.StatusBadRequest},
		"too long":    {post(auditor, text+strings.Repeat("x", 400)), http.StatusBadRequest},
		"two heads":   {post(auditor, text+text), http.StatusBadRequest},
		"as somebody": {post(auditor, strings.Replace(text, " 00000000000000000000000000000000\n", " 00000000000000000000000000000001\n", 1)), http.StatusBadRequest},
	} {
		if status[0] != status[1] {
			t.Errorf("%s: %d, want %d", what, status[0], status[1])
		}
	}
	if len(log.heads) != 0 {
		t.Fatalf("logged: %+v", log.heads)
	}
	if status, _, answer := b.request(http.MethodPost, "/audit/heads", auditor, text); status != http.StatusOK || answer != "{\"entry\":41}\n" {
		t.Errorf("%d %s", status, answer)
	}
	if got := log.heads[0]; got.By == [16]byte{} || got.Name != "parser" || got.Lines != 9 {
		t.Errorf("%+v", got)
	}
	log.err = audit.ErrLog
	if status := post(auditor, text); status != http.StatusServiceUnavailable {
		t.Errorf("a log that fails: %d", status)
	}
	if status, _, _ := b.get("/audit/heads", auditor); status != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", status)
	}
}
