package auth_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
)

func TestScopeCoversWholePartsOfAddresses(t *testing.T) {
	s, err := auth.NewScope([]string{"CNY/2", "EUR/2"}, []string{"merchant:1001:", "till:7"})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"merchant:1001:settlement": true, "merchant:1001:": true, "till:7": true, "till:7:float": true,
		"": false, "merchant:1001": false, "merchant:10012:x": false, "till:70": false, "Till:7": false,
	} {
		if s.HasAddress(address) != want {
			t.Errorf("HasAddress(%q) = %v", address, !want)
		}
	}
	for name, want := range map[string]bool{"CNY/2": true, "EUR/2": true, "CNY/3": false, "": false} {
		if s.HasAsset(name) != want {
			t.Errorf("HasAsset(%q) = %v", name, !want)
		}
	}
	var none *auth.Scope
	if !none.HasAsset("") || !none.HasAddress("") || !none.NamesAsset("X/0") {
		t.Error("no scope restricts something")
	}
	if s, err := auth.NewScope(nil, nil); s != nil || err != nil {
		t.Errorf("an empty scope = %v, %v, want none", s, err)
	}
	open, err := auth.NewScope(nil, []string{"a"})
	if err != nil || !open.HasAsset("CNY/2") || open.NamesAsset("CNY/2") {
		t.Errorf("a scope without assets: %v, %v", open, err)
	}
}

func TestScopesThatMakeNoSense(t *testing.T) {
	for name, s := range map[string]auth.Scope{
		"not an asset": {Assets: []string{"CNY"}}, "an asset's other spelling": {Assets: []string{"CNY/02"}},
		"empty prefix": {AddressPrefixes: []string{""}}, "space": {AddressPrefixes: []string{"a b"}},
		"long": {AddressPrefixes: []string{strings.Repeat("a", auth.MaxAddress+1)}},
		"many": {Assets: make([]string, auth.MaxScopeEntries+1)},
	} {
		if _, err := auth.NewScope(s.Assets, s.AddressPrefixes); err == nil {
			t.Errorf("%s: accepted", name)
		}
		dir, _ := bootstrap(t)
		if _, _, err := auth.CreateToken(dir, auth.Spec{Name: "x", Role: auth.RoleReader, Scope: s}, start(), rand.Reader); err == nil {
			t.Errorf("%s: a token with it was made", name)
		}
	}
}

// version returns the version of a folder's token file.
func version(t *testing.T, dir string) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, auth.TokensFile))
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Version int }
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f.Version
}

