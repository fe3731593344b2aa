package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/oidc"
	"github.com/sterlingrun/sterling/clock"
)

func start() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	t       testing.TB
	server  *httptest.Server
	clock   *clock.Fake
	asked   atomic.Int32 // for keys
	down    atomic.Bool
	mu      sync.Mutex
	keys    map[string]crypto.Signer
	answer  func(http.ResponseWriter) // instead of the keys, if not nil
	claimed string                    // the issuer that the configuration names, if not its own
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t, clock: clock.NewFake(uint64(start().UnixNano())), keys: map[string]crypto.Signer{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		name := i.server.URL
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.claimed != "" {
			name = i.claimed
		}
		i.json(w, map[string]string{"issuer": name, "jwks_uri": i.server.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		if i.answer != nil {
			i.answer(w)
			return
		}
		var set jose.JSONWebKeySet
		for _, id := range slices.Sorted(maps.Keys(i.keys)) {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: i.keys[id].Public(), KeyID: id, Use: "sig"})
		}
		i.json(w, set)
	})
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	return i
}

func (i *issuer) json(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		i.t.Error(err)
	}
}

// signs adds a key.
func (i *issuer) signs(id string, algorithm jose.SignatureAlgorithm) {
	i.t.Helper()
	var key crypto.Signer
	var err error
	switch algorithm {
	case jose.RS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys[id] = key
}

// claims are those of a good token, with changes; a nil value takes one away.
func (i *issuer) claims(changes map[string]any) map[string]any {
	now := i.now()
	c := map[string]any{
		"iss": i.server.URL, "sub": "anna", "aud": "sterling", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"realm": map[string]any{"roles": []string{"other", "ledger-teller"}}, "assets": []string{"CNY/2"}, "units": "*",
	}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (i *issuer) now() time.Time { return time.Unix(0, int64(i.clock.Wall())) }

func (i *issuer) token(id string, algorithm jose.SignatureAlgorithm, changes map[string]any) string {
	i.t.Helper()
	i.mu.Lock()
	key := i.keys[id]
	i.mu.Unlock()
	return i.sign(jose.JSONWebKey{Key: key, KeyID: id}, algorithm, changes)
}

func (i *issuer) sign(key any, algorithm jose.SignatureAlgorithm, changes map[string]any) string {
	i.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(i.claims(changes)).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

func (i *issuer) options() oidc.Options {
	return oidc.Options{
		Issuer: i.server.URL, Audience: "sterling", RoleClaim: "realm.roles",
		Roles:      map[string]auth.Role{"ledger-teller": auth.RoleTeller, "ledger-reader": auth.RoleReader, "ledger-auditor": auth.RoleAuditor},
		AssetClaim: "assets", PrefixClaim: "units", ClockSkew: 30 * time.Second,
	}
}

func (i *issuer) verifier() *oidc.Verifier {
	i.t.Helper()
	v, err := oidc.New([]oidc.Options{i.options()}, i.clock, slog.New(slog.DiscardHandler))
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(v.Close)
	return v
}

func TestTokensOfEveryAlgorithm(t *testing.T) {
	i := newIssuer(t)
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		i.signs("key-"+string(a), a)
	}
	v := i.verifier()
	sum := sha256.Sum256([]byte(i.server.URL + "\x00anna"))
	for _, a := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA} {
		p, err := v.Verify(i.token("key-"+string(a), a, nil), start())
		if err != nil || p.Name != "anna" || p.Role != auth.RoleTeller || p.Via != auth.ViaJWT || p.ID != [16]byte(sum[:16]) ||
			p.Scope == nil || len(p.Scope.Assets) != 1 || len(p.Scope.AddressPrefixes) != 0 {
			t.Errorf("%s: %+v, %v", a, p, err)
		}
	}
	if n := i.asked.Load(); n != 1 {
		t.Errorf("the issuer was asked for its keys %d times, want once", n)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	i := newIssuer(t)
	i.signs("k", jose.ES256)
	v := i.verifier()
	good := i.token("k", jose.ES256, nil)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	public, ok := i.keys["k"].Public().(*ecdsa.PublicKey)
	i.mu.Unlock()
	if !ok {
		t.Fatal("no ECDSA key")
	}
	point, err := public.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	parts := strings.Split(good, ".")
	with := func(k string, value any) string { return i.token("k", jose.ES256, map[string]any{k: value}) }
	for name, token := range map[string]string{
		"another key under this name": i.sign(jose.JSONWebKey{Key: stranger, KeyID: "k"}, jose.ES256, nil),
		"alg none":                    part(map[string]string{"alg": "none", "kid": "k"}) + "." + parts[1] + ".",
		"the public key as a secret":  i.sign(jose.JSONWebKey{Key: point, KeyID: "k"}, jose.HS256, nil),
		"claims of another":           parts[0] + "." + part(i.claims(map[string]any{"sub": "eve"})) + "." + parts[2],
		"no signature":                parts[0] + "." + parts[1] + ".",
		"unknown kid":                 i.sign(jose.JSONWebKey{Key: stranger, KeyID: "x"}, jose.ES256, nil),
		"a key in the header":         i.sign(jose.JSONWebKey{Key: stranger}, jose.ES256, nil),
		"other issuer":                with("iss", "https://elsewhere.example"), "no issuer": with("iss", nil),
		"other audience": with("aud", []string{"payroll"}), "no audience": with("aud", nil),
		"expired": with("exp", start().Add(-30*time.Second).Unix()), "no expiry": with("exp", nil),
		"not yet":    with("nbf", start().Add(31*time.Second).Unix()),
		"no subject": with("sub", nil), "empty subject": with("sub", ""), "long subject": with("sub", strings.Repeat("x", 257)), "control in it": with("sub", "a\nb"),
		"no roles": with("realm", nil), "roles elsewhere": with("realm", "roles"), "no role known": with("realm", map[string]any{"roles": "janitor"}),
		"roles of numbers": with("realm", map[string]any{"roles": []int{1}}),
		"no scope":         with("assets", nil), "empty scope": with("units", []string{}), "scope that is none": with("assets", []string{"yuan"}),
		"long": good + strings.Repeat("A", 17<<10), "not one": "a.b.c", "empty": "", "dots": "..",
	} {
		if p, err := v.Verify(token, start()); err == nil {
			t.Errorf("%s: accepted as %+v", name, p)
		} else if strings.Contains(err.Error(), parts[2]) {
			t.Errorf("%s: the error has the signature", name)
		}
	}
	for name, token := range map[string]string{
		"expired within the skew":  with("exp", start().Add(-29*time.Second).Unix()),
		"not yet, within the skew": with("nbf", start().Add(29*time.Second).Unix()),
		"one audience of several":  with("aud", []string{"payroll", "sterling"}),
	} {
		if _, err := v.Verify(token, start()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOfSeveralRolesTheWidestCounts(t *testing.T) {
	i := newIssuer(t)
	i.signs("k", jose.EdDSA)
	token := i.token("k", jose.EdDSA, map[string]any{"realm": map[string]any{"roles": []string{"ledger-reader", "ledger-auditor"}}, "assets": "*"})
	p, err := i.verifier().Verify(token, start())
	if err != nil || p.Role != auth.RoleAuditor || p.Scope != nil {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestCachedTokensExpire(t *testing.T) {
	i := newIssuer(t)
	i.signs("k", jose.EdDSA)
	v := i.verifier()
	token := i.token("k", jose.EdDSA, nil)
	for _, c := range []struct {
		at   time.Duration
		want error
	}{{0, nil}, {time.Hour + 29*time.Second, nil}, {time.Hour + 30*time.Second, auth.ErrExpiredToken}} {
		if _, err := v.Verify(token, start().Add(c.at)); !errors.Is(err, c.want) {
			t.Errorf("after %v: %v, want %v", c.at, err, c.want)
		}
	}
}

func TestKeysRotate(t *testing.T) {
	i := newIssuer(t)
	i.signs("old", jose.ES256)
	v := i.verifier()
	before := i.token("old", jose.ES256, nil)
	if _, err := v.Verify(before, start()); err != nil {
		t.Fatal(err)
	}
	// A new key is fetched when a token names it, at once but not too often.
	i.signs("new", jose.EdDSA)
	after := i.token("new", jose.EdDSA, nil)
	if _, err := v.Verify(after, i.now()); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("within the refetch interval: %v", err)
	}
	i.clock.Advance(oidc.RefetchAfter)
	if _, err := v.Verify(after, i.now()); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
	for range 100 {
		_, _ = v.Verify(i.token("new", jose.EdDSA, map[string]any{"jti": "x"})[:40]+"..", i.now())
	}
	if n := i.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want 2", n)
	}
	// A key that is taken away ends its tokens, also those that were verified before.
	i.mu.Lock()
	delete(i.keys, "old")
	i.mu.Unlock()
	i.clock.Advance(oidc.RefetchAfter)
	i.signs("newer", jose.EdDSA)
	if _, err := v.Verify(i.token("newer", jose.EdDSA, nil), i.now()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(before, i.now()); !errors.Is(err, auth.ErrUnknownToken) {
		t.Errorf("a token of the key that was taken away: %v", err)
	}
}

func TestIssuerDown(t *testing.T) {
	i := newIssuer(t)
	i.signs("k", jose.ES256)
	i.down.Store(true)
	v := i.verifier()
	token := i.token("k", jose.ES256, map[string]any{"exp": start().Add(100 * time.Hour).Unix()})
	if _, err := v.Verify(token, i.now()); !errors.Is(err, oidc.ErrNoKeys) {
		t.Errorf("down from the beginning: %v", err)
	}
	i.down.Store(false)
	i.clock.Advance(oidc.RefetchAfter)
	if _, err := v.Verify(token, i.now()); err != nil {
		t.Fatalf("after it came up: %v", err)
	}
	i.down.Store(true)
	i.clock.Advance(oidc.StaleAfter)
	if _, err := v.Verify(token, i.now()); err != nil {
		t.Errorf("keys within their bound: %v", err)
	}
	i.clock.Advance(oidc.RefetchAfter)
	if _, err := v.Verify(token, i.now()); !errors.Is(err, oidc.ErrNoKeys) {
		t.Errorf("keys beyond their bound: %v", err)
	}
}

func TestAnswersOfIssuersThatAreNotTrusted(t *testing.T) {
	for name, change := range map[string]func(*issuer){
		"another's configuration": func(i *issuer) { i.claimed = "https://elsewhere.example" },
		"no keys":                 func(i *issuer) { i.answer = func(w http.ResponseWriter) { i.json(w, jose.JSONWebKeySet{}) } },
		"not JSON":                func(i *issuer) { i.answer = func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) } },
		"elsewhere": func(i *issuer) {
			i.answer = func(w http.ResponseWriter) { w.Header().Set("Location", "/keys"); w.WriteHeader(http.StatusFound) }
		},
		"too large": func(i *issuer) {
			i.answer = func(w http.ResponseWriter) {
				if _, err := w.Write([]byte(`{"keys":[` + strings.Repeat(" ", 2<<20) + `]}`)); err != nil {
					return // the client hangs up
				}
			}
		},
		"a small RSA key": func(i *issuer) {
			i.answer = func(w http.ResponseWriter) {
				i.json(w, map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "k", "n": "AQAB", "e": "AQAB"}}})
			}
		},
	} {
		i := newIssuer(t)
		i.signs("k", jose.ES256)
		i.mu.Lock()
		change(i)
		i.mu.Unlock()
		if _, err := i.verifier().Verify(i.token("k", jose.ES256, nil), i.now()); !errors.Is(err, oidc.ErrNoKeys) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := oidc.Options{Issuer: "https://a.example", Audience: "x", RoleClaim: "r", Roles: map[string]auth.Role{"a": auth.RoleReader}}
	if err := oidc.Check([]oidc.Options{good}); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*oidc.Options){
		"issuer: ": func(o *oidc.Options) { o.Issuer = "http://a.example" }, "issuer: \"\"": func(o *oidc.Options) { o.Issuer = "" },
		"plain URL": func(o *oidc.Options) { o.Issuer = "https://user@a.example" }, "audience": func(o *oidc.Options) { o.Audience = "" },
		"role_claim": func(o *oidc.Options) { o.RoleClaim = "" }, "roles": func(o *oidc.Options) { o.Roles = nil },
		"roles[a]": func(o *oidc.Options) { o.Roles = map[string]auth.Role{"a": 0} }, "clock_skew": func(o *oidc.Options) { o.ClockSkew = time.Hour },
	} {
		bad := good
		change(&bad)
		if err := oidc.Check([]oidc.Options{bad}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := oidc.Check([]oidc.Options{good, good}); err == nil {
		t.Error("an issuer twice: accepted")
	}
}

// FuzzVerify tries arbitrary payloads under a good signature and arbitrary tokens: what is accepted has a role, a
// name and a scope that makes sense.
func FuzzVerify(f *testing.F) {
	i := newIssuer(f)
	i.signs("k", jose.EdDSA)
	v := i.verifier()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: i.keys["k"], KeyID: "k"}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, changes := range []map[string]any{nil, {"aud": []string{"sterling", "x"}}, {"exp": 1e300}, {"exp": -1}, {"realm": 5}, {"assets": []any{1, nil}}} {
		b, err := json.Marshal(i.claims(changes))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), "a.b.c")
	}
	f.Fuzz(func(t *testing.T, payload, token string) {
		if _, err := v.Verify(token, start()); err == nil {
			t.Fatalf("accepted %q", token)
		}
		signed, err := signer.Sign([]byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		p, err := v.Verify(compact, start())
		if err != nil {
			return
		}
		if !p.Role.Allows(auth.Read) || p.Name == "" || p.Scope != nil && len(p.Scope.Assets)+len(p.Scope.AddressPrefixes) == 0 {
			t.Fatalf("%q accepted as %+v", payload, p)
		}
	})
}

func BenchmarkCached(b *testing.B) {
	i := newIssuer(b)
	i.signs("k", jose.RS256)
	v, token := i.verifier(), i.token("k", jose.RS256, nil)
	for b.Loop() {
		if _, err := v.Verify(token, start()); err != nil {
			b.Fatal(err)
		}
	}
}
