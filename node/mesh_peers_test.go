package node_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/auth/mtls"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	"github.com/sterlingrun/sterling/router"
)

// twoCells are a ledger of two cells with a node each, in this process.
type twoCells struct {
	t       *testing.T
	dsn     string
	m       *router.Map
	secrets map[uint64]string // files
	secret  string            // of cell 1, as a token
}

func openTwoCells(t *testing.T) *twoCells {
	t.Helper()
	c := &twoCells{t: t, dsn: enginestest.Postgres(t).DSN(), secrets: map[uint64]string{}}
	file := filepath.Join(t.TempDir(), "cells.secret")
	if err := os.WriteFile(file, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.secret, err = router.ReadSecret(file); err != nil {
		t.Fatal(err)
	}
	c.secrets[1], c.secrets[2] = file, file
	maps, err := node.OpenMaps(t.Context(), node.Store{DSN: c.dsn}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c.m, err = router.Define(t.Context(), maps, []router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:" + freePort(t)}}, {ID: 2, Nodes: []string{"127.0.0.1:" + freePort(t)}}})
	if err := errors.Join(err, maps.Close()); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts the node of a cell and returns its folder. It stops with the test, or when stop is called.
func (c *twoCells) start(cell uint64, folder string, change func(*node.Config)) (stop func()) {
	c.t.Helper()
	config := node.DefaultConfig()
	config.Data, config.Listen, config.Cell = folder, c.m.Cell(cell).Nodes[0], uint32(cell)
	config.Store.DSN, config.Store.Lease, config.Cells.SecretFile = c.dsn, time.Second, c.secrets[cell]
	if change != nil {
		change(&config)
	}
	n, err := node.Start(c.t.Context(), config, slog.New(slog.NewTextHandler(c.t.Output(), nil)), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			c.t.Errorf("stop the node of cell %d: %v", cell, err)
		}
	}
	c.t.Cleanup(stop)
	return stop
}

// accountOf returns an account of a cell.
func (c *twoCells) accountOf(cell uint64) string {
	for id := uint64(1); ; id++ {
		if c.m.Owner(money.From(id)) == cell {
			return money.From(id).String()
		}
	}
}

// dial returns a client of cell 1's node, whose tokens are in folder.
func (c *twoCells) dial(folder string, options ...client.Option) *client.Client {
	c.t.Helper()
	l, err := client.Dial(c.m.Cell(1).Nodes[0], "", append(options, client.WithTokenFile(filepath.Join(folder, "admin.token")))...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = l.Close() })
	return l
}

// pay opens an account in each cell, and pays from one to the other.
func (c *twoCells) pay(l *client.Client, id string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	one, two := c.accountOf(1), c.accountOf(2)
	if _, err := l.CreateAccounts(ctx, &client.Account{Id: one, Asset: "CNY/2", Code: 1}, &client.Account{Id: two, Asset: "CNY/2", Code: 1}); err != nil {
		return err
	}
	results, err := l.CreateTransfers(ctx, &client.Transfer{Id: id, DebitAccountId: one, CreditAccountId: two, Amount: new("5"), Asset: "CNY/2", Code: 1})
	if err == nil && !strings.HasSuffix(results.GetResults()[0].GetStatus().String(), "CREATED") {
		err = errors.New(results.GetResults()[0].GetStatus().String())
	}
	return err
}

// plainCall calls a node as those of a release without identities do: with the secret alone.
func (c *twoCells) plainCall(options ...client.Option) error {
	c.t.Helper()
	l, err := client.Dial(c.m.Cell(1).Nodes[0], c.secret, append(options, client.WithPatience(0))...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer l.Close()
	_, err = l.Cells().Catalogue(c.t.Context(), &cellv1.CatalogueRequest{})
	return err
}

// TestCellsPayEachOtherByCertificates of their own, with nothing configured for it; the API is as plain as ever.
func TestCellsPayEachOtherByCertificates(t *testing.T) {
	c := openTwoCells(t)
	folder := t.TempDir()
	c.start(1, folder, nil)
	stop := c.start(2, t.TempDir(), nil)
	l := c.dial(folder)
	if err := c.pay(l, "1", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.plainCall(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the secret without a certificate: %v", err)
	}
	stop()
	other := filepath.Join(t.TempDir(), "other.secret")
	if err := os.WriteFile(other, []byte(rand.Text()+rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	c.secrets[2] = other
	c.start(2, t.TempDir(), nil)
	if err := c.pay(l, "2", 5*time.Second); err == nil || !strings.Contains(err.Error(), "verify a node of another cell") {
		t.Errorf("a node with another secret, and so another root: %v", err)
	}
}

// TestCellsDuringAnUpgrade: a node that is told to takes calls of nodes that have no certificates, and still gives its own.
func TestCellsDuringAnUpgrade(t *testing.T) {
	c := openTwoCells(t)
	folder := t.TempDir()
	c.start(1, folder, func(config *node.Config) { config.Cells.Upgrading = true })
	c.start(2, t.TempDir(), nil)
	if err := c.pay(c.dial(folder), "1", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.plainCall(); err != nil {
		t.Errorf("a node of before: %v", err)
	}
}

// desiredCells is a mesh in which both nodes have an identity, if they are this user's.
func desiredCells(t *testing.T) (file string) {
	t.Helper()
	text := `
apiVersion: mesh.sterling.run/v1
kind: Cells
metadata: {name: cells}
spec: {buckets: 1, cells: [{name: c1, region: r1, zone: z1, buckets: ["0"]}, {name: c2, region: r1, zone: z2}]}
`
	for _, cell := range []string{"c1", "c2"} {
		text += fmt.Sprintf(`---
apiVersion: mesh.sterling.run/v1
kind: Identity
metadata: {name: ledger-%[1]s}
spec: {service: ledger, cell: %[1]s, unix: {uid: %[2]d}}
`, cell, os.Getuid())
	}
	file = filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// joinToken writes a token for the machine of cell 2.
func joinToken(t *testing.T, folder string) (file string) {
	t.Helper()
	token, err := control.NewTicket(folder, control.Ticket{
		Node: "box-2", Workloads: []mesh.ID{{Domain: "bank.example", Cell: "c2", Service: "ledger"}}, Expires: time.Now().Add(time.Minute),
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestCellsOfAMesh: the node of one cell has the mesh's control plane, that of the other joins it. A node of another domain
// is refused.
func TestCellsOfAMesh(t *testing.T) {
	c := openTwoCells(t)
	folders, listen := [2]string{t.TempDir(), t.TempDir()}, "127.0.0.1:"+freePort(t)
	stop := c.start(1, folders[0], func(config *node.Config) {
		config.Cells.Mesh, config.Mesh.State, config.Mesh.Domain, config.Mesh.Listen = true, desiredCells(t), "bank.example", listen
		config.Mesh.Certificates = control.MinLifetime
	})
	token := joinToken(t, filepath.Join(folders[0], "mesh"))
	c.start(2, folders[1], func(config *node.Config) {
		config.Cells.Mesh, config.Mesh.Control, config.Mesh.Domain, config.Mesh.JoinTokenFile = true, listen, "bank.example", token
	})
	if err := c.pay(c.dial(folders[0]), "1", time.Minute); err != nil {
		t.Fatal(err)
	}
	stop()
	c.start(1, t.TempDir(), nil)
	l, err := client.Dial(c.m.Cell(2).Nodes[0], "", client.WithTokenFile(filepath.Join(folders[1], "admin.token")))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := c.pay(l, "3", 5*time.Second); err == nil || !strings.Contains(err.Error(), "verify a node of another cell") {
		t.Errorf("a node of another domain: %v", err)
	}
}

// TestCellsWithoutTheControlPlane: nodes keep the identities that they have, over a restart, too.
func TestCellsWithoutTheControlPlane(t *testing.T) {
	c := openTwoCells(t)
	config, folder, folders := node.DefaultMesh(), t.TempDir(), [2]string{t.TempDir(), t.TempDir()}
	config.State, config.Domain, config.Listen = desiredCells(t), "bank.example", "127.0.0.1:"+freePort(t)
	plane, err := node.StartMeshControl(t.Context(), folder, config, clock.NewSystem(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Close)
	token := joinToken(t, folder)
	members := [2]func(*node.Config){
		func(n *node.Config) {
			n.Cells.Mesh, n.Mesh.Domain, n.Mesh.Control = true, "bank.example", "unix:"+plane.Socket()
		},
		func(n *node.Config) {
			n.Cells.Mesh, n.Mesh.Domain, n.Mesh.Control, n.Mesh.JoinTokenFile = true, "bank.example", config.Listen, token
		},
	}
	stop1, stop2 := c.start(1, folders[0], members[0]), c.start(2, folders[1], members[1])
	if err := c.pay(c.dial(folders[0]), "1", time.Minute); err != nil {
		t.Fatal(err)
	}
	plane.Close()
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	stop1()
	stop2()
	c.start(1, folders[0], members[0])
	c.start(2, folders[1], members[1])
	if err := c.pay(c.dial(folders[0]), "2", time.Minute); err != nil {
		t.Fatal(err)
	}
}

// TestCellsWithTLS: the certificates that users see, and want, are none of the cells'.
func TestCellsWithTLS(t *testing.T) {
	c := openTwoCells(t)
	folder, cert, key := t.TempDir(), filepath.Join(t.TempDir(), "bank.crt"), filepath.Join(t.TempDir(), "bank.key")
	writeCertificate(t, cert, key)
	encrypt := func(config *node.Config) {
		config.TLS = &mtls.Options{Cert: cert, Key: key, ClientCA: cert, RequireClientCert: true}
	}
	c.start(1, folder, encrypt)
	c.start(2, t.TempDir(), encrypt)
	files := client.WithTLSFiles(cert, cert, key)
	if err := c.pay(c.dial(folder, files), "1", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := c.plainCall(files); status.Code(err) != codes.Unauthenticated {
		t.Errorf("the secret with a certificate of users: %v", err)
	}
}

// writeCertificate makes one that is its own authority.
func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