func TestTheFileTakesVersion2OnlyWhenItMust(t *testing.T) {
	dir, _ := bootstrap(t)
	create(t, dir, auth.RoleReader, start().Add(time.Hour))
	if v := version(t, dir); v != 1 {
		t.Errorf("plain tokens: version %d, want 1", v)
	}
	token, _, err := auth.CreateToken(dir, auth.Spec{
		Name: "shop", Role: auth.RoleTeller, Scope: auth.Scope{Assets: []string{"CNY/2"}, AddressPrefixes: []string{"m:"}}, CallsPerSecond: 5,
	}, start(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if v := version(t, dir); v != 2 {
		t.Errorf("with a scope: version %d, want 2", v)
	}
	p, err := open(t, dir).Verify(token, start())
	if err != nil || p.Scope == nil || p.Scope.Assets[0] != "CNY/2" || p.Scope.AddressPrefixes[0] != "m:" || p.Limiter == nil || p.Via != auth.ViaToken {
		t.Errorf("verify = %+v, %v", p, err)
	}
	// A version 1 file with what version 1 has not is a mistake that must not be read as "no scope".
	path := filepath.Join(dir, auth.TokensFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), `"version": 2`, `"version": 1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.List(dir); err == nil || !strings.Contains(err.Error(), "version 1 has not") {
		t.Errorf("a scope in version 1: %v", err)
	}
}

func TestRotation(t *testing.T) {
	dir, _ := bootstrap(t)
	old, entry := create(t, dir, auth.RoleTeller, time.Time{})
	s := open(t, dir)
	later := func(d time.Duration) time.Time { return start().Add(d) }
	first, rotated, err := auth.Rotate(dir, entry.ID, time.Hour, later(time.Minute), rand.Reader)
	if err != nil || rotated.ID != entry.ID || rotated.Name != entry.Name || first == old {
		t.Fatalf("rotate = %+v, %v", rotated, err)
	}
	until := later(time.Minute + time.Hour)
	verify := func(token string, at time.Time, want error) {
		t.Helper()
		if p, err := s.Verify(token, at); !errors.Is(err, want) || err == nil && p.Role != auth.RoleTeller {
			t.Errorf("verify at %v = %+v, %v, want %v", at, p, err, want)
		}
	}
	verify(first, later(2*time.Minute), nil)
	verify(old, until.Add(-time.Nanosecond), nil)
	verify(old, until, auth.ErrUnknownToken)
	verify(first, until, nil)

	// A second rotation ends the secret of before the first, grace or not.
	second, _, err := auth.Rotate(dir, entry.ID, time.Hour, later(3*time.Minute), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	verify(second, until.Add(time.Minute), nil)
	verify(first, later(3*time.Minute), nil)
	verify(old, later(3*time.Minute), auth.ErrUnknownToken)

	// Without grace the old secret ends at once, and the file is version 1 again.
	third, _, err := auth.Rotate(dir, entry.ID, 0, later(4*time.Minute), rand.Reader)
	if err != nil || version(t, dir) != 1 {
		t.Fatalf("rotate: %v, version %d", err, version(t, dir))
	}
	verify(third, until.Add(2*time.Minute), nil)
	verify(second, until.Add(2*time.Minute), auth.ErrUnknownToken)

	// Revoking ends both secrets of a grace.
	fourth, _, err := auth.Rotate(dir, entry.ID, time.Hour, later(5*time.Minute), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Revoke(dir, entry.ID, later(6*time.Minute)); err != nil {
		t.Fatal(err)
	}
	verify(third, until.Add(3*time.Minute), auth.ErrUnknownToken)
	verify(fourth, until.Add(3*time.Minute), auth.ErrUnknownToken)
	if _, _, err := auth.Rotate(dir, entry.ID, 0, later(7*time.Minute), rand.Reader); !errors.Is(err, auth.ErrNotInForce) {
		t.Errorf("rotate a revoked token: %v", err)
	}
}

func TestRotateRefuses(t *testing.T) {
	dir, _ := bootstrap(t)
	_, entry := create(t, dir, auth.RoleReader, start().Add(time.Hour))
	for name, c := range map[string]struct {
		id    string
		grace time.Duration
		at    time.Time
		want  error
	}{
		"unknown id":   {strings.Repeat("0", 32), 0, start(), auth.ErrNoToken},
		"not an id":    {"x", 0, start(), auth.ErrNoToken},
		"expired":      {entry.ID, 0, start().Add(time.Hour), auth.ErrNotInForce},
		"long grace":   {entry.ID, auth.MaxGrace + 1, start(), nil},
		"negative one": {entry.ID, -1, start(), nil},
	} {
		if _, _, err := auth.Rotate(dir, c.id, c.grace, c.at, rand.Reader); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestJournaledTokens(t *testing.T) {
	dir, admin := bootstrap(t)
	token, entry := create(t, dir, auth.RoleReader, time.Time{})
	s := open(t, dir)
	set := func(tokens ...auth.Token) {
		t.Helper()
		if err := s.SetJournaled(tokens); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(name, token string, role auth.Role, want error) {
		t.Helper()
		p, err := s.Verify(token, start())
		if !errors.Is(err, want) || err == nil && p.Role != role {
			t.Errorf("%s: %+v, %v, want %v, %v", name, p, err, role, want)
		}
	}
	// The journal's word on an id goes before the file's; the secret may stay in the file.
	set(auth.Token{ID: entry.ID, Name: "till 7", Role: auth.RoleTeller})
	expect("role from the journal", token, auth.RoleTeller, nil)
	expect("another token", admin, auth.RoleAdmin, nil)
	set(auth.Token{ID: entry.ID, Name: "till 7", Role: auth.RoleTeller, Revoked: start()})
	expect("revoked in the journal", token, 0, auth.ErrUnknownToken)
	set(auth.Token{ID: entry.ID, Name: "till 7", Role: auth.RoleTeller, Expires: start()})
	expect("expired in the journal", token, 0, auth.ErrExpiredToken)
	set()
	expect("the journal's set is replaced", token, auth.RoleReader, nil)

	// Revoked in the file is revoked, whatever the journal says.
	other, revoked := create(t, dir, auth.RoleTeller, time.Time{})
	set(auth.Token{ID: revoked.ID, Name: "x", Role: auth.RoleAdmin, Hash: revoked.Hash})
	expect("known to the journal before the file was read", other, auth.RoleAdmin, nil)
	if err := auth.Revoke(dir, revoked.ID, start()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(other, start().Add(auth.ReloadInterval)); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("revoked in the file: %v", err)
	}

	// Without a secret anywhere an entry opens nothing; a bad set changes nothing.
	zeros := strings.Repeat("0", 32)
	set(auth.Token{ID: zeros, Name: "x", Role: auth.RoleAdmin})
	expect("no secret", "sterling_"+zeros+"_"+strings.Repeat("0", 64), 0, auth.ErrUnknownToken)
	set(auth.Token{ID: entry.ID, Name: "till 7", Role: auth.RoleTeller})
	for name, bad := range map[string][]auth.Token{
		"no role": {{ID: entry.ID}}, "no id": {{Role: auth.RoleReader}},
		"twice": {{ID: zeros, Role: auth.RoleReader}, {ID: zeros, Role: auth.RoleReader}},
	} {
		if err := s.SetJournaled(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	expect("after sets that were refused", token, auth.RoleTeller, nil)
}

func TestSetsChangeWhileTokensAreVerified(t *testing.T) {
	dir, admin := bootstrap(t)
	s := open(t, dir)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 2000 {
				if _, err := s.Verify(admin, start().Add(time.Duration(i)*time.Millisecond)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		if err := s.SetJournaled([]auth.Token{{ID: strings.Repeat("0", 32), Role: auth.RoleReader}}); err != nil {
			t.Fatal(err)
		}
	}
	group.Wait()
}

func TestBlockedActors(t *testing.T) {
	dir, admin := bootstrap(t)
	s := open(t, dir)
	id := strings.Repeat("ab", 16)
	p, err := s.Verify(admin, start())
	if err != nil {
		t.Fatal(err)
	}
	actor := [16]byte(bytes.Repeat([]byte{0xab}, 16))
	if s.Revoked(actor, start()) || s.Revoked(p.ID, start()) {
		t.Fatal("revoked from the beginning")
	}
	for range 2 {
		if err := auth.Block(dir, id, "anna of the issuer", start()); err != nil {
			t.Fatal(err)
		}
	}
	if at := start().Add(auth.ReloadInterval); !s.Revoked(actor, at) || s.Revoked(p.ID, at) {
		t.Error("the wrong one is blocked")
	}
	if _, err := s.Verify("sterling_"+id+"_"+strings.Repeat("0", 64), start().Add(auth.ReloadInterval)); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("a token of the id: %v", err)
	}
	if err := auth.Block(dir, "x", "y", start()); err == nil {
		t.Error("not an id: accepted")
	}
}

func TestANewTokenIsKnownAtOnce(t *testing.T) {
	dir, _ := bootstrap(t)
	s := open(t, dir)
	token, _ := create(t, dir, auth.RoleReader, time.Time{})
	if _, err := s.Verify(token, start().Add(auth.ReloadInterval/10)); err != nil {
		t.Error(err)
	}
}

func TestLimiter(t *testing.T) {
	l := auth.NewLimiter(2, 100)
	now := start()
	for i := range 2 {
		if wait, ok := l.Call(now); !ok {
			t.Fatalf("call %d: wait %v", i, wait)
		}
	}
	if wait, ok := l.Call(now); ok || wait != 500*time.Millisecond {
		t.Errorf("third call: %v, %v, want a wait of 0.5 s", wait, ok)
	}
	if _, ok := l.Call(now.Add(500 * time.Millisecond)); !ok {
		t.Error("refused after the wait that it gave")
	}
	if wait, ok := l.Events(101, now); ok || wait != 0 || l.EventsAtOnce() != 100 {
		t.Errorf("more than a second's worth: %v, %v", wait, ok)
	}
	if _, ok := l.Events(100, now); !ok {
		t.Error("a second's worth was refused")
	}
	if wait, ok := l.Events(50, now); ok || wait != 500*time.Millisecond {
		t.Errorf("50 events at once: %v, %v", wait, ok)
	}
	none := auth.NewLimiter(0, 0)
	if _, ok := none.Call(now); none != nil || !ok || none.EventsAtOnce() != math.MaxInt {
		t.Error("no limits limit something")
	}
}

func TestLimitsOutliveAReload(t *testing.T) {
	dir, _ := bootstrap(t)
	token, _, err := auth.CreateToken(dir, auth.Spec{Name: "x", Role: auth.RoleReader, CallsPerSecond: 0.001}, start(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	p, err := s.Verify(token, start())
	if err != nil {
		t.Fatal(err)
	}
	p.Limiter.Call(start())
	create(t, dir, auth.RoleReader, time.Time{})
	at := start().Add(auth.ReloadInterval)
	if p, err = s.Verify(token, at); err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Limiter.Call(at); ok {
		t.Error("another token's creation filled this one's bucket")
	}
	for _, bad := range []float64{-1, 0.0001, 2e9, math.NaN(), math.Inf(1)} {
		if _, _, err := auth.CreateToken(dir, auth.Spec{Name: "x", Role: auth.RoleReader, EventsPerSecond: bad}, start(), rand.Reader); err == nil {
			t.Errorf("a limit of %v was accepted", bad)
		}
	}
}
