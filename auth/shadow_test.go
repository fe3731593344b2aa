package auth_test

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
)

// TestShadowTokens: the file takes the version that an older program refuses, and nothing takes the colour off a token,
// neither a rotation nor what the journal says of it.
func TestShadowTokens(t *testing.T) {
	dir, _ := bootstrap(t)
	if _, entry := create(t, dir, auth.RoleTeller, time.Time{}); entry.Shadow || version(t, dir) != 1 {
		t.Fatalf("a plain token: %+v, version %d", entry, version(t, dir))
	}
	token, entry, err := auth.CreateToken(dir, auth.Spec{Name: "load test", Role: auth.RoleTeller, Shadow: true}, start(), rand.Reader)
	if err != nil || version(t, dir) != 3 {
		t.Fatalf("%v, version %d, want 3", err, version(t, dir))
	}
	s := open(t, dir)
	if p, err := s.Verify(token, start()); err != nil || !p.Shadow {
		t.Errorf("verify = %+v, %v", p, err)
	}
	if token, _, err = auth.Rotate(dir, entry.ID, 0, start(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	var id [16]byte
	if _, err := hex.Decode(id[:], []byte(entry.ID)); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if err := s.SetJournaled([]auth.Token{{ID: entry.ID, Name: "promoted", Role: auth.RoleAdmin}}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Verify(token, start()); err != nil || !p.Shadow || p.Role != auth.RoleAdmin || p.ID != id {
		t.Errorf("after a rotation and a change in the journal: %+v, %v", p, err)
	}
	path := filepath.Join(dir, auth.TokensFile)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), `"version": 3`, `"version": 2`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.List(dir); err == nil || !strings.Contains(err.Error(), "version 2 has not") {
		t.Errorf("shadow in version 2: %v", err)
	}
}
