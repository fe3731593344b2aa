package control_test

import (
	"context"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// fakeNow is a fake clock that stands at the machine's time plus d: what it certifies, TLS judges by the machine's.
func fakeNow(d time.Duration) *clock.Fake {
	return clock.NewFake(uint64(time.Now().Add(d).UnixNano()))
}

func newAuthority(t *testing.T, folder, domain string, clk clock.Clock) *control.Authority {
	t.Helper()
	root, err := control.OpenRoot(folder, domain, clk)
	if err != nil {
		t.Fatal(err)
	}
	a, err := control.NewAuthority(t.Context(), domain, time.Hour, root, clk)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func issue(t *testing.T, a *control.Authority) *control.SVID {
	t.Helper()
	svid, err := a.Issue(t.Context(), id("ledger"))
	if err != nil {
		t.Fatal(err)
	}
	return svid
}

// verify checks a chain as every SPIFFE client does.
func verify(svid *control.SVID, roots []*x509.Certificate) (spiffeid.ID, error) {
	bundle := x509bundle.FromX509Authorities(spiffeid.RequireTrustDomainFromString(domain), roots)
	got, _, err := x509svid.Verify(svid.Chain, bundle)
	return got, err
}

func TestAuthorityIssues(t *testing.T) {
	a := newAuthority(t, t.TempDir(), domain, clock.NewSystem())
	svid := issue(t, a)
	if got, err := verify(svid, a.Roots()); err != nil || got.String() != id("ledger").String() {
		t.Errorf("verified as %s: %v", got, err)
	}
	leaf := svid.Chain[0]
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > control.MaxLifetime || leaf.IsCA || len(leaf.URIs) != 1 {
		t.Errorf("valid for %s, CA %t, %v", life, leaf.IsCA, leaf.URIs)
	}
	if left := time.Until(svid.Renew); left > 30*time.Minute || left < 29*time.Minute {
		t.Errorf("renewed in %s", left)
	}
	for _, bad := range []mesh.ID{{}, {Domain: "other.example", Cell: "c1", Service: "a"}, {Domain: domain, Cell: "../c", Service: "a"}} {
		if _, err := a.Issue(t.Context(), bad); err == nil {
			t.Errorf("issued to %v", bad)
		}
	}
	if other := newAuthority(t, t.TempDir(), domain, clock.NewSystem()); len(other.Roots()) != 1 {
		t.Error("want one root")
	} else if _, err := verify(svid, other.Roots()); err == nil {
		t.Error("verified with the root of somebody else")
	}
	for _, lifetime := range []time.Duration{0, time.Second, time.Hour + 1} {
		if _, err := control.NewAuthority(t.Context(), domain, lifetime, nil, clock.NewSystem()); err == nil {
			t.Errorf("an authority for certificates of %s", lifetime)
		}
	}
}

func TestRootIsKept(t *testing.T) {
	folder := t.TempDir()
	before := newAuthority(t, folder, domain, clock.NewSystem())
	after := newAuthority(t, folder, domain, clock.NewSystem())
	if _, err := verify(issue(t, before), after.Roots()); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	key := filepath.Join(folder, "root.key")
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	fails := func(what, want string) {
		t.Helper()
		if _, err := control.OpenRoot(folder, domain, clock.NewSystem()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := control.OpenRoot(folder, "other.example", clock.NewSystem()); err == nil {
		t.Error("the root of another domain")
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	change := func(mode os.FileMode, with string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(key, []byte(with), mode), os.Chmod(key, mode)); err != nil {
			t.Fatal(err)
		}
	}
	change(0o640, string(text))
	fails("a key that the group reads", "can be read by others")
	change(0o600, "no key")
	fails("a key that is none", "want a key in PEM")
	other := t.TempDir()
	newAuthority(t, other, domain, clock.NewSystem())
	foreign, err := os.ReadFile(filepath.Join(other, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	change(0o600, string(foreign))
	fails("another root's key", "does not belong")
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	fails("a certificate without its key", "no such file")
}

// upstream is a root that can be away.
type upstream struct {
	*control.Root
	err   error
	calls int
}

func (u *upstream) SignIntermediate(ctx context.Context, csr []byte, d time.Duration) ([]*x509.Certificate, []*x509.Certificate, error) {
	u.calls++
	if u.err != nil {
		return nil, nil, u.err
	}
	return u.Root.SignIntermediate(ctx, csr, d)
}

// TestIntermediateRotates: at half its life; while the upstream is away the old one goes on, but never past its end.
func TestIntermediateRotates(t *testing.T) {
	clk := clock.NewFake(uint64(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).UnixNano()))
	root, err := control.OpenRoot(t.TempDir(), domain, clk)
	if err != nil {
		t.Fatal(err)
	}
	up := &upstream{Root: root}
	a, err := control.NewAuthority(t.Context(), domain, time.Hour, up, clk)
	if err != nil {
		t.Fatal(err)
	}
	first := issue(t, a).Chain[1]
	clk.Advance(84*time.Hour - time.Second)
	if !issue(t, a).Chain[1].Equal(first) || up.calls != 1 {
		t.Error("rotated before half its life")
	}
	up.err = errors.New("away")
	clk.Advance(2 * time.Second)
	if !issue(t, a).Chain[1].Equal(first) || up.calls != 2 {
		t.Error("an upstream that is away ends the authority before its time")
	}
	up.err = nil
	second := issue(t, a)
	if second.Chain[1].Equal(first) {
		t.Error("not rotated when the upstream is back")
	}
	if !second.Chain[0].NotAfter.Before(second.Chain[1].NotAfter) {
		t.Error("a certificate outlives its issuer")
	}
	up.err = errors.New("away")
	clk.Advance(7*24*time.Hour - 30*time.Minute)
	if _, err := a.Issue(t.Context(), id("ledger")); !errors.Is(err, up.err) {
		t.Errorf("issued past the end of the issuer: %v", err)
	}
}
