package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// sharedShelfFake is what the nodes of all cells keep in the database.
type sharedShelfFake struct {
	mu    sync.Mutex
	kept  map[string][]byte
	fault error
}

func (s *sharedShelfFake) LedgerDocument(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept[name], s.fault
}

func (s *sharedShelfFake) AddLedgerDocument(_ context.Context, name string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string][]byte{}
	}
	if s.kept[name] == nil {
		s.kept[name] = body
	}
	return s.fault
}

func (s *sharedShelfFake) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = err
}

const peersSecret = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"

func authorityOf(t *testing.T, docs ledgerDocuments, secret string, clk clock.Clock) *control.Authority {
	t.Helper()
	a, err := control.NewAuthority(t.Context(), peersDomain, control.MaxLifetime, &sealedRoot{docs, secret, clk}, clk)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func peersOf(a *control.Authority, id mesh.ID, clk clock.Clock) *peers {
	return &peers{identity: a.Self(id), domain: peersDomain, clock: clk}
}

// handshake connects a caller to a server, and returns what each end says of it.
func handshake(t *testing.T, caller, server *tls.Config) (callerState, serverState tls.ConnectionState, callerErr, serverErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			serverErr = err
			return
		}
		defer conn.Close()
		secured := tls.Server(conn, server)
		if serverErr = secured.HandshakeContext(ctx); serverErr == nil {
			serverState = secured.ConnectionState()
			_, serverErr = secured.Write([]byte{1}) // the caller knows only by that that it was let in
		}
	}()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	secured := tls.Client(conn, caller)
	if callerErr = secured.HandshakeContext(ctx); callerErr == nil {
		callerState = secured.ConnectionState()
		_, callerErr = secured.Read(make([]byte, 1))
	} else {
		_ = conn.Close()
	}
	<-done
	return callerState, serverState, callerErr, serverErr
}

func TestNodesOfTwoCellsKnowEachOther(t *testing.T) {
	clk, docs := clock.NewSystem(), &sharedShelfFake{}
	one := peersOf(authorityOf(t, docs, peersSecret, clk), cellID(peersDomain, 1), clk)
	two := peersOf(authorityOf(t, docs, peersSecret, clk), cellID(peersDomain, 2), clk)
	_, state, callerErr, serverErr := handshake(t, one.clientTLS(2), two.TLS())
	if err := errors.Join(callerErr, serverErr); err != nil {
		t.Fatal(err)
	}
	if cell, err := two.Cell(state); err != nil || cell != 1 {
		t.Errorf("the caller is of cell %d, %v", cell, err)
	}
	if id := state.PeerCertificates[0].URIs[0].String(); id != "spiffe://ledger.internal/cell/c1/svc/ledger" || state.Version != tls.VersionTLS13 {
		t.Errorf("%s by TLS %x", id, state.Version)
	}
}

// TestWhoIsNoNodeOfTheCellIsRefused: by the server, whoever calls; by the caller, whoever else answers in a cell's name.
func TestWhoIsNoNodeOfTheCellIsRefused(t *testing.T) {
	clk, docs := clock.NewSystem(), &sharedShelfFake{}
	authority := authorityOf(t, docs, peersSecret, clk)
	two := peersOf(authority, cellID(peersDomain, 2), clk)
	for name, bad := range map[string]*peers{
		"another secret":    peersOf(authorityOf(t, docs, "another"+peersSecret, clk), cellID(peersDomain, 1), clk),
		"another database":  peersOf(authorityOf(t, &sharedShelfFake{}, peersSecret, clk), cellID(peersDomain, 1), clk),
		"another service":   peersOf(authority, mesh.ID{Domain: peersDomain, Cell: "c1", Service: "till"}, clk),
		"no cell":           peersOf(authority, mesh.ID{Domain: peersDomain, Cell: "shanghai", Service: ledgerService}, clk),
		"cell 0":            peersOf(authority, cellID(peersDomain, 0), clk),
		"another spelling":  peersOf(authority, mesh.ID{Domain: peersDomain, Cell: "c01", Service: ledgerService}, clk),
		"its own signature": {identity: selfSigned(t), domain: peersDomain, clock: clk},
	} {
		trusting := bad.clientTLS(2)
		trusting.VerifyConnection = nil
		var told *tls.CertificateVerificationError
		if _, _, callerErr, serverErr := handshake(t, trusting, two.TLS()); !errors.Is(serverErr, errPeer) || !errors.As(serverErr, &told) || callerErr == nil {
			t.Errorf("%s: a caller is let in: %v, %v", name, serverErr, callerErr)
		}
		open := bad.TLS()
		open.VerifyConnection = nil
		if _, _, callerErr, _ := handshake(t, two.clientTLS(1), open); !errors.Is(callerErr, errPeer) {
			t.Errorf("%s: is called: %v", name, callerErr)
		}
	}
	three := peersOf(authority, cellID(peersDomain, 3), clk)
	if _, _, callerErr, _ := handshake(t, two.clientTLS(1), three.TLS()); !errors.Is(callerErr, errPeer) || !strings.Contains(callerErr.Error(), "of cell 3") {
		t.Errorf("a node of cell 3 in the place of one of cell 1: %v", callerErr)
	}
	nobody := two.clientTLS(2)
	nobody.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }
	if _, _, _, serverErr := handshake(t, nobody, two.TLS()); serverErr == nil {
		t.Error("a caller without a certificate is let in")
	}
	user := two.clientTLS(2)
	user.NextProtos = []string{"h2"}
	if _, _, _, serverErr := handshake(t, user, two.TLS()); serverErr == nil {
		t.Error("a caller of another protocol is let in")
	}
}

// selfIdentity is one that nobody vouches for.
type selfIdentity struct{ cert tls.Certificate }

