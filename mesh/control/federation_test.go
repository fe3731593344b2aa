package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

const otherDomain = "other.example"

// partner is the control plane of another trust domain, below an organisation that can change.
type partner struct {
	plane *control.Plane
	files control.IntermediateFiles
}

func newPartner(t *testing.T, org *organisation) *partner {
	t.Helper()
	p := &partner{files: intermediateFiles(t)}
	org.certify(p.files, ofOther)
	up, err := control.OpenIntermediate(p.files, t.TempDir(), otherDomain, clock.NewSystem())
	if err != nil {
		t.Fatal(err)
	}
	a, err := control.NewAuthority(t.Context(), otherDomain, time.Hour, up, clock.NewSystem())
	if err != nil {
		t.Fatal(err)
	}
	p.plane = control.New(control.Options{Authority: a, Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)})
	return p
}

func ofOther(c *x509.Certificate) { c.URIs = []*url.URL{{Scheme: "spiffe", Host: otherDomain}} }

func (p *partner) bundle(t *testing.T) string {
	t.Helper()
	text, err := p.plane.Bundle()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// endpoint serves bundles and counts the questions.
func endpoint(t *testing.T, config *tls.Config, serve http.HandlerFunc) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := &http.Server{TLSConfig: config, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve(w, r)
		asked.Add(1)
	})}
	l, done := listen(t), make(chan struct{})
	go func() {
		defer close(done)
		if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String(), asked
}

// federate follows what the rig's configuration names, until the function it returns is called.
func (r *rig) federate(folder string, roots *x509.CertPool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&control.Federation{Plane: r.plane, Folder: folder, WebRoots: roots}).Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	r.t.Cleanup(stop)
	return stop
}

// believed are the roots that a workload is told to believe the other domain by.
func (r *rig) believed() []*x509.Certificate {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	set, err := workloadapi.FetchX509Bundles(ctx, workloadapi.WithAddr("unix://"+r.socket))
	if err != nil {
		r.t.Fatal(err)
	}
	b, ok := set.Get(spiffeid.RequireTrustDomainFromString(otherDomain))
	if !ok {
		b = x509bundle.New(spiffeid.RequireTrustDomainFromString(otherDomain))
	}
	return b.X509Authorities()
}

func (r *rig) believes(o *organisation) bool {
	for _, root := range r.believed() {
		if root.Equal(o.cert) {
			return true
		}
	}
	return false
}

func trustIn(more string) string {
	return config("127.0.0.1:1") + object("Trust", "other", "{domain: other.example, "+more+"}")
}

// TestABundleIsFollowed with profile https_spiffe: the partner's new root is known before anything is signed below it, by
// an answer that was believed because of the old one.
func TestABundleIsFollowed(t *testing.T) {
	before, after := newOrganisation(t, "before"), newOrganisation(t, "after")
	p := newPartner(t, before)
	address, _ := endpoint(t, p.plane.BundleTLS(), p.plane.ServeBundle)
	clk := fakeNow(0)
	r := newRig(t, clk)
	r.apply(trustIn(fmt.Sprintf("bundle: '%s', endpoint: {url: 'https://%s/', id: 'spiffe://other.example/control'}", p.bundle(t), address)))
	r.federate(t.TempDir(), nil)
	if !r.believes(before) {
		t.Error("the bundle in the desired state does not count")
	}
	before.certify(p.files, ofOther, after)
	if err := p.plane.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "followed", func() bool { clk.Advance(time.Minute); return r.believes(after) })

	// Whoever is not who answers there is not believed: a partner of the same name below another root.
	imposter, another := newOrganisation(t, "imposter"), fakeNow(0)
	q := newPartner(t, imposter)
	asked := reached(q.plane.BundleTLS())
	address, answered := endpoint(t, asked.config, q.plane.ServeBundle)
	victim := newRig(t, another)
	victim.apply(trustIn(fmt.Sprintf("bundle: '%s', endpoint: {url: 'https://%s/', id: 'spiffe://other.example/control'}", p.bundle(t), address)))
	victim.federate(t.TempDir(), nil)
	await(t, asked.by, "question")
	eventually(t, "asked again", func() bool { another.Advance(time.Minute); return len(asked.by) > 0 })
	if victim.believes(imposter) || answered.Load() != 0 {
		t.Error("the imposter is believed, or was asked before it was known")
	}
}

