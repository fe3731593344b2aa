package control

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// Bounds of a member's calls.
const (
	callTime   = 10 * time.Second
	maxAnswer  = 4 << 20
	retryFirst = 500 * time.Millisecond
	retryMost  = 30 * time.Second
)

// Member is a machine's part in a mesh that it joined: its files in a folder, and the control plane at an address.
type Member struct {
	Server string // host:port of the control plane
	Folder string
	Clock  clock.Clock
	Log    *slog.Logger
}

// Join shows a join token, and leaves the node's certificate in the folder (which must exist, and should be the owner's
// only). A folder whose machine has joined is left as it is: joined is false then.
func (m *Member) Join(ctx context.Context, token string) (joined bool, err error) {
	if _, err := os.Stat(filepath.Join(m.Folder, IdentityFile)); err == nil {
		return false, nil
	}
	ticket, err := ParseTicket(token)
	if err != nil {
		return false, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // the chain is verified against the root whose hash is in the token
		VerifyConnection: func(state tls.ConnectionState) error {
			for _, c := range state.PeerCertificates {
				if sha256.Sum256(c.Raw) == ticket.Root {
					return verifyControl(ticket.Workloads[0].Domain, []*x509.Certificate{c}, state.PeerCertificates)
				}
			}
			return errors.New("verify the control plane: it is not the one that made the token")
		},
	}
	if err := m.certify(ctx, config, m.Folder, certRequest{Token: token}); err != nil {
		return false, fmt.Errorf("join the mesh: %w", err)
	}
	return true, nil
}

// verifyControl wants a trust domain's control plane, for whose certificate one of roots vouches.
func verifyControl(domain string, roots, chain []*x509.Certificate) error {
	if len(chain) == 0 || len(roots) == 0 {
		return errors.New("verify the control plane: no certificate")
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range roots {
		pool.AddCert(c)
	}
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between}); err != nil {
		return fmt.Errorf("verify the control plane: %w", err)
	}
	if want := "spiffe://" + domain + controlPath; len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != want {
		return fmt.Errorf("verify the control plane: want %s", want)
	}
	return nil
}

// ClientTLS connects to a control plane with the certificate in a folder that KeepFiles or a Member keeps. Files are
// read at every handshake.
func ClientTLS(folder string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies the chain and the SPIFFE id instead of a host's name
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			file := filepath.Join(folder, IdentityFile)
			cert, err := tls.LoadX509KeyPair(file, file)
			return &cert, err
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			text, err := os.ReadFile(filepath.Join(folder, RootsFile))
			if err != nil {
				return fmt.Errorf("verify the control plane: %w", err)
			}
			roots, err := parseCertificates(text)
			if err != nil {
				return fmt.Errorf("verify the control plane: %w", err)
			}
			own, err := tls.LoadX509KeyPair(filepath.Join(folder, IdentityFile), filepath.Join(folder, IdentityFile))
			if err != nil || len(own.Leaf.URIs) != 1 {
				return fmt.Errorf("verify the control plane: %s has no certificate of a trust domain: %w", folder, err)
			}
			return verifyControl(own.Leaf.URIs[0].Host, roots, state.PeerCertificates)
		},
	}
}

// workloadsFile lists what a node may run.
const workloadsFile = "workloads.json"