func (s selfIdentity) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &s.cert, nil
}

func (s selfIdentity) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &s.cert, nil
}

func (selfIdentity) Roots(string) (*x509.CertPool, error) { return x509.NewCertPool(), nil }

func selfSigned(t *testing.T) selfIdentity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := url.Parse(cellID(peersDomain, 1).String())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{id}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return selfIdentity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// TestIdentitiesAreRenewed at half the life of their certificates; one that is over is refused. While the database is away,
// they are renewed until the authority in memory would not outlive them.
func TestIdentitiesAreRenewed(t *testing.T) {
	clk, docs := clock.NewFake(uint64(time.Now().UnixNano())), &sharedShelfFake{}
	one := peersOf(authorityOf(t, docs, peersSecret, clk), cellID(peersDomain, 1), clk)
	two := peersOf(authorityOf(t, docs, peersSecret, clk), cellID(peersDomain, 2), clk)
	serial := func() *big.Int {
		t.Helper()
		_, state, callerErr, serverErr := handshake(t, one.clientTLS(2), two.TLS())
		if err := errors.Join(callerErr, serverErr); err != nil {
			t.Fatal(err)
		}
		return state.PeerCertificates[0].SerialNumber
	}
	first := serial()
	clk.Advance(29 * time.Minute)
	if serial().Cmp(first) != 0 {
		t.Error("renewed before half its life")
	}
	docs.fail(errors.New("the database is away"))
	clk.Advance(2 * time.Minute)
	if serial().Cmp(first) == 0 {
		t.Error("not renewed at half its life")
	}
	kept, err := one.identity.GetClientCertificate(&tls.CertificateRequestInfo{})
	if err != nil {
		t.Fatal(err)
	}
	clk.Advance(6 * 24 * time.Hour)
	serial()
	old := two.clientTLS(2)
	old.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return kept, nil }
	if _, _, _, serverErr := handshake(t, old, two.TLS()); !errors.Is(serverErr, errPeer) || !strings.Contains(serverErr.Error(), "expired") {
		t.Errorf("a certificate that is over: %v", serverErr)
	}
	clk.Advance(24 * time.Hour)
	if _, _, callerErr, serverErr := handshake(t, one.clientTLS(2), two.TLS()); callerErr == nil || serverErr == nil {
		t.Error("identities without an authority")
	}
	docs.fail(nil)
	serial()
}

// TestTheFirstRootCounts: nodes that start together have one root, and no text of the database tells it.
func TestTheFirstRootCounts(t *testing.T) {
	clk, docs := clock.NewSystem(), &sharedShelfFake{}
	roots := make(chan *x509.Certificate, 8)
	for range cap(roots) {
		go func() {
			a, err := control.NewAuthority(context.Background(), peersDomain, time.Hour, &sealedRoot{docs, peersSecret, clk}, clk)
			if err != nil {
				t.Error(err)
				roots <- nil
				return
			}
			roots <- a.Roots()[0]
		}()
	}
	first := <-roots
	for range cap(roots) - 1 {
		if next := <-roots; first == nil || next == nil || !next.Equal(first) {
			t.Error("two roots")
		}
	}
	if len(docs.kept) != 1 {
		t.Fatalf("%d documents", len(docs.kept))
	}
	for name, sealed := range docs.kept {
		if bytes.Contains(sealed, []byte("BEGIN")) || bytes.Contains(sealed, []byte(peersSecret)) || strings.Contains(name, peersSecret) {
			t.Errorf("%s tells a secret", name)
		}
		for _, damage := range []func([]byte) []byte{
			func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
			func(b []byte) []byte { return b[:len(b)-1] },
			func([]byte) []byte { return []byte{1} },
		} {
			docs.kept[name] = damage(bytes.Clone(sealed))
			if _, err := (&sealedRoot{docs, peersSecret, clk}).open(t.Context()); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("a document that was changed: %v", err)
			}
		}
	}
	away := &sharedShelfFake{fault: errors.New("the database is away")}
	if _, err := (&sealedRoot{away, peersSecret, clk}).open(t.Context()); !errors.Is(err, away.fault) {
		t.Errorf("without a database: %v", err)
	}
}

// storedRoot is a document that an earlier build wrote, with its name.
func storedRoot(t testing.TB) (name string, sealed []byte) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "cells-root.base64"))
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err = base64.StdEncoding.DecodeString(strings.TrimSpace(string(text))); err != nil {
		t.Fatal(err)
	}
	return "cells/root-1bd63e8e7bb0178a", sealed
}

// TestTheRootOfAnEarlierBuildIsRead: another one would part nodes of two builds from each other.
func TestTheRootOfAnEarlierBuildIsRead(t *testing.T) {
	name, sealed := storedRoot(t)
	docs := &sharedShelfFake{kept: map[string][]byte{name: sealed}}
	if _, err := (&sealedRoot{docs, peersSecret, clock.NewSystem()}).open(t.Context()); err != nil || len(docs.kept) != 1 {
		t.Errorf("%v; documents: %d", err, len(docs.kept))
	}
}

// FuzzSealedRoot: nothing but what was sealed is a root.
func FuzzSealedRoot(f *testing.F) {
	name, sealed := storedRoot(f)
	for _, seed := range [][]byte{sealed, sealed[:100], nil, {1}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) == 0 {
			return // nothing is kept: one is made
		}
		docs := &sharedShelfFake{kept: map[string][]byte{name: body}}
		_, err := (&sealedRoot{docs, peersSecret, clock.NewSystem()}).open(t.Context())
		if opened := err == nil; opened != bytes.Equal(body, sealed) {
			t.Errorf("opened: %v, %v", opened, err)
		}
	})
}