// shaken is a configuration that tells of each handshake that begins.
type shaken struct {
	config *tls.Config
	by     chan struct{}
}

func reached(config *tls.Config) shaken {
	s := shaken{config, make(chan struct{}, 1024)}
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.by <- struct{}{}
		return nil, nil //nolint:nilnil // as it was
	}
	return s
}

// webCertificate is one for 127.0.0.1 that the organisation signed.
func (o *organisation) webCertificate() *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		o.t.Fatal(err)
	}
	cert := o.sign(&x509.Certificate{
		SerialNumber: big.NewInt(3), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key.Public())
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
}

// TestFirstNobodyThenTheLastGood with profile https_web: before the first bundle nobody of the domain is believed, and
// after it the last good one counts, whatever the endpoint says, over a restart too.
func TestFirstNobodyThenTheLastGood(t *testing.T) {
	web, org := newOrganisation(t, "web"), newOrganisation(t, "org")
	p := newPartner(t, org)
	var broken atomic.Bool
	broken.Store(true)
	address, asked := endpoint(t, web.webCertificate(), func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		p.plane.ServeBundle(w, r)
	})
	clk := fakeNow(0)
	r := newRig(t, clk)
	text := trustIn("endpoint: {url: 'https://" + address + "/'}")
	r.apply(text)
	folder, roots := t.TempDir(), poolOf([]*x509.Certificate{web.cert})
	stop := r.federate(folder, roots)
	askedAgain := func() {
		t.Helper()
		n := asked.Load()
		eventually(t, "asked again", func() bool { clk.Advance(time.Minute); return asked.Load() > n+1 })
	}
	askedAgain()
	if len(r.believed()) != 0 {
		t.Error("believed before there was a bundle")
	}
	broken.Store(false)
	eventually(t, "believed", func() bool { clk.Advance(time.Minute); return r.believes(org) })
	broken.Store(true)
	askedAgain()
	if !r.believes(org) {
		t.Error("the last good bundle is gone")
	}

	// Anew, with nobody answering.
	stop()
	r.stop()
	r.restart()
	r.apply(text)
	stop = r.federate(folder, roots)
	eventually(t, "believed after a restart", func() bool { return r.believes(org) })
	// What was kept of one endpoint is nothing for another one, and a domain that is no longer trusted is not.
	r.apply(trustIn("endpoint: {url: 'https://" + address + "/elsewhere'}"))
	eventually(t, "another beginning", func() bool { return len(r.believed()) == 0 })
	askedAgain()
	if len(r.believed()) != 0 {
		t.Error("believed by another endpoint's bundle")
	}
	stop()
}

// TestAnswersThatAreNoBundles: nobody is believed by them.
func TestAnswersThatAreNoBundles(t *testing.T) {
	web, stranger, org := newOrganisation(t, "web"), newOrganisation(t, "stranger"), newOrganisation(t, "org")
	p := newPartner(t, org)
	good := httptest.NewTLSServer(http.HandlerFunc(p.plane.ServeBundle))
	t.Cleanup(good.Close)
	for name, answer := range map[string]http.HandlerFunc{
		"no JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "bundle") },
		"no keys":      func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `{"keys": []}`) },
		"another one":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"a redirect":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, good.URL, http.StatusFound) },
		"without end":  func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "{", strings.Repeat(" ", 2<<20)) },
		"cut short":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"another name": nil,
	} {
		t.Run(name, func(t *testing.T) {
			config := web.webCertificate()
			if answer == nil {
				answer, config = p.plane.ServeBundle, stranger.webCertificate()
			}
			asked := reached(config)
			address, _ := endpoint(t, config, answer)
			clk := fakeNow(0)
			r := newRig(t, clk)
			r.apply(trustIn("endpoint: {url: 'https://" + address + "/'}"))
			r.federate(t.TempDir(), poolOf([]*x509.Certificate{web.cert}))
			await(t, asked.by, "question")
			eventually(t, "asked again", func() bool { clk.Advance(time.Minute); return len(asked.by) > 0 })
			if len(r.believed()) != 0 {
				t.Error("believed")
			}
		})
	}
}

func TestServeBundle(t *testing.T) {
	p := newPartner(t, newOrganisation(t, "org"))
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodPost: 405} {
		w := httptest.NewRecorder()
		p.plane.ServeBundle(w, httptest.NewRequest(method, "/", http.NoBody))
		if w.Code != want {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}
