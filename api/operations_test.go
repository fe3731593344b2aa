package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
)

// works has one operation, and remembers what it was asked.
type works struct {
	asked []string
	err   error
}

func (w *works) answer(format string, args ...any) (api.Operation, error) {
	w.asked = append(w.asked, fmt.Sprintf(format, args...))
	return api.Operation{ID: "3", Kind: "backup", Target: "vault", State: api.Done, Began: 5, Backup: &api.BackupDone{ID: "x", New: true, LastSeq: 9}}, w.err
}

func (w *works) Backup(_ context.Context, by auth.Principal, target string, full bool) (api.Operation, error) {
	return w.answer("backup %s %s %v", by.Name, target, full)
}

func (w *works) Archive(_ context.Context, by auth.Principal, seq uint64, before time.Time) (api.Operation, error) {
	return w.answer("archive %s %d %v", by.Name, seq, before.IsZero())
}

func (w *works) Operation(_ context.Context, id string) (api.Operation, error) {
	return w.answer("get %s", id)
}

func (w *works) Cancel(_ context.Context, by auth.Principal, id string) (api.Operation, error) {
	return w.answer("cancel %s %s", by.Name, id)
}

func (b *bank) operation(method, token, body string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://"+b.addr+"/sterling.ledger.v1.OperationsService/"+method, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestOperations: who may, what is asked, and what is answered.
func TestOperations(t *testing.T) {
	t.Parallel()
	w := &works{}
	b := open(t, func(c *api.Config) { c.Operations = w })
	calls := map[string]string{
		"Backup": `{"target":"vault","full":true}`, "Archive": `{"beforeSeq":"7"}`, "GetOperation": `{"id":"3"}`, "CancelOperation": `{"id":"3"}`,
	}
	for method, body := range calls {
		for role := auth.RoleReader; role <= auth.RoleAdmin; role++ {
			code, text := b.operation(method, b.tokens[role], body)
			if may := role.Allows(auth.Operate); (code == http.StatusOK) != may || may && !strings.Contains(text, `"lastSeq":"9"`) {
				t.Errorf("%s as %v: %d %s", method, role, code, text)
			}
		}
	}
	asked := strings.Join(w.asked, "\n")
	for _, want := range []string{"backup operator vault true", "archive admin 7 true", "get 3", "cancel operator 3"} {
		if !strings.Contains(asked, want) {
			t.Errorf("%q was not asked: %s", want, asked)
		}
	}
	if len(w.asked) != 2*len(calls) {
		t.Errorf("%v", w.asked)
	}
}

// TestRefusedOperations: the errors of operations have codes and words.
func TestRefusedOperations(t *testing.T) {
	t.Parallel()
	w := &works{}
	b := open(t, func(c *api.Config) { c.Operations = w })
	admin := b.tokens[auth.RoleAdmin]
	for err, want := range map[error]int{
		api.ErrNotConfigured: http.StatusBadRequest, api.ErrBusy: http.StatusServiceUnavailable, api.ErrNoOperation: http.StatusNotFound,
	} {
		w.err = fmt.Errorf("%w: details", err)
		for method, body := range map[string]string{"Backup": `{"target":"x"}`, "Archive": `{"beforeAge":"1"}`, "CancelOperation": `{}`, "GetOperation": `{}`} {
			if code, text := b.operation(method, admin, body); code != want || !strings.Contains(text, "details") {
				t.Errorf("%s, %v: %d %s", method, err, code, text)
			}
		}
	}
	w.err = nil
	for method, body := range map[string]string{"Backup": `{}`, "Archive": `{}`, "GetOperation": `{"id":7}`} {
		if code, text := b.operation(method, admin, body); code != http.StatusBadRequest {
			t.Errorf("%s %s: %d %s", method, body, code, text)
		}
	}
}
