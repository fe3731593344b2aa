package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1/cellv1connect"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

// badges are api.Peers whose certificates name a cell; any is believed, as if its handshake had been verified.
type badges struct {
	cert tls.Certificate
	age  time.Duration
}

func (b *badges) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{b.cert}, ClientAuth: tls.RequireAnyClientCert,
		NextProtos: []string{router.PeerProtocol}, SessionTicketsDisabled: true,
	}
}

func (*badges) Cell(state tls.ConnectionState) (uint64, error) {
	return strconv.ParseUint(state.PeerCertificates[0].Subject.CommonName, 10, 32)
}

func (b *badges) Age() time.Duration { return b.age }

func badge(t *testing.T, name string, end time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: end.Add(-2 * time.Hour), NotAfter: end, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// guarded is a server of cell 1 whose peers have certificates.
func guarded(t *testing.T, change func(*api.Config)) *bank {
	t.Helper()
	return openOf(t, 1, func(c *api.Config) {
		m := router.Even([]router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:1"}}, {ID: 2, Nodes: []string{"127.0.0.1:2"}}})
		c.Cells = &api.Cells{
			Router: router.NewRouter(1, m), Network: router.NewNetwork(1, secret, nil), Token: secret,
			Peers: &badges{badge(t, "1", time.Now().Add(time.Hour)), time.Hour},
		}
		if change != nil {
			change(c)
		}
	})
}

// dialAs connects as a node of a cell does.
func (b *bank) dialAs(cert tls.Certificate) cellv1.CellServiceClient {
	b.t.Helper()
	return cellv1.NewCellServiceClient(b.dialTLS(cert, router.PeerProtocol))
}

func (b *bank) dialTLS(cert tls.Certificate, protocol string) *grpc.ClientConn {
	b.t.Helper()
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}, NextProtos: []string{protocol},
	})))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close() })
	return conn
}

func withSecret(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
}

func catalogue(ctx context.Context, c cellv1.CellServiceClient) codes.Code {
	_, err := c.Catalogue(ctx, &cellv1.CatalogueRequest{})
	return status.Code(err)
}

// TestPeersComeWithACertificate and the secret, on the port that users reach as ever.
func TestPeersComeWithACertificate(t *testing.T) {
	b := guarded(t, nil)
	ctx, good := withSecret(t), badge(t, "2", time.Now().Add(time.Hour))
	if got := catalogue(ctx, b.dialAs(good)); got != codes.OK {
		t.Errorf("with both: %v", got)
	}
	if got := catalogue(t.Context(), b.dialAs(good)); got != codes.Unauthenticated {
		t.Errorf("without the secret: %v", got)
	}
	if got := catalogue(ctx, b.dialAs(badge(t, "2", time.Now().Add(-time.Minute)))); got != codes.Unauthenticated {
		t.Errorf("with a certificate that is over: %v", got)
	}
	if got := catalogue(ctx, b.dialAs(badge(t, "till", time.Now().Add(time.Hour)))); got != codes.Unavailable {
		t.Errorf("as nobody: %v", got)
	}
	if got := catalogue(ctx, cellv1.NewCellServiceClient(b.dialTLS(good, "h2"))); got != codes.Unavailable {
		t.Errorf("by the protocol of users: %v", got)
	}
	plain, _ := b.grpcConn(auth.RoleAdmin)
	if got := catalogue(ctx, cellv1.NewCellServiceClient(plain)); got != codes.Unauthenticated {
		t.Errorf("without a certificate: %v", got)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.addr+cellv1connect.CellServiceCatalogueProcedure, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Authorization": {"Bearer " + secret}, "Content-Type": {"application/json"}}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("by JSON: %s, %v", response.Status, err)
	}
	users, as := b.grpcClient(auth.RoleReader)
	if _, err := users.ListAssets(as, &ledgerv1.ListAssetsRequest{}); err != nil {
		t.Errorf("a user: %v", err)
	}
	_, err = ledgerv1.NewLedgerServiceClient(b.dialTLS(good, router.PeerProtocol)).ListAssets(as, &ledgerv1.ListAssetsRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a user's call among cells: %v", err)
	}
}

