package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

func openKeys(t testing.TB) *keystore.Store {
	t.Helper()
	m, err := keystore.NewMaster([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	s, err := keystore.Open(t.Context(), keystore.Options{Dir: "keys", Master: m, Clock: clock.NewFake(1), FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// subjects is a key store whose backups and destruction fail when told to.
type subjects struct {
	*keystore.Store
	mu     sync.Mutex
	fail   error
	copies []api.KeyCopy
	seen   []keystore.Erasure
}

func (s *subjects) Erase(ctx context.Context, e keystore.Erasure) ([]api.KeyCopy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen = append(s.seen, e); s.fail != nil {
		return nil, s.fail
	}
	_, err := s.Store.Erase(ctx, e)
	return s.copies, err
}

func (b *bank) erasures() (list []ledger.Erasure) {
	b.t.Helper()
	if err := b.cell.Read(b.t.Context(), func(s *ledger.State) { list = s.Erasures() }); err != nil {
		b.t.Fatal(err)
	}
	return list
}

// TestErase journals first and destroys then, once; asking again completes what was interrupted.
func TestErase(t *testing.T) {
	keys := &subjects{Store: openKeys(t)}
	b := open(t, func(c *api.Config) { c.Subjects = keys })
	values := []keystore.Value{{Subject: "c-1", Event: [16]byte{1}, Name: "name", Type: 1, Clear: []byte("Wang")}}
	if err := keys.Seal(t.Context(), values); err != nil {
		t.Fatal(err)
	}
	post := func(role auth.Role, method, body string, code int, want ...string) {
		t.Helper()
		status, text := b.post(method, b.tokens[role], body)
		if status != code {
			t.Fatalf("%s %s: %d %s", method, body, status, text)
		}
		for _, w := range want {
			if !strings.Contains(strings.ReplaceAll(text, ", ", ","), w) { // protojson varies its spaces
				t.Fatalf("%s %s: %s, want %s in it", method, body, text, w)
			}
		}
	}
	post(auth.RoleOperator, "GetSubject", `{"subject":"c-1"}`, http.StatusOK, "SUBJECT_STATE_ACTIVE")
	post(auth.RoleOperator, "GetSubject", `{"subject":"c-2"}`, http.StatusOK, "SUBJECT_STATE_UNKNOWN")
	post(auth.RoleTeller, "Erase", `{"id":"1","subject":"c-1","reason":"r"}`, http.StatusForbidden)
	post(auth.RoleTeller, "GetSubject", `{"subject":"c-1"}`, http.StatusForbidden)
	for _, bad := range []string{
		`{"id":"1","subject":"","reason":"r"}`, `{"id":"1","subject":"wang@example.com","reason":"r"}`, `{"id":"1","subject":"c-1"}`,
		`{"id":"x","subject":"c-1","reason":"r"}`, `{"id":"1","subject":"c-1","reason":"` + strings.Repeat("r", 65) + `"}`,
	} {
		post(auth.RoleOperator, "Erase", bad, http.StatusBadRequest, "ERROR_REASON_MALFORMED")
	}
	post(auth.RoleOperator, "Erase", `{"id":"0","subject":"c-1","reason":"r"}`, http.StatusOK, "ID_MUST_NOT_BE_ZERO")
	if len(keys.seen) != 0 || len(b.erasures()) != 0 {
		t.Fatalf("refused calls erased: %v", keys.seen)
	}

	keys.fail = errors.New("disk is gone")
	post(auth.RoleOperator, "Erase", `{"id":"7","subject":"c-1","reason":"request 12"}`, http.StatusServiceUnavailable, "OUTCOME_UNKNOWN", "send again")
	if got := b.erasures(); len(got) != 1 || got[0].Subject != journal.Hash(keystore.HashOf("c-1")) || string(got[0].Reason[:10]) != "request 12" {
		t.Fatalf("journaled: %+v", got)
	}
	keys.fail, keys.copies = nil, []api.KeyCopy{{Target: "s3://a"}, {Target: "/b", Err: errors.New("no route")}}
	post(auth.RoleOperator, "Erase", `{"id":"7","subject":"c-1","reason":"request 12"}`, http.StatusOK,
		`"status":"CONTROL_STATUS_EXISTS"`, `{"target":"s3://a","written":true,"error":""}`, `{"target":"/b","written":false,"error":"no route"}`)
	post(auth.RoleOperator, "GetSubject", `{"subject":"c-1"}`, http.StatusOK, "SUBJECT_STATE_ERASED", `"erasureId":"7"`)
	if err := keys.Open(values); err != nil || values[0].State != keystore.Erased {
		t.Fatalf("the value can still be read: %+v, %v", values[0], err)
	}
	if e := b.erasures()[0]; keys.seen[1] != (keystore.Erasure{Subject: keystore.HashOf("c-1"), When: e.Timestamp, By: e.Actor, ID: api.IDBytes(money.From(7))}) {
		t.Fatalf("erased %+v, journaled %+v", keys.seen[1], e)
	}

	b.before(func(context.Context) error { return errors.New("no journal") })
	post(auth.RoleOperator, "Erase", `{"id":"8","subject":"c-9","reason":"r"}`, http.StatusInternalServerError)
	if len(keys.seen) != 2 {
		t.Fatal("a key was destroyed without a record in the journal")
	}
}

func TestEraseWithoutKeys(t *testing.T) {
	b := open(t, nil)
	if status, text := b.post("Erase", b.tokens[auth.RoleAdmin], `{"id":"1","subject":"c","reason":"r"}`); status != http.StatusNotImplemented {
		t.Fatalf("%d %s", status, text)
	}
}

// TestErasedMetadata goes the whole way: personal metadata is written, found to exist, read, erased and refused.
func TestErasedMetadata(t *testing.T) {
	keys := openKeys(t)
	b := open(t, func(c *api.Config) { c.Keys, c.Subjects = keys, &subjects{Store: keys} })
	b.seed()
	const transfer = `{"transfers":[{"id":"%","debitAccountId":"1","creditAccountId":"2","amount":"5","asset":"CNY/2","code":1,` +
		`"metadata":{"payer":{"personal":{"subject":"c-1","value":{"text":"Wang"}}},"payee":{"personal":{"subject":"c-2","value":{"integer":"7"}}}}}]}`
	create := func(id string) string { return b.call("CreateTransfers", strings.ReplaceAll(transfer, "%", id)) }
	if text := create("9"); !strings.Contains(text, "CREATE_TRANSFER_STATUS_CREATED") {
		t.Fatal(text)
	}
	if text := create("9"); !strings.Contains(text, "CREATE_TRANSFER_STATUS_EXISTS\"") {
		t.Fatalf("the same transfer again: %s", text)
	}
	look := func() string { return strings.ReplaceAll(b.call("LookupTransfers", `{"ids":["9"]}`), " ", "") }
	if text := look(); !strings.Contains(text, `"value":{"text":"Wang"},"erased":false`) {
		t.Fatalf("before the erasure: %s", text)
	}
	b.call("Erase", `{"id":"1","subject":"c-1","reason":"r"}`)
	text := look()
	if strings.Contains(text, "Wang") || !strings.Contains(text, `"subject":"c-1"`) || !strings.Contains(text, `"erased":true`) || !strings.Contains(text, `"value":{"integer":"7"},"erased":false`) {
		t.Fatalf("after the erasure: %s", text)
	}
	for _, id := range []string{"9", "10"} {
		if status, text := b.post("CreateTransfers", b.tokens[auth.RoleTeller], strings.ReplaceAll(transfer, "%", id)); status != http.StatusBadRequest || !strings.Contains(text, "SUBJECT_ERASED") {
			t.Fatalf("personal metadata of an erased subject: %d %s", status, text)
		}
	}
}
