package node_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/sterlingrun/sterling/node"
)

// meshOrganisation is a certificate authority that knows nothing of the mesh.
type meshOrganisation struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newMeshOrganisation(t *testing.T) *meshOrganisation {
	t.Helper()
	o := &meshOrganisation{t: t}
	o.cert, o.key = o.certify(1)
	return o
}

// certify makes an authority that may have so many below it; the first one is the root.
func (o *meshOrganisation) certify(below int) (*x509.Certificate, *ecdsa.PrivateKey) {
	o.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "bank"}, IsCA: true, BasicConstraintsValid: true, MaxPathLen: below,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour),
	}
	by, with := o.cert, o.key
	if by == nil {
		by, with, template.MaxPathLen = template, key, below+1
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), with)
	if err != nil {
		o.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert, key
}

func meshPEM(certs ...*x509.Certificate) (out []byte) {
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// give writes an authority for the mesh and the roots to believe to files.
func (o *meshOrganisation) give(to node.MeshUpstream, roots ...*meshOrganisation) {
	o.t.Helper()
	cert, key := o.certify(1)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		o.t.Fatal(err)
	}
	var all []*x509.Certificate
	for _, r := range roots {
		all = append(all, r.cert)
	}
	if err := errors.Join(
		os.WriteFile(to.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(to.Certificate, meshPEM(cert), 0o600), os.WriteFile(to.Roots, meshPEM(all...), 0o600),
	); err != nil {
		o.t.Fatal(err)
	}
}

// TestAnOrganisationsAuthoritySigns for the node proxies of a mesh, its files are followed without a failed request, and
// what others are to believe is published.
func TestAnOrganisationsAuthoritySigns(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	r.control.Close()
	in := t.TempDir()
	up := node.MeshUpstream{Certificate: filepath.Join(in, "ca.crt"), Key: filepath.Join(in, "ca.key"), Roots: filepath.Join(in, "roots.crt")}
	before, after := newMeshOrganisation(t), newMeshOrganisation(t)
	before.give(up, before)
	r.config.Upstream, r.config.Bundle.Listen = up, "127.0.0.1:0"
	r.startControl()
	r.startNode("orders")
	r.startNode("shop")
	r.wantCall("/orders/1", 200)

	domain := spiffeid.RequireTrustDomainFromString("bank.example")
	believed := func(by *meshOrganisation) bool {
		bundle, err := federation.FetchBundle(t.Context(), domain, "https://"+r.control.BundleAddress().String()+"/",
			federation.WithSPIFFEAuth(spiffebundle.FromX509Authorities(domain, []*x509.Certificate{before.cert, after.cert}), spiffeid.RequireFromPath(domain, "/control")))
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(bundle.X509Authorities(), by.cert.Equal)
	}
	has := func(workload string) node.MeshCerts {
		var certs []node.MeshCerts
		r.ask(workload, "/certs", &certs)
		return certs[0]
	}
	trusts := func(workload string, who *meshOrganisation) bool {
		hash := sha256.Sum256(who.cert.Raw)
		return slices.Contains(has(workload).Trust["bank.example"], hex.EncodeToString(hash[:]))
	}
	if !believed(before) || believed(after) {
		t.Error("the bundle has not the upstream's root alone")
	}
	load := startLoad("http://127.0.0.1:" + r.port + "/orders/1")
	before.give(up, before, after) // the new root first
	r.until("the new root is published", func() bool { return believed(after) })
	r.until("and believed", func() bool { return trusts("orders", after) && trusts("shop", after) })
	orders, shop := has("orders").Serial, has("shop").Serial
	after.give(up, after) // and then what it signed
	r.until("both have new certificates", func() bool { return has("orders").Serial != orders && has("shop").Serial != shop })
	load.progress(r)
	load.stop(t)
	r.wantCall("/orders/1", 200)
}

func TestTrustThatCannotBeStarted(t *testing.T) {
	for want, change := range map[string]func(*node.Mesh){
		"mesh.upstream: want certificate, key and roots": func(m *node.Mesh) { m.Upstream.Certificate = "a" },
		"mesh.bundle.listen: want host:port":             func(m *node.Mesh) { m.Bundle.Listen = "a" },
		"certificate and key together":                   func(m *node.Mesh) { m.Bundle = node.MeshBundle{Listen: "127.0.0.1:0", Key: "a"} },
		"want the file of the desired state":             func(m *node.Mesh) { m.State, m.Upstream.Key = "", "a" },
	} {
		m := node.DefaultMesh()
		m.State, m.Domain = "mesh.yaml", "bank.example"
		change(&m)
		if err := m.Check(); !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestPolicyEnforcedByNodeProxies tells how long it takes from a new version of the file to the first request that the node
// proxies judge by it. It reports: looking at the file takes up to 10 ms of it.
func TestPolicyEnforcedByNodeProxies(t *testing.T) {
	r := newMeshRig(t, time.Hour)
	r.startNode("orders")
	r.startNode("shop")
	r.wantCall("/orders/1", 200)
	var took []time.Duration
	for i := range 20 {
		text, want := r.desired("/orders/*"), 200
		if i%2 == 0 {
			text, want = r.desired("/elsewhere"), 403
		}
		start := time.Now()
		r.write(text)
		for end := start.Add(meshPatience); ; {
			if code, _ := r.call("/orders/1"); code == want {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("change %d is not enforced within %s", i, meshPatience)
			}
		}
		took = append(took, time.Since(start))
		r.until("it is kept", func() bool {
			kept, _ := os.ReadFile(filepath.Join(r.dir, "c", "state.yaml"))
			return string(kept) == text
		})
	}
	slices.Sort(took)
	t.Logf("policy to enforcement, node proxies: median %s, slowest of %d %s", took[len(took)/2], len(took), took[len(took)-1])
}
