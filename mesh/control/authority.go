package control

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
)

const (
	// MaxLifetime is the longest that a workload's certificate may be valid.
	MaxLifetime = time.Hour
	// MinLifetime is the shortest: what is much shorter than a second is over before it arrives.
	MinLifetime = 4 * time.Second
	// intermediateLifetime: its key is only in memory, and half of it is left when the next one takes over.
	intermediateLifetime = 7 * 24 * time.Hour
)

// Authority issues X.509-SVIDs in one trust domain. Its own key is in memory only; a new one is signed by the upstream
// at half its life and after every start. Safe for concurrent use.
type Authority struct {
	domain   string
	lifetime time.Duration
	clock    clock.Clock
	upstream Upstream

	mu     sync.Mutex
	issuer issuer
}

type issuer struct {
	key     crypto.Signer
	chain   []*x509.Certificate // its own first
	roots   []*x509.Certificate
	leaving []leaving
	renew   time.Time
}

// leaving is a root that the upstream no longer has: what was signed below it is still about.
type leaving struct {
	root  *x509.Certificate
	until time.Time
}

// SVID is a workload's identity with its key. Nobody changes it.
type SVID struct {
	ID    mesh.ID
	Chain []*x509.Certificate // the workload's first, without the root
	Key   crypto.Signer
	Renew time.Time // half its life
}

// NewAuthority returns the authority of a trust domain; workloads' certificates are valid for lifetime, at most
// MaxLifetime.
func NewAuthority(ctx context.Context, domain string, lifetime time.Duration, upstream Upstream, clk clock.Clock) (*Authority, error) {
	if !mesh.ValidDomain(domain) || lifetime < MinLifetime || lifetime > MaxLifetime {
		return nil, fmt.Errorf("open the authority of %.100q: want a trust domain, and certificates of %s to %s", domain, MinLifetime, MaxLifetime)
	}
	a := &Authority{domain: domain, lifetime: lifetime, clock: clk, upstream: upstream}
	_, err := a.current(ctx)
	return a, err
}

// current returns the issuer to sign with. While the upstream is away, the old one goes on as long as it outlives what
// it signs.
func (a *Authority) current(ctx context.Context) (issuer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := wall(a.clock)
	if a.issuer.key != nil && now.Before(a.issuer.renew) {
		return a.issuer, nil
	}
	next, err := a.newIssuer(ctx, now)
	switch {
	case err == nil:
		a.issuer = next
	case a.issuer.key == nil || now.Add(a.lifetime).After(a.issuer.chain[0].NotAfter):
		return issuer{}, err
	}
	return a.issuer, nil
}

func (a *Authority) newIssuer(ctx context.Context, now time.Time) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, fmt.Errorf("make an intermediate authority: %w", err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{Organization: []string{"Sterling"}, CommonName: a.domain},
		URIs:    []*url.URL{{Scheme: "spiffe", Host: a.domain}},
	}, key)
	if err != nil {
		return issuer{}, fmt.Errorf("make an intermediate authority: %w", err)
	}
	chain, roots, err := a.upstream.SignIntermediate(ctx, csr, intermediateLifetime)
	if err != nil {
		return issuer{}, fmt.Errorf("make an intermediate authority: %w", err)
	}
	if len(chain) == 0 || len(roots) == 0 || !chain[0].IsCA || !key.PublicKey.Equal(chain[0].PublicKey) || !chain[0].NotAfter.After(now.Add(a.lifetime)) {
		return issuer{}, errors.New("make an intermediate authority: the upstream's answer is no authority for this key, or too short a one")
	}
	next := issuer{key: key, chain: chain, roots: roots, renew: now.Add(chain[0].NotAfter.Sub(now) / 2)}
	for _, root := range a.issuer.roots {
		if !slices.ContainsFunc(roots, root.Equal) {
			next.leaving = append(next.leaving, leaving{root, now.Add(a.lifetime)})
		}
	}
	for _, l := range a.issuer.leaving {
		if now.Before(l.until) && !slices.ContainsFunc(roots, l.root.Equal) {
			next.leaving = append(next.leaving, l)
		}
	}
	return next, nil
}

// renew takes a new issuer before its time.
func (a *Authority) renew(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	next, err := a.newIssuer(ctx, wall(a.clock))
	if err == nil {
		a.issuer = next
	}
	return err
}

// Roots returns what peers of this trust domain are verified with: the upstream's roots, and for the life of a certificate
// those that it had before.
func (a *Authority) Roots() []*x509.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := slices.Clip(a.issuer.roots)
	for _, l := range a.issuer.leaving {
		if wall(a.clock).Before(l.until) {
			out = append(out, l.root)
		}
	}
	return out
}

// Issue makes a key and certifies that it is id's. hosts are IP addresses and DNS names for clients that look for one
// in the certificate; SPIFFE's do not.
func (a *Authority) Issue(ctx context.Context, id mesh.ID, hosts ...string) (*SVID, error) {
	if err := id.Check(); err != nil {
		return nil, fmt.Errorf("issue a certificate: %w", err)
	}
	if id.Domain != a.domain {
		return nil, fmt.Errorf("issue a certificate for %s: the authority is %s's", id, a.domain)
	}
	svid, err := a.issue(ctx, pathOf(id), hosts...)
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", id, err)
	}
	svid.ID = id
	return svid, nil
}

// issue makes a key and certifies that it is that of a path of the trust domain.
func (a *Authority) issue(ctx context.Context, path string, hosts ...string) (*SVID, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	chain, err := a.certify(ctx, path, key.Public(), hosts...)
	if err != nil {
		return nil, err
	}
	return &SVID{Chain: chain, Key: key, Renew: wall(a.clock).Add(a.lifetime / 2)}, nil
}

func pathOf(id mesh.ID) string { return "/cell/" + id.Cell + "/svc/" + id.Service }

// certify signs that a key belongs to the path of the trust domain; the chain is the new certificate's first.
func (a *Authority) certify(ctx context.Context, path string, key crypto.PublicKey, hosts ...string) ([]*x509.Certificate, error) {
	by, err := a.current(ctx)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := wall(a.clock)
	skew := min(clockSkew, a.lifetime/4)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Sterling"}},
		URIs:         []*url.URL{{Scheme: "spiffe", Host: a.domain, Path: path}},
		NotBefore:    now.Add(-clockSkew), NotAfter: now.Add(a.lifetime - skew),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.chain[0], key, by.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{cert}, by.chain...), nil
}

// TLS returns the SVID as crypto/tls wants it.
func (s *SVID) TLS() tls.Certificate {
	out := tls.Certificate{PrivateKey: s.Key, Leaf: s.Chain[0]}
	for _, c := range s.Chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out
}
