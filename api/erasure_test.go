package api_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
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

func personal(subject string, m journal.Meta) api.Personal {
	return api.Personal{Subject: subject, Meta: m}
}

func TestSealDetails(t *testing.T) {
	keys := openKeys(t)
	events := func() []api.PersonalDetails {
		return []api.PersonalDetails{
			{Event: money.From(1), Details: &journal.Details{BookingDate: 20_000, Metadata: []journal.Meta{journal.Text("m", "order")}}, Personal: []api.Personal{
				personal("c-1", journal.Text("z", "Wang")), personal("c-2", journal.Int("a", -5)),
			}},
			{Event: money.From(2), Details: &journal.Details{}},
			{Event: money.From(3), Details: &journal.Details{}, Personal: []api.Personal{
				personal("c-1", journal.Bool("b", true)), personal("c-1", journal.Time("t", 7)), personal("c-1", journal.Amount("u", money.From(12))),
			}},
		}
	}
	sealed := events()
	if err := api.SealDetails(t.Context(), keys, sealed); err != nil {
		t.Fatal(err)
	}
	again := events()
	if err := api.SealDetails(t.Context(), keys, again); err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		b := sealed[i].Details.Append(nil)
		d, err := journal.DecodeDetails(b)
		if err != nil {
			t.Fatalf("event %d has no valid details: %v", i, err)
		}
		if !slices.Equal(b, again[i].Details.Append(nil)) {
			t.Fatalf("event %d has other bytes the second time", i)
		}
		sealed[i].Details = &d
	}
	if err := api.OpenDetails(keys, sealed); err != nil {
		t.Fatal(err)
	}
	for i, want := range events() {
		got := sealed[i]
		if len(got.Details.Metadata) != len(want.Details.Metadata) || got.Details.BookingDate != want.Details.BookingDate || len(got.Personal) != len(want.Personal) {
			t.Fatalf("event %d: %+v", i, got)
		}
		slices.SortFunc(want.Personal, func(a, b api.Personal) int { return strings.Compare(a.Meta.Key, b.Meta.Key) })
		for k, w := range want.Personal {
			g := got.Personal[k]
			if g.Subject != w.Subject || g.State != keystore.Active || g.Meta.Key != w.Meta.Key || g.Meta.Type != w.Meta.Type || !slices.Equal(g.Meta.Value, w.Meta.Value) {
				t.Fatalf("event %d, entry %d: got %+v, want %+v", i, k, g, w)
			}
		}
	}
	if _, err := keys.Erase(t.Context(), keystore.Erasure{Subject: keystore.HashOf("c-1")}); err != nil {
		t.Fatal(err)
	}
	if err := api.OpenDetails(keys, again); err != nil {
		t.Fatal(err)
	}
	if p := again[0].Personal; p[0].State != keystore.Active || p[1].State != keystore.Erased || p[1].Meta.Value != nil || p[1].Meta.Key != "z" {
		t.Fatalf("after the erasure: %+v", p)
	}
	if err := api.SealDetails(t.Context(), keys, events()); !errors.Is(err, keystore.ErrErased) {
		t.Fatalf("got %v, want ErrErased", err)
	}
}

func TestSealDetailsRefusals(t *testing.T) {
	keys := openKeys(t)
	sealed := journal.PersonalMeta("p", journal.Personal{Subject: "c", Sealed: []byte{1}})
	var many []api.Personal
	for i := range journal.MaxMetaEntries + 1 {
		many = append(many, personal("c", journal.Int("k"+string(rune('A'+i)), 1)))
	}
	for what, e := range map[string]api.PersonalDetails{
		"a key twice":           {Details: &journal.Details{}, Personal: []api.Personal{personal("c", journal.Int("k", 1)), personal("c", journal.Int("k", 2))}},
		"a key of both kinds":   {Details: &journal.Details{Metadata: []journal.Meta{journal.Int("k", 1)}}, Personal: []api.Personal{personal("c", journal.Int("k", 2))}},
		"personal twice":        {Details: &journal.Details{}, Personal: []api.Personal{personal("c", sealed)}},
		"a value too long":      {Details: &journal.Details{}, Personal: []api.Personal{personal("c", journal.Text("k", strings.Repeat("x", 1025)))}},
		"a value of wrong size": {Details: &journal.Details{}, Personal: []api.Personal{personal("c", journal.Meta{Key: "k", Type: journal.MetaInt, Value: []byte{1}})}},
		"a wrong key":           {Details: &journal.Details{}, Personal: []api.Personal{personal("c", journal.Int("k k", 1))}},
		"too many":              {Details: &journal.Details{}, Personal: many},
	} {
		list := []api.PersonalDetails{{Details: &journal.Details{}, Personal: []api.Personal{personal("fine", journal.Int("k", 1))}}, e}
		if err := api.SealDetails(t.Context(), keys, list); !errors.Is(err, journal.ErrDetails) {
			t.Errorf("%s: got %v, want ErrDetails", what, err)
		}
		if len(list[0].Details.Metadata) != 0 {
			t.Errorf("%s: something was changed", what)
		}
	}
	bad := []api.PersonalDetails{{Details: &journal.Details{}, Personal: []api.Personal{personal("a@b", journal.Int("k", 1))}}}
	if err := api.SealDetails(t.Context(), keys, bad); !errors.Is(err, keystore.ErrSubject) {
		t.Errorf("got %v, want ErrSubject", err)
	}
	if got := keys.Stats(); got.Subjects != 0 {
		t.Errorf("refused calls made %d keys", got.Subjects)
	}
	altered := []api.PersonalDetails{{Event: money.From(1), Details: &journal.Details{}, Personal: []api.Personal{personal("c", journal.Int("k", 1))}}}
	if err := api.SealDetails(t.Context(), keys, altered); err != nil {
		t.Fatal(err)
	}
	altered[0].Event = money.From(2)
	if err := api.OpenDetails(keys, altered); !errors.Is(err, keystore.ErrValue) {
		t.Errorf("another event's value: got %v, want ErrValue", err)
	}
}
