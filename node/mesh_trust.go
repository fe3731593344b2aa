package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// MeshUpstream are the files of an authority that an organisation's own certified for the mesh, in PEM. They are
// followed as they change. All empty: the mesh makes a root of its own.
type MeshUpstream struct {
	Certificate string `yaml:"certificate"` // its own first, then those up to a root; with a path length of 1 at least
	Key         string `yaml:"key"`         // mode 0600
	Roots       string `yaml:"roots"`       // all that workloads are to trust
}

// MeshBundle publishes the mesh's trust bundle, for other trust domains to follow.
type MeshBundle struct {
	// Listen is host:port; empty: the bundle is not published.
	Listen string `yaml:"listen"`
	// Certificate and Key are of the host's name (profile https_web), followed as they change. Both empty: the endpoint
	// has the mesh's identity spiffe://DOMAIN/control (https_spiffe).
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
}

// trustLook is how often files of certificates are looked at.
const trustLook = time.Second

// maxBundleAsks is how many connections the bundle endpoint has at a time.
const maxBundleAsks = 64

func (m *Mesh) checkTrust(fault func(format string, args ...any)) {
	if u := m.Upstream; u != (MeshUpstream{}) && (u.Certificate == "" || u.Key == "" || u.Roots == "") {
		fault("mesh.upstream: want certificate, key and roots, or none of them")
	}
	b := m.Bundle
	if _, _, err := net.SplitHostPort(b.Listen); b.Listen != "" && err != nil {
		fault("mesh.bundle.listen: want host:port, not %q", b.Listen)
	}
	if (b.Certificate == "") != (b.Key == "") || b.Listen == "" && b.Certificate != "" {
		fault("mesh.bundle: want listen, and certificate and key together or neither")
	}
}

// openUpstream is what signs the mesh's authority.
func (m *Mesh) openUpstream(folder string, clk clock.Clock) (control.Upstream, error) {
	if m.Upstream == (MeshUpstream{}) {
		// Tokens are for the root that signs: what an upstream left there is none.
		if err := os.Remove(filepath.Join(folder, control.RootsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open the root of %s: %w", m.Domain, err)
		}
		return control.OpenRoot(folder, m.Domain, clk)
	}
	return control.OpenIntermediate(control.IntermediateFiles(m.Upstream), folder, m.Domain, clk)
}

// startTrust follows the files of the upstream and the bundles of other domains, and publishes the mesh's own.
func (m *MeshControl) startTrust(ctx context.Context) error {
	m.running.Go(func() { (&control.Federation{Plane: m.plane, Folder: m.folder}).Run(ctx) })
	if u := m.config.Upstream; u != (MeshUpstream{}) {
		m.followFiles(ctx, func() {
			if err := m.plane.Renew(ctx); err != nil {
				m.log.Error("the upstream authority's files can't be used: the mesh signs as before", "error", err)
				return
			}
			m.log.Info("the upstream authority's files are in use", "file", u.Certificate)
		}, u.Certificate, u.Key, u.Roots)
	}
	return m.serveBundle(ctx)
}

// followFiles calls changed whenever one of the files has.
func (m *MeshControl) followFiles(ctx context.Context, changed func(), files ...string) {
	marks := func() (all string) {
		for _, f := range files {
			all += fileMark(f) + " "
		}
		return all
	}
	at := marks()
	m.running.Go(func() {
		for clock.Sleep(ctx, m.clock, trustLook) == nil {
			if now := marks(); now != at {
				at = now
				changed()
			}
		}
	})
}

func (m *MeshControl) serveBundle(ctx context.Context) error {
	b := m.config.Bundle
	if b.Listen == "" {
		return nil
	}
	secure := m.plane.BundleTLS()
	if b.Certificate != "" {
		var cert atomic.Pointer[tls.Certificate]
		load := func() error {
			next, err := tls.LoadX509KeyPair(b.Certificate, b.Key)
			if err != nil {
				return fmt.Errorf("read the certificate of the bundle endpoint: %w", err)
			}
			cert.Store(&next)
			return nil
		}
		if err := load(); err != nil {
			return err
		}
		m.followFiles(ctx, func() {
			if err := load(); err != nil {
				m.log.Error("the bundle endpoint keeps its certificate", "error", err)
			}
		}, b.Certificate, b.Key)
		secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.Load(), nil }}
	}
	l, err := net.Listen("tcp", b.Listen)
	if err != nil {
		return fmt.Errorf("listen for questions about the trust bundle: %w", err)
	}
	m.published = l.Addr()
	m.bundle = &http.Server{
		Handler: http.HandlerFunc(m.plane.ServeBundle), TLSConfig: secure, MaxHeaderBytes: 8 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second,
		ErrorLog: log.New(io.Discard, "", 0), // of handshakes: whoever scans ports must not fill the log
	}
	m.running.Go(func() {
		if err := m.bundle.ServeTLS(netutil.LimitListener(l, maxBundleAsks), "", ""); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("the trust bundle is published no more", "error", err)
		}
	})
	return nil
}

// BundleAddress is where the trust bundle is published; nil where it is not.
func (m *MeshControl) BundleAddress() net.Addr { return m.published }