// TestAPeerSpeaksForItsOwnCell: the steps and callers of another one are not taken from it.
func TestAPeerSpeaksForItsOwnCell(t *testing.T) {
	b := guarded(t, nil)
	ctx, peer := withSecret(t), b.dialAs(badge(t, "2", time.Now().Add(time.Hour)))
	actor := make([]byte, 16)
	for cell, want := range map[uint64]bool{2: true, 3: false, 1: false} {
		_, submit := peer.Submit(ctx, &cellv1.SubmitRequest{Home: cell, Actor: actor})
		_, record := peer.Record(ctx, &cellv1.RecordRequest{From: cell, Actor: actor})
		_, forward := peer.Forward(ctx, &cellv1.ForwardRequest{From: cell, Principal: &cellv1.Principal{Id: actor, Role: "reader"}, Method: "/none"})
		for name, err := range map[string]error{"Submit": submit, "Record": record, "Forward": forward} {
			if taken := status.Code(err) != codes.PermissionDenied; taken != want {
				t.Errorf("%s for cell %d by a node of cell 2: %v", name, cell, err)
			}
		}
	}
}

// TestNodesOfBeforeAreLetInDuringAnUpgrade, by the secret alone; those with certificates are held to them.
func TestNodesOfBeforeAreLetInDuringAnUpgrade(t *testing.T) {
	b := guarded(t, func(c *api.Config) { c.Cells.Unproven = true })
	ctx := withSecret(t)
	plain, _ := b.grpcConn(auth.RoleAdmin)
	if got := catalogue(ctx, cellv1.NewCellServiceClient(plain)); got != codes.OK {
		t.Errorf("a node of before: %v", got)
	}
	if got := catalogue(ctx, b.dialAs(badge(t, "2", time.Now().Add(-time.Minute)))); got != codes.Unauthenticated {
		t.Errorf("a certificate that is over: %v", got)
	}
}

// fixed are api.Certificates of one certificate.
type fixed struct{ tls.Certificate }

func (f fixed) TLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{f.Certificate}, NextProtos: []string{"http/1.1", "h2"}}
}

func (fixed) Principal(*x509.Certificate) (auth.Principal, bool) { return auth.Principal{}, false }

// TestPeersComeToAPortWithTLS: the handshake says which of the two a caller wants.
func TestPeersComeToAPortWithTLS(t *testing.T) {
	server := badge(t, "the bank", time.Now().Add(time.Hour))
	b := guarded(t, func(c *api.Config) { c.Certificates = fixed{server} })
	ctx, good := withSecret(t), badge(t, "2", time.Now().Add(time.Hour))
	if got := catalogue(ctx, b.dialAs(good)); got != codes.OK {
		t.Errorf("a node: %v", got)
	}
	users := b.dialTLS(tls.Certificate{}, "h2")
	if got := catalogue(ctx, cellv1.NewCellServiceClient(users)); got != codes.Unauthenticated {
		t.Errorf("a node without a certificate: %v", got)
	}
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+b.tokens[auth.RoleReader])
	if _, err := ledgerv1.NewLedgerServiceClient(users).ListAssets(as, &ledgerv1.ListAssetsRequest{}); err != nil {
		t.Errorf("a user: %v", err)
	}
}

// TestConnectionsOfPeersAreMadeAnew after their age, and no call fails by that.
func TestConnectionsOfPeersAreMadeAnew(t *testing.T) {
	count := &accepting{}
	b := guarded(t, func(c *api.Config) {
		c.Cells.Peers = &counted{badges{badge(t, "1", time.Now().Add(time.Hour)), 20 * time.Millisecond}, count}
	})
	ctx, peer := withSecret(t), b.dialAs(badge(t, "2", time.Now().Add(time.Hour)))
	var group sync.WaitGroup
	errs := make(chan error, 4)
	for range cap(errs) {
		group.Go(func() {
			for count.handshakes() < 6 {
				if got := catalogue(ctx, peer); got != codes.OK {
					errs <- fmt.Errorf("after %d connections: %v", count.handshakes(), got)
					return
				}
			}
			errs <- nil
		})
	}
	group.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(errors.Join(err, ctx.Err()))
		}
	}
}

type accepting struct {
	mu sync.Mutex
	n  int
}

func (a *accepting) handshakes() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// counted counts connections.
type counted struct {
	badges
	count *accepting
}

func (c *counted) Cell(state tls.ConnectionState) (uint64, error) {
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	c.count.n++
	return c.badges.Cell(state)
}
