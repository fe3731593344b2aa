package control

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// IntermediateFiles are an authority that an organisation's own certified for a trust domain, such as SPIRE's or
// step-ca's, in PEM.
type IntermediateFiles struct {
	Certificate string // its own first, then those between it and a root
	Key         string // PKCS #8, SEC 1 or PKCS #1, for nobody else to read
	Roots       string // all that peers are to trust
}

// Intermediate is an Upstream with its certificate, key and roots in files. They are read anew whenever it signs, so
// that what somebody else renews is in use with the next Plane.Renew.
type Intermediate struct {
	files  IntermediateFiles
	folder string
	domain string
	clock  clock.Clock
}

// OpenIntermediate checks the files of a trust domain's intermediate authority. folder is the control plane's: it gets the
// roots (RootsFile), for tokens.
func OpenIntermediate(files IntermediateFiles, folder, domain string, clk clock.Clock) (*Intermediate, error) {
	i := &Intermediate{files: files, folder: folder, domain: domain, clock: clk}
	if !mesh.ValidDomain(domain) {
		return nil, fmt.Errorf("open the intermediate authority of %.100q: no trust domain", domain)
	}
	_, err := i.read()
	return i, err
}

// intermediate is what the files had.
type intermediate struct {
	chain []*x509.Certificate // without the root
	roots []*x509.Certificate // the chain's own first
	key   crypto.Signer
}

func (i *Intermediate) read() (*intermediate, error) {
	out, err := readIntermediate(i.files, i.domain, wall(i.clock))
	if err != nil {
		return nil, fmt.Errorf("read the intermediate authority of %s in %s: %w", i.domain, i.files.Certificate, err)
	}
	return out, nil
}

func readIntermediate(files IntermediateFiles, domain string, now time.Time) (*intermediate, error) {
	info, err := os.Stat(files.Key)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: want mode 0600", files.Key)
	}
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		return nil, err
	}
	out := &intermediate{}
	var signs bool
	if out.key, signs = pair.PrivateKey.(crypto.Signer); !signs {
		return nil, errors.New("want a key that signs")
	}
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out.chain = append(out.chain, cert)
	}
	text, err := os.ReadFile(files.Roots)
	if err != nil {
		return nil, err
	}
	if out.roots, err = parseCertificates(text); err != nil {
		return nil, fmt.Errorf("%s: %w", files.Roots, err)
	}
	return out, out.check(domain, now)
}

// check wants an authority that a root vouches for, and that may certify another one below itself.
func (i *intermediate) check(domain string, now time.Time) error {
	own := i.chain[0]
	switch {
	case !own.IsCA || !own.BasicConstraintsValid || own.KeyUsage != 0 && own.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("want the certificate of an authority")
	case own.MaxPathLen == 0 && own.MaxPathLenZero:
		return errors.New("the certificate has a path length of 0: want 1 at least, since the mesh signs with keys in memory, certified by this one")
	}
	for _, uri := range own.URIs {
		if uri.Scheme == "spiffe" && uri.String() != "spiffe://"+domain {
			return fmt.Errorf("the certificate is of another trust domain, %s", uri)
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range i.roots {
		roots.AddCert(c)
	}
	for _, c := range i.chain[1:] {
		between.AddCert(c)
	}
	chains, err := own.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return err
	}
	chain := chains[0]
	for below, c := range chain { // and the mesh's own, whose path length is 0
		if c.MaxPathLen >= 0 && c.MaxPathLen <= below {
			return fmt.Errorf("the certificate of %s has a path length of %d: want %d at least, with all that is below it", c.Subject, c.MaxPathLen, below+1)
		}
	}
	root := chain[len(chain)-1]
	i.chain = chain[:len(chain)-1]
	if len(i.chain) == 0 {
		return errors.New("it is a root itself: want one that a root certified, so that the root's key can stay elsewhere")
	}
	i.roots = append([]*x509.Certificate{root}, slices.DeleteFunc(i.roots, root.Equal)...)
	return nil
}

// until is when the first of the authorities up to the root ends.
func (i *intermediate) until() time.Time {
	first := i.roots[0].NotAfter
	for _, c := range i.chain {
		if c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// allows wants nothing above the mesh's authority, such as a constraint of names, to keep peers from believing it.
func (i *intermediate) allows(cert *x509.Certificate, now time.Time) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range i.roots {
		roots.AddCert(c)
	}
	for _, c := range i.chain {
		between.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} { // workloads have both
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			return fmt.Errorf("nobody would believe it: %w", err)
		}
	}
	return nil
}

// SignIntermediate implements Upstream. What it signs ends no later than any authority above it.
func (i *Intermediate) SignIntermediate(_ context.Context, csr []byte, lifetime time.Duration) (chain, roots []*x509.Certificate, err error) {
	by, err := i.read()
	if err != nil {
		return nil, nil, err
	}
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	now, own := wall(i.clock), by.chain[0]
	template, err := authorityTemplate(i.domain, now, min(lifetime, by.until().Sub(now)))
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	template.MaxPathLen, template.MaxPathLenZero = 0, true
	der, err := x509.CreateCertificate(rand.Reader, template, own, request.PublicKey, by.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err == nil {
		err = by.allows(cert, now)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(i.folder, RootsFile), encodeCertificates(by.roots)); err != nil {
		return nil, nil, fmt.Errorf("sign an intermediate authority: %w", err)
	}
	return append([]*x509.Certificate{cert}, by.chain...), by.roots, nil
}

// Renew makes the authority sign with a new key, certified by what its upstream has now, and tells all data planes of new
// roots. Where that fails, the authority goes on as it was.
func (p *Plane) Renew(ctx context.Context) error {
	if err := p.Authority.renew(ctx); err != nil {
		return err
	}
	p.changed.wake()
	return nil
}