// Workloads are the identities that the machine's token named.
func (m *Member) Workloads() ([]mesh.ID, error) {
	text, err := os.ReadFile(filepath.Join(m.Folder, workloadsFile))
	if err != nil {
		return nil, fmt.Errorf("list the node's workloads: %w", err)
	}
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return nil, fmt.Errorf("list the node's workloads: %w", err)
	}
	var out []mesh.ID
	for _, name := range names {
		id, err := mesh.ParseID(name)
		if err != nil {
			return nil, fmt.Errorf("list the node's workloads: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}

// Keep keeps the node's certificate, or that of a workload in a folder of its own, until ctx ends: a new one at half its
// life. What it wrote stays when the control plane is away. onUpdate is called after each update.
func (m *Member) Keep(ctx context.Context, workload *mesh.ID, folder string, onUpdate func()) {
	request, whose := certRequest{}, "the node"
	if workload != nil {
		request.Workload, whose = workload.String(), workload.String()
	}
	wait := time.Duration(0)
	for pause := retryFirst; clock.Sleep(ctx, m.Clock, wait) == nil; {
		err := m.certify(ctx, ClientTLS(m.Folder), folder, request)
		var left time.Duration
		if err == nil {
			left, err = m.left(folder)
		}
		if err != nil && ctx.Err() == nil {
			m.Log.Warn("a certificate was not renewed: the old one stays", "of", whose, "error", err)
			wait, pause = pause, min(2*pause, retryMost)
			continue
		}
		onUpdate()
		wait, pause = left/2, retryFirst
	}
}

// left is how long the certificate in a folder is still good.
func (m *Member) left(folder string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(folder, CertificateFile))
	if err != nil {
		return 0, err
	}
	chain, err := parseCertificates(text)
	if err != nil || len(chain) == 0 {
		return 0, fmt.Errorf("read %s: want certificates: %w", CertificateFile, err)
	}
	return chain[0].NotAfter.Sub(wall(m.Clock)), nil
}

// certify makes a key, has it certified, and writes both to folder.
func (m *Member) certify(ctx context.Context, config *tls.Config, folder string, request certRequest) error {
	out, key, err := m.newCertificate(ctx, config, request)
	if err != nil {
		return err
	}
	return out.write(folder, key)
}

// newCertificate makes a key and has it certified.
func (m *Member) newCertificate(ctx context.Context, config *tls.Config, request certRequest) (*certAnswer, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("make a key: %w", err)
	}
	if request.CSR, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key); err != nil {
		return nil, nil, fmt.Errorf("make a certificate request: %w", err)
	}
	path := "/mesh/certify"
	if request.Token != "" {
		path = "/mesh/join"
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var out certAnswer
	return &out, key, m.call(ctx, config, path, request, &out)
}

// call asks the control plane. What it refuses is an error that wraps errUnknownNode.
func (m *Member) call(ctx context.Context, config *tls.Config, path string, request, out any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+m.Server+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", m.Server, err)
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(call)
	if err != nil {
		return fmt.Errorf("ask %s: %w", m.Server, err)
	}
	defer func() { _ = response.Body.Close() }() // all was read, or nobody reads on
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("ask %s: %w", m.Server, err)
	case response.StatusCode == http.StatusForbidden:
		return fmt.Errorf("ask %s: %w by it: %.500s", m.Server, errUnknownNode, bytes.TrimSpace(text))
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("ask %s: %s: %.500s", m.Server, response.Status, bytes.TrimSpace(text))
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("ask %s: %w", m.Server, err)
	}
	return nil
}

// chainOf returns the certificate of a key, with those above it.
func (a *certAnswer) chainOf(key *ecdsa.PrivateKey) ([]*x509.Certificate, error) {
	chain, err := parseAll(a.Chain)
	if err != nil || len(chain) == 0 || !key.PublicKey.Equal(chain[0].PublicKey) {
		return nil, fmt.Errorf("read the control plane's answer: no certificate of this key: %w", err)
	}
	return chain, nil
}

// write replaces the files of a folder, as KeepFiles does.
func (a *certAnswer) write(folder string, key *ecdsa.PrivateKey) error {
	chain, err := a.chainOf(key)
	if err != nil {
		return err
	}
	domains := map[string]json.RawMessage{}
	var own []*x509.Certificate
	for _, domain := range slices.Sorted(maps.Keys(a.Trust)) {
		roots, err := parseAll(a.Trust[domain])
		if err != nil {
			return fmt.Errorf("read the control plane's answer: %w", err)
		}
		name, err := spiffeid.TrustDomainFromString(domain)
		if err != nil {
			return fmt.Errorf("read the control plane's answer: %w", err)
		}
		if domains[domain], err = spiffebundle.FromX509Authorities(name, roots).Marshal(); err != nil {
			return fmt.Errorf("encode the roots of %s: %w", domain, err)
		}
		if domain == a.Domain {
			own = roots
		}
	}
	if len(own) == 0 {
		return errors.New("read the control plane's answer: no roots of the mesh's own domain")
	}
	bundles, err := json.Marshal(map[string]any{"trust_domains": domains})
	if err != nil {
		return fmt.Errorf("encode the bundles: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	if len(a.Workloads) > 0 {
		text, err := json.Marshal(a.Workloads)
		if err == nil {
			err = durable.WriteFile(filepath.Join(folder, workloadsFile), text)
		}
		if err != nil {
			return fmt.Errorf("write the node's workloads: %w", err)
		}
	}
	return errors.Join(
		durable.WriteFile(filepath.Join(folder, RootsFile), encodeCertificates(own)),
		durable.WriteFile(filepath.Join(folder, BundlesFile), bundles),
		durable.WriteFile(filepath.Join(folder, KeyFile), keyPEM),
		durable.WriteFile(filepath.Join(folder, CertificateFile), encodeCertificates(chain)),
		durable.WriteFile(filepath.Join(folder, IdentityFile), slices.Concat(encodeCertificates(chain), keyPEM)),
	)
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, der := range ders {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
