package control

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// How bundles of other trust domains are fetched.
const (
	bundleRefresh = 5 * time.Minute // where a bundle says nothing, and what ours says
	bundleSoonest = 10 * time.Second
	bundleLatest  = time.Hour
	bundleRetry   = time.Second // doubled after each failure, up to bundleRefresh
	bundleTime    = 10 * time.Second
	maxBundle     = 1 << 20
	maxRoots      = 64
)

// BundlesDir has the bundles of other trust domains that were fetched last, in a control plane's folder.
const BundlesDir = "bundles"

// Federation keeps the bundles of trust domains that publish them (SPIFFE Trust Domain and Bundle, 5). Nobody of a domain
// is believed before its first bundle is there; from then on the last good one counts, over a restart as well.
type Federation struct {
	Plane *Plane
	// Folder keeps bundles.
	Folder string
	// WebRoots vouch for endpoints that have no SPIFFE id. nil: the machine's.
	WebRoots *x509.CertPool
}

// Run follows what the configuration in use names, until ctx ends.
func (f *Federation) Run(ctx context.Context) {
	var followers sync.WaitGroup
	defer followers.Wait()
	following := map[mesh.Trust]context.CancelFunc{}
	for {
		changed := f.Plane.changed.wait()
		wanted := f.Plane.published()
		for t, stop := range following {
			if !wanted[t] {
				stop()
				delete(following, t)
			}
		}
		for t := range wanted {
			if following[t] == nil {
				own, stop := context.WithCancel(ctx)
				following[t] = stop
				followers.Go(func() { defer stop(); f.follow(own, t) })
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			for _, stop := range following {
				stop()
			}
			return
		}
	}
}

// published are the trust domains of the configuration in use that publish their bundles.
func (p *Plane) published() map[mesh.Trust]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[mesh.Trust]bool{}
	if p.current != nil {
		for _, t := range p.current.snapshot.Trust {
			if t.Endpoint.URL != "" {
				out[t] = true
			}
		}
	}
	for t := range p.fetched {
		if !out[t] {
			delete(p.fetched, t)
		}
	}
	return out
}

// fetchedOf is what was fetched of a domain; nil: nothing yet.
func (p *Plane) fetchedOf(t mesh.Trust) *spiffebundle.Bundle {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetched[t]
}

func (p *Plane) believe(t mesh.Trust, b *spiffebundle.Bundle) {
	p.mu.Lock()
	before := p.fetched[t]
	p.fetched[t] = b
	p.mu.Unlock()
	if before == nil || !before.Equal(b) {
		p.changed.wake()
	}
}

// follow keeps one domain's bundle.
func (f *Federation) follow(ctx context.Context, t mesh.Trust) {
	log := f.Plane.Log.With("domain", t.Domain, "endpoint", t.Endpoint.URL)
	known, err := f.load(t)
	if err != nil {
		log.Warn("the bundle that was kept can't be used", "error", err)
	}
	if known != nil {
		f.Plane.believe(t, known)
	}
	for failures := 0; ; {
		wait := bundleRefresh
		next, err := f.fetch(ctx, t, known)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures == 0 {
				log.Warn("the bundle can't be fetched: what was known of the domain stays", "known", known != nil || t.Bundle != "", "error", err)
			}
			wait = min(bundleRetry<<min(failures, 16), bundleRefresh)
			failures++
		default:
			if failures > 0 {
				log.Info("the bundle is fetched again")
			}
			if known == nil || !known.Equal(next) {
				if err := f.keep(t, next); err != nil {
					log.Error("the bundle is not kept for the next start", "error", err)
				}
			}
			failures, known = 0, next
			f.Plane.believe(t, next)
			if hint, ok := next.RefreshHint(); ok {
				wait = min(max(hint, bundleSoonest), bundleLatest)
			}
		}
		if clock.Sleep(ctx, f.Plane.Clock, wait) != nil {
			return
		}
	}
}

// fetch asks the endpoint, by what is known of its domain where it has a SPIFFE id.
func (f *Federation) fetch(ctx context.Context, t mesh.Trust, known *spiffebundle.Bundle) (*spiffebundle.Bundle, error) {
	domain, err := spiffeid.TrustDomainFromString(t.Domain)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: f.WebRoots}
	if t.Endpoint.ID != "" {
		if known == nil {
			if known, err = spiffebundle.Parse(domain, []byte(t.Bundle)); err != nil {
				return nil, err
			}
		}
		id, err := spiffeid.FromString(t.Endpoint.ID)
		if err != nil {
			return nil, err
		}
		config = tlsconfig.TLSClientConfig(known, tlsconfig.AuthorizeID(id))
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: bundleTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.Endpoint.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("want status 200, not %d", response.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBundle+1))
	if err != nil {
		return nil, err
	}
	return parseBundle(domain, text)
}

// parseBundle wants what somebody can be believed by.
func parseBundle(domain spiffeid.TrustDomain, text []byte) (*spiffebundle.Bundle, error) {
	if len(text) > maxBundle {
		return nil, fmt.Errorf("a bundle of more than %d bytes", maxBundle)
	}
	bundle, err := spiffebundle.Parse(domain, text)
	if err != nil {
		return nil, err
	}
	if n := len(bundle.X509Authorities()); n == 0 || n > maxRoots {
		return nil, fmt.Errorf("%d X.509 roots in the bundle: want 1 to %d", n, maxRoots)
	}
	return bundle, nil
}

// kept is a bundle in a file, with what it was fetched for: another endpoint, or another bundle to begin with, is
// another beginning.
type kept struct {
	Of     string          `json:"of"`
	Bundle json.RawMessage `json:"bundle"`
}

func beginning(t mesh.Trust) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", t.Domain, t.Endpoint.URL, t.Endpoint.ID, t.Bundle))
	return hex.EncodeToString(hash[:])
}

func (f *Federation) file(t mesh.Trust) string {
	return filepath.Join(f.Folder, BundlesDir, t.Domain+".json")
}

func (f *Federation) keep(t mesh.Trust, b *spiffebundle.Bundle) error {
	text, err := b.Marshal()
	if err == nil {
		text, err = json.Marshal(kept{beginning(t), text})
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(f.Folder, BundlesDir), 0o700)
	}
	if err != nil {
		return fmt.Errorf("keep the bundle of %s: %w", t.Domain, err)
	}
	return durable.WriteFile(f.file(t), text)
}

// load returns what was kept; nil: nothing, or for another beginning.
func (f *Federation) load(t mesh.Trust) (*spiffebundle.Bundle, error) {
	text, err := os.ReadFile(f.file(t))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // nothing was kept, which is no error
	}
	var in kept
	if err == nil {
		err = json.Unmarshal(text, &in)
	}
	if err != nil || in.Of != beginning(t) {
		return nil, err
	}
	domain, err := spiffeid.TrustDomainFromString(t.Domain)
	if err != nil {
		return nil, err
	}
	return parseBundle(domain, in.Bundle)
}

// ServeBundle is the mesh's own bundle endpoint.
func (p *Plane) ServeBundle(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	text, err := p.Bundle()
	if err != nil {
		p.Log.ErrorContext(r.Context(), "the trust bundle is not served", "error", err)
		http.Error(w, "no bundle", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // the caller is gone
}

// BundleTLS is for a bundle endpoint that shows an identity of the mesh, spiffe://DOMAIN/control (profile https_spiffe).
func (p *Plane) BundleTLS() *tls.Config {
	var held holder
	a := p.Authority
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, // others ask, who may be older
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return held.get(hello.Context(), a, func(ctx context.Context) (*SVID, error) { return a.issue(ctx, controlPath) })
		},
	}
}
