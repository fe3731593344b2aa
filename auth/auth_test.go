package auth_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
)

func start() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC) }

func bootstrap(t *testing.T) (dir, admin string) {
	t.Helper()
	dir = t.TempDir()
	created, err := auth.Bootstrap(dir, start(), rand.Reader)
	if err != nil || !created {
		t.Fatalf("bootstrap = %v, %v", created, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, auth.AdminFile))
	if err != nil {
		t.Fatal(err)
	}
	return dir, strings.TrimSpace(string(data))
}

func open(t *testing.T, dir string) *auth.Store {
	t.Helper()
	s, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T, dir string, role auth.Role, expires time.Time) (string, auth.Token) {
	t.Helper()
	token, entry, err := auth.Create(dir, "till 7", role, start(), expires, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return token, entry
}

func TestRolesAllowExactlyWhatTheyShould(t *testing.T) {
	permissions := []auth.Permission{auth.Read, auth.Write, auth.Operate, auth.Audit}
	want := map[auth.Role]string{
		0: "----", auth.RoleReader: "r---", auth.RoleTeller: "rw--",
		auth.RoleOperator: "rwo-", auth.RoleAuditor: "r--a", auth.RoleAdmin: "rwoa", 6: "----",
	}
	for role, w := range want {
		got := []byte("----")
		for i, p := range permissions {
			if role.Allows(p) {
				got[i] = "rwoa"[i]
			}
		}
		if string(got) != w {
			t.Errorf("%v allows %s, want %s", role, got, w)
		}
		if role.Allows(0) {
			t.Errorf("%v allows the empty permission", role)
		}
	}
}

func TestBootstrapWritesOneAdminToken(t *testing.T) {
	dir, admin := bootstrap(t)
	for _, name := range []string{auth.AdminFile, auth.TokensFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v, want 0600", name, info.Mode(), err)
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, auth.TokensFile))
	if err != nil {
		t.Fatal(err)
	}
	if secret := admin[strings.LastIndexByte(admin, '_')+1:]; bytes.Contains(data, []byte(secret)) {
		t.Error("the token file holds the secret in clear")
	}
	p, err := open(t, dir).Verify(admin, start())
	if err != nil || p.Role != auth.RoleAdmin || p.ID == [16]byte{} {
		t.Fatalf("verify = %+v, %v", p, err)
	}
	if created, err := auth.Bootstrap(dir, start(), rand.Reader); err != nil || created {
		t.Fatalf("second bootstrap = %v, %v", created, err)
	}
}

func TestBootstrapFinishesAnInterruptedOne(t *testing.T) {
	dir, admin := bootstrap(t)
	if err := os.Remove(filepath.Join(dir, auth.TokensFile)); err != nil {
		t.Fatal(err)
	}
	if created, err := auth.Bootstrap(dir, start(), rand.Reader); err != nil || !created {
		t.Fatalf("bootstrap = %v, %v", created, err)
	}
	if _, err := open(t, dir).Verify(admin, start()); err != nil {
		t.Fatalf("the token that was written is refused: %v", err)
	}
}

func TestBootstrapRefusesAForeignAdminFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, auth.AdminFile), []byte("shopping list"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Bootstrap(dir, start(), rand.Reader); err == nil {
		t.Fatal("a file that holds no token was accepted")
	}
	if _, err := os.Stat(filepath.Join(dir, auth.TokensFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a token file was written all the same: %v", err)
	}
}

func TestVerifyRefusesWhatIsNotAToken(t *testing.T) {
	dir, admin := bootstrap(t)
	s := open(t, dir)
	flip := func(i int) string {
		b := []byte(admin)
		if b[i] == '0' {
			b[i] = '1'
		} else {
			b[i] = '0'
		}
		return string(b)
	}
	for name, token := range map[string]string{
		"empty": "", "prefix only": "sterling_", "truncated": admin[:len(admin)-1], "longer": admin + "0",
		"other id": flip(12), "other secret": flip(len(admin) - 1), "upper case": strings.ToUpper(admin),
		"no separator": strings.Replace(admin[9:], "_", "0", 1), "not hexadecimal": admin[:9] + "zz" + admin[11:],
	} {
		if _, err := s.Verify(token, start()); !errors.Is(err, auth.ErrUnknownToken) {
			t.Errorf("%s: err = %v, want ErrUnknownToken", name, err)
		}
	}
}

func TestVerifyFollowsTheFile(t *testing.T) {
	dir, _ := bootstrap(t)
	s := open(t, dir)
	token, entry := create(t, dir, auth.RoleTeller, time.Time{})
	if _, err := s.Verify(token, start()); !errors.Is(err, auth.ErrUnknownToken) {
		t.Fatalf("before the reload interval: %v", err)
	}
	later := start().Add(auth.ReloadInterval)
	if p, err := s.Verify(token, later); err != nil || p.Role != auth.RoleTeller || p.Name != "till 7" {
		t.Fatalf("after the reload interval: %+v, %v", p, err)
	}
	if err := auth.Revoke(dir, entry.ID, later); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(token, later.Add(auth.ReloadInterval)); !errors.Is(err, auth.ErrUnknownToken) {
		t.Fatalf("after revocation: %v", err)
	}
}

func TestVerifyFollowsTheFileWhenTheClockRunsBack(t *testing.T) {
	dir, _ := bootstrap(t)
	s := open(t, dir)
	token, _ := create(t, dir, auth.RoleReader, time.Time{})
	if _, err := s.Verify(token, start().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyExpires(t *testing.T) {
	dir, _ := bootstrap(t)
	expires := start().Add(time.Minute)
	token, _ := create(t, dir, auth.RoleReader, expires)
	s := open(t, dir)
	if _, err := s.Verify(token, expires.Add(-1)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(token, expires); !errors.Is(err, auth.ErrExpiredToken) {
		t.Fatalf("err = %v, want ErrExpiredToken", err)
	}
}

func TestDamagedFileKeepsOldEntries(t *testing.T) {
	dir, admin := bootstrap(t)
	s := open(t, dir)
	path := filepath.Join(dir, auth.TokensFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	now := start().Add(auth.ReloadInterval)
	if _, err := s.Verify(admin, now); err != nil {
		t.Fatal(err)
	}
	if s.Err() == nil {
		t.Fatal("the damage is not reported")
	}
	if _, err := auth.Open(dir, now, slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("a damaged file was opened")
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(admin, now.Add(auth.ReloadInterval)); err != nil || s.Err() != nil {
		t.Fatalf("after mending: %v, %v", err, s.Err())
	}
}

func TestOpenRefusesFilesThatCannotBeTrusted(t *testing.T) {
	const one = `{"id":"000102030405060708090a0b0c0d0e0f","name":"a","role":"reader","sha256":"` +
		`e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","created":"2026-01-01T00:00:00Z"}`
	for name, text := range map[string]string{
		"unknown field":   `{"version":1,"tokens":[],"more":1}`,
		"unknown version": `{"version":4,"tokens":[]}`,
		"trailing data":   `{"version":1,"tokens":[]} {}`,
		"duplicate id":    `{"version":1,"tokens":[` + one + "," + one + `]}`,
		"unknown role":    `{"version":1,"tokens":[` + strings.Replace(one, "reader", "king", 1) + `]}`,
		"no role":         `{"version":1,"tokens":[` + strings.Replace(one, `"role":"reader",`, "", 1) + `]}`,
		"short hash":      `{"version":1,"tokens":[` + strings.Replace(one, "e3b0", "", 1) + `]}`,
		"short id":        `{"version":1,"tokens":[` + strings.Replace(one, "0001", "", 1) + `]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, auth.TokensFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	dir, _ := bootstrap(t)
	if err := os.Chmod(filepath.Join(dir, auth.TokensFile), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a file that others can write was opened")
	}
}

func TestCreateRefusesBadInput(t *testing.T) {
	dir, _ := bootstrap(t)
	for name, err := range map[string]error{
		"no name":     second(auth.Create(dir, "", auth.RoleReader, start(), time.Time{}, rand.Reader)),
		"long name":   second(auth.Create(dir, strings.Repeat("x", 65), auth.RoleReader, start(), time.Time{}, rand.Reader)),
		"newline":     second(auth.Create(dir, "a\nb", auth.RoleReader, start(), time.Time{}, rand.Reader)),
		"no role":     second(auth.Create(dir, "a", 0, start(), time.Time{}, rand.Reader)),
		"in the past": second(auth.Create(dir, "a", auth.RoleReader, start(), start(), rand.Reader)),
		"no entropy":  second(auth.Create(dir, "a", auth.RoleReader, start(), time.Time{}, strings.NewReader("x"))),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := auth.Revoke(dir, "00", start()); !errors.Is(err, auth.ErrNoToken) {
		t.Errorf("revoke of an unknown id: %v", err)
	}
}

func second(_ string, _ auth.Token, err error) error { return err }

func TestConcurrentCreatesAllStay(t *testing.T) {
	dir, _ := bootstrap(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, _, err := auth.Create(dir, "worker", auth.RoleTeller, start(), time.Time{}, rand.Reader); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	tokens, err := auth.List(dir)
	if err != nil || len(tokens) != 9 {
		t.Fatalf("%d tokens, %v, want 9", len(tokens), err)
	}
}

func TestBearer(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer abc": "abc", "bearer abc": "abc", "Bearer": "", "Bearer ": "", "Basic abc": "", "": "", "abc": "",
	} {
		if token, ok := auth.Bearer(header); token != want || ok != (want != "") {
			t.Errorf("Bearer(%q) = %q, %v", header, token, ok)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	if _, err := auth.Bootstrap(dir, start(), rand.Reader); err != nil {
		b.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, auth.AdminFile))
	if err != nil {
		b.Fatal(err)
	}
	s, err := auth.Open(dir, start(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	token := strings.TrimSpace(string(data))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Verify(token, start()); err != nil {
			b.Fatal(err)
		}
	}
}
