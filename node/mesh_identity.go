package node

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/sterlingrun/sterling/mesh/control"
)

// meshIdentity is a workload's identity as its proxy uses it: from files, of which the last that could be read count.
type meshIdentity struct {
	folder  string
	current atomic.Pointer[identityMaterial] // nil: none was there yet
}

type identityMaterial struct {
	cert  tls.Certificate
	roots map[string]*x509.CertPool // by trust domain
	told  MeshCerts
}

// MeshCerts are a workload's certificate and whom it trusts.
type MeshCerts struct {
	ID        string              `json:"id"`
	Serial    string              `json:"serial"`
	NotBefore time.Time           `json:"not_before"`
	NotAfter  time.Time           `json:"not_after"`
	Trust     map[string][]string `json:"trust"` // SHA-256 of the roots, by trust domain
}

// load reads the files anew.
func (i *meshIdentity) load() error {
	next, err := readIdentity(i.folder)
	if err != nil {
		return fmt.Errorf("read the certificates in %s: %w", i.folder, err)
	}
	i.current.Store(next)
	return nil
}

func readIdentity(folder string) (*identityMaterial, error) {
	file := filepath.Join(folder, control.IdentityFile)
	cert, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(folder, control.BundlesFile))
	if err != nil {
		return nil, err
	}
	var bundles struct {
		Domains map[string]json.RawMessage `json:"trust_domains"`
	}
	if err := json.Unmarshal(text, &bundles); err != nil {
		return nil, err
	}
	leaf := cert.Leaf
	out := &identityMaterial{cert: cert, roots: map[string]*x509.CertPool{}, told: MeshCerts{
		Serial: leaf.SerialNumber.Text(16), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Trust: map[string][]string{},
	}}
	if len(leaf.URIs) == 1 {
		out.told.ID = leaf.URIs[0].String()
	}
	for domain, bundle := range bundles.Domains {
		name, err := spiffeid.TrustDomainFromString(domain)
		if err != nil {
			return nil, err
		}
		parsed, err := spiffebundle.Parse(name, bundle)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		for _, root := range parsed.X509Authorities() {
			pool.AddCert(root)
			hash := sha256.Sum256(root.Raw)
			out.told.Trust[domain] = append(out.told.Trust[domain], hex.EncodeToString(hash[:]))
		}
		out.roots[domain] = pool
	}
	return out, nil
}

func (i *meshIdentity) get() (*identityMaterial, error) {
	if m := i.current.Load(); m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("no certificate yet in %s", i.folder)
}

// GetCertificate implements proxy.Identity.
func (i *meshIdentity) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	m, err := i.get()
	if err != nil {
		return nil, err
	}
	return &m.cert, nil
}

// GetClientCertificate implements proxy.Identity.
func (i *meshIdentity) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return i.GetCertificate(nil)
}

// Roots implements proxy.Identity.
func (i *meshIdentity) Roots(domain string) (*x509.CertPool, error) {
	m, err := i.get()
	if err != nil {
		return nil, err
	}
	pool, ok := m.roots[domain]
	if !ok {
		return nil, fmt.Errorf("the trust domain %.100q is not trusted", domain)
	}
	return pool, nil
}
