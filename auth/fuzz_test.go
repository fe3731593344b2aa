package auth_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/auth"
)

// FuzzTokenFile opens arbitrary token files: what is accepted must list the same
// tokens, each with a role and a whole hash.
func FuzzTokenFile(f *testing.F) {
	const token = `{"id":"000102030405060708090a0b0c0d0e0f","name":"a","role":"reader","sha256":"` +
		`e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","created":"2026-01-01T00:00:00Z","expires":"2027-01-01T00:00:00Z"}`
	f.Add([]byte(`{"version":1,"tokens":[` + token + `]}`))
	f.Add([]byte(`{"version":2,"tokens":[` + strings.TrimSuffix(token, "}") + `,"assets":["CNY/2"],"address_prefixes":["m:1:"],"calls_per_second":5,` +
		`"events_per_second":0.5,"previous_sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","previous_until":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":3,"tokens":[` + strings.TrimSuffix(token, "}") + `,"shadow":true}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{"version":1,"tokens":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, auth.TokensFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler))
		tokens, listErr := auth.List(dir)
		if (err == nil) != (listErr == nil) {
			t.Fatalf("Open: %v, List: %v", err, listErr)
		}
		for _, token := range tokens {
			if !token.Role.Allows(auth.Read) || len(token.Hash) != 64 || len(token.ID) != 32 {
				t.Fatalf("accepted %+v", token)
			}
			if _, err := auth.NewScope(token.Assets, token.AddressPrefixes); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzVerify tries arbitrary tokens: only the one that was made is accepted.
func FuzzVerify(f *testing.F) {
	dir := f.TempDir()
	const id, secret = "00000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000000"
	if _, err := auth.Bootstrap(dir, start(), zeros{}); err != nil {
		f.Fatal(err)
	}
	s, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler))
	if err != nil {
		f.Fatal(err)
	}
	const good = "sterling_" + id + "_" + secret
	f.Add(good)
	f.Add("sterling_" + id + "_")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := s.Verify(token, start()); (err == nil) != (token == good) {
			t.Fatalf("%q: %v", token, err)
		}
	})
}

// zeros is a source that draws nothing but zeros.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
