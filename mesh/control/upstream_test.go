package control_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// organisation is a certificate authority of its own, made by this test alone: what SPIRE or step-ca is elsewhere.
type organisation struct {
	t    *testing.T
	cert *x509.Certificate
	key  crypto.Signer
}

func newOrganisation(t *testing.T, name string) *organisation {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048) // as many roots are; the mesh's own keys are others
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
	}
	o := &organisation{t: t, cert: template, key: key}
	o.cert = o.sign(template, key.Public())
	return o
}

func (o *organisation) sign(template *x509.Certificate, key crypto.PublicKey) *x509.Certificate {
	o.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, o.cert, key, o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert
}

// certify writes an intermediate authority for the mesh to files, which have the roots of all organisations named.
func (o *organisation) certify(files control.IntermediateFiles, change func(*x509.Certificate), roots ...*organisation) {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "the mesh's"}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
		URIs: []*url.URL{{Scheme: "spiffe", Host: domain}},
	}
	change(template)
	cert := o.sign(template, key.Public())
	der, err := x509.MarshalECPrivateKey(key) // SEC 1, as step-ca writes it
	if err != nil {
		o.t.Fatal(err)
	}
	text := ""
	for _, root := range append([]*organisation{o}, roots...) {
		text += pemOf("CERTIFICATE", root.cert.Raw)
	}
	err = errors.Join(
		os.WriteFile(files.Certificate, []byte(pemOf("CERTIFICATE", cert.Raw)+pemOf("CERTIFICATE", o.cert.Raw)), 0o600),
		os.WriteFile(files.Key, []byte(pemOf("EC PRIVATE KEY", der)), 0o600), os.WriteFile(files.Roots, []byte(text), 0o600))
	if err != nil {
		o.t.Fatal(err)
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func asItIs(*x509.Certificate) {}

func intermediateFiles(t *testing.T) control.IntermediateFiles {
	t.Helper()
	in := t.TempDir()
	return control.IntermediateFiles{Certificate: filepath.Join(in, "ca.crt"), Key: filepath.Join(in, "ca.key"), Roots: filepath.Join(in, "roots.crt")}
}

// below puts a rig below an organisation.
func (r *rig) below(files control.IntermediateFiles) {
	r.t.Helper()
	r.stop()
	r.folder = r.t.TempDir()
	up, err := control.OpenIntermediate(files, r.folder, domain, r.clock)
	if err != nil {
		r.t.Fatal(err)
	}
	r.upstream = up
	r.start(control.Options{})
}

// TestAnOrganisationsAuthority: gRPC's own clients and servers, and a machine that joins, believe identities that lead to
// an organisation's root. The mesh makes none of its own.
func TestAnOrganisationsAuthority(t *testing.T) {
	org, files := newOrganisation(t, "org"), intermediateFiles(t)
	org.certify(files, asItIs)
	g := &gate{rig: newRig(t, clock.NewSystem())}
	g.below(files)
	l := listen(t)
	g.apply(config(l.Addr().String(), allowAPI))
	g.serve("ledger", l, accepted)
	if got := check(t, g.dial("api", "ledger")); got != codes.OK {
		t.Errorf("the api: %s", got)
	}
	if got := check(t, g.dial("intruder", "ledger")); got != codes.PermissionDenied {
		t.Errorf("the intruder: %s", got)
	}
	svid := issue(t, g.authority)
	if _, err := verify(svid, []*x509.Certificate{org.cert}); err != nil || len(svid.Chain) != 3 {
		t.Errorf("%d certificates: %v", len(svid.Chain), err)
	}
	if _, err := os.Stat(filepath.Join(g.folder, "root.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a root of its own: %v", err)
	}

	g.open()
	folder := t.TempDir()
	m := g.member(folder)
	if joined, err := m.Join(t.Context(), g.token("pay-1", time.Minute, "api")); err != nil || !joined {
		t.Fatalf("joined %t: %v", joined, err)
	}
	who := id("api")
	if said := g.keepOnce(m, &who, t.TempDir()); said != "" {
		t.Error(said)
	}
}

// TestTheOrganisationRotates: new files are in use with Renew, workloads get certificates and roots at once, and the old
// root is believed as long as what it signed is good.
func TestTheOrganisationRotates(t *testing.T) {
	clk := fakeNow(0)
	before, after, files := newOrganisation(t, "before"), newOrganisation(t, "after"), intermediateFiles(t)
	before.certify(files, asItIs)
	r := newRig(t, clk)
	r.below(files)
	r.apply(config("127.0.0.1:1", allowAPI))
	watch := r.watch()
	first := await(t, watch.got, "certificates")
	old := issue(t, r.authority)

	after.certify(files, asItIs)
	if err := r.plane.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := await(t, watch.got, "certificates after the change")
	if same := func(a, b *workloadapi.X509Context) bool {
		return a.DefaultSVID().Certificates[0].Equal(b.DefaultSVID().Certificates[0])
	}; same(first, second) {
		t.Error("no new certificate")
	}
	svid := issue(t, r.authority)
	if _, err := verify(svid, []*x509.Certificate{after.cert}); err != nil {
		t.Error(err)
	}
	if roots := r.authority.Roots(); len(roots) != 2 {
		t.Errorf("%d roots while old certificates are about", len(roots))
	} else if _, err := verify(old, roots); err != nil {
		t.Error(err)
	}
	// Files that can't be used change nothing.
	if err := os.WriteFile(files.Certificate, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.plane.Renew(t.Context()); err == nil {
		t.Error("renewed from half a file")
	}
	if _, err := verify(issue(t, r.authority), []*x509.Certificate{after.cert}); err != nil {
		t.Error(err)
	}

	clk.Advance(time.Hour)
	if roots := r.authority.Roots(); len(roots) != 1 || !roots[0].Equal(after.cert) {
		t.Errorf("%d roots an hour later", len(roots))
	}
}

func TestIntermediatesThatCannotBeUsed(t *testing.T) {
	org, other := newOrganisation(t, "org"), newOrganisation(t, "other")
	change := func(f func(*x509.Certificate)) func(control.IntermediateFiles) {
		return func(files control.IntermediateFiles) { org.certify(files, f) }
	}
	write := func(pick func(control.IntermediateFiles) string, text string, mode os.FileMode) func(control.IntermediateFiles) {
		return func(files control.IntermediateFiles) {
			if err := errors.Join(os.WriteFile(pick(files), []byte(text), mode), os.Chmod(pick(files), mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := func(f control.IntermediateFiles) string { return f.Key }
	rootKey, err := x509.MarshalPKCS8PrivateKey(org.key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want   string
		change func(control.IntermediateFiles)
	}{
		{"path length of 0", change(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })},
		{"certificate of an authority", change(func(c *x509.Certificate) { c.IsCA, c.MaxPathLen = false, 0 })},
		{"certificate of an authority", change(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })},
		{"another trust domain", change(func(c *x509.Certificate) { c.URIs[0].Host = "other.example" })},
		{"expired", change(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		{"unknown authority", write(func(f control.IntermediateFiles) string { return f.Roots }, pemOf("CERTIFICATE", other.cert.Raw), 0o600)},
		{"unknown authority", write(func(f control.IntermediateFiles) string { return f.Roots }, "", 0o600)},
		{"can be read by others", func(f control.IntermediateFiles) {
			if err := os.Chmod(f.Key, 0o640); err != nil {
				t.Fatal(err)
			}
		}},
		{"does not match", write(key, pemOf("PRIVATE KEY", rootKey), 0o600)},
		{"failed to find any PEM data", write(key, "none", 0o600)},
		{"a root itself", func(f control.IntermediateFiles) {
			write(key, pemOf("PRIVATE KEY", rootKey), 0o600)(f)
			write(func(f control.IntermediateFiles) string { return f.Certificate }, pemOf("CERTIFICATE", org.cert.Raw), 0o600)(f)
		}},
		{"no such file", func(f control.IntermediateFiles) {
			if err := os.Remove(f.Roots); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		files := intermediateFiles(t)
		org.certify(files, asItIs)
		c.change(files)
		if _, err := control.OpenIntermediate(files, t.TempDir(), domain, clock.NewSystem()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
	if _, err := control.OpenIntermediate(control.IntermediateFiles{}, "", "No Domain", clock.NewSystem()); err == nil {
		t.Error("no trust domain")
	}
}

// TestAnIntermediateThatEndsSoon: nothing outlives it, and there is no authority where certificates would have to.
func TestAnIntermediateThatEndsSoon(t *testing.T) {
	org, files := newOrganisation(t, "org"), intermediateFiles(t)
	org.certify(files, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(2 * time.Hour) })
	up, err := control.OpenIntermediate(files, t.TempDir(), domain, clock.NewSystem())
	if err != nil {
		t.Fatal(err)
	}
	a, err := control.NewAuthority(context.Background(), domain, time.Hour, up, clock.NewSystem())
	if err != nil {
		t.Fatal(err)
	}
	if chain := issue(t, a).Chain; chain[1].NotAfter.After(chain[2].NotAfter) || chain[0].NotAfter.After(chain[1].NotAfter) {
		t.Error("a certificate outlives its issuer")
	}
	org.certify(files, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(30 * time.Minute) })
	if _, err := control.NewAuthority(context.Background(), domain, time.Hour, up, clock.NewSystem()); err == nil {
		t.Error("an authority that ends before what it would sign")
	}
}

// TestAnAuthorityAboveTheIntermediate: what it does not allow, or outlive, would be signed for nothing.
func TestAnAuthorityAboveTheIntermediate(t *testing.T) {
	root := newOrganisation(t, "root")
	for _, c := range []struct {
		pathLen int
		life    time.Duration
		opened  bool
		signs   bool
	}{
		{1, 100 * time.Hour, false, false}, // the mesh's and the intermediate are two
		{2, 100 * time.Hour, true, true},
		{-1, 100 * time.Hour, true, true},
		{-1, 2 * time.Hour, true, true},
		{-1, 30 * time.Minute, true, false},
	} {
		between := newOrganisation(t, "between")
		key := between.key.(*rsa.PrivateKey).Public()
		between.cert = root.sign(&x509.Certificate{
			SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: c.pathLen,
			KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(c.life),
		}, key)
		files := intermediateFiles(t)
		between.certify(files, func(own *x509.Certificate) { own.MaxPathLen = -1 })
		if err := os.WriteFile(files.Roots, []byte(pemOf("CERTIFICATE", root.cert.Raw)), 0o600); err != nil {
			t.Fatal(err)
		}
		up, err := control.OpenIntermediate(files, t.TempDir(), domain, clock.NewSystem())
		if (err == nil) != c.opened {
			t.Errorf("%+v: opened: %v", c, err)
		}
		if err != nil {
			continue
		}
		a, err := control.NewAuthority(context.Background(), domain, time.Hour, up, clock.NewSystem())
		if (err == nil) != c.signs {
			t.Errorf("%+v: signs: %v", c, err)
		}
		if err != nil {
			continue
		}
		svid := issue(t, a)
		if _, err := verify(svid, []*x509.Certificate{root.cert}); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		if svid.Chain[1].NotAfter.After(between.cert.NotAfter) {
			t.Errorf("%+v: the mesh's authority outlives the one above", c)
		}
	}
}

// TestAnAuthorityForOthers: one that may not certify the mesh's names, or servers and clients, is refused at the start.
func TestAnAuthorityForOthers(t *testing.T) {
	for what, change := range map[string]func(*x509.Certificate){
		"another domain's": func(c *x509.Certificate) { c.PermittedURIDomains, c.URIs = []string{"other.example"}, nil },
		"all but ours":     func(c *x509.Certificate) { c.ExcludedURIDomains, c.URIs = []string{domain}, nil },
		"servers only":     func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} },
	} {
		files := intermediateFiles(t)
		newOrganisation(t, "org").certify(files, change)
		up, err := control.OpenIntermediate(files, t.TempDir(), domain, clock.NewSystem())
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if _, err := control.NewAuthority(context.Background(), domain, time.Hour, up, clock.NewSystem()); err == nil {
			t.Errorf("%s: it signs", what)
		}
	}
}
