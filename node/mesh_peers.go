package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/router"
)

// ledgerService is what nodes of a ledger are called in the mesh: spiffe://DOMAIN/cell/cN/svc/ledger is one of cell N.
const ledgerService = "ledger"

// errPeer is a node that is not who it has to be.
var errPeer = errors.New("verify a node of another cell")

// peers is who this node is to those of other cells, and who they are to it. It implements api.Peers.
type peers struct {
	identity proxy.Identity // where certificates come from, and whom to trust
	domain   string
	age      time.Duration
	clock    clock.Clock
	close    func() // ends what renews the identity
}

func cellID(domain string, number uint64) mesh.ID {
	return mesh.ID{Domain: domain, Cell: "c" + strconv.FormatUint(number, 10), Service: ledgerService}
}

// openPeers gives the node its identity: one of the mesh, or in the cells' own trust domain, whose root is in the database.
func (n *Node) openPeers(ctx context.Context, secret string) (p *peers, err error) {
	p = &peers{domain: peersDomain, age: control.MaxLifetime / 3, clock: n.clock, close: func() {}}
	if n.config.Cells.Mesh {
		p.domain = n.config.Mesh.Domain
	}
	id := cellID(p.domain, uint64(n.config.Cell))
	switch {
	case !n.config.Cells.Mesh:
		root := &sealedRoot{documents: n.shared, secret: secret, clock: n.clock}
		authority, err := control.NewAuthority(ctx, p.domain, control.MaxLifetime, root, n.clock)
		if err != nil {
			return nil, fmt.Errorf("open the authority of the cells: %w", err)
		}
		p.identity = authority.Self(id)
	case n.config.Mesh.State != "":
		if err := n.startMesh(ctx); err != nil {
			return nil, err
		}
		p.identity, p.age = n.mesh.authority.Self(id), n.config.Mesh.Certificates/3
	default:
		m, err := n.joinMesh(ctx, id)
		if err != nil {
			return nil, err
		}
		p.identity, p.age, p.close = m, m.age(), m.close
	}
	n.logger.Info("nodes of other cells know this one by its identity", "id", id)
	if n.config.Cells.Upgrading {
		n.logger.Warn("cells.upgrading is set: nodes of other cells are let in without a certificate")
	}
	return p, nil
}

// Age implements api.Peers. A third of a certificate's life: it has half of that left at least when a connection begins.
func (p *peers) Age() time.Duration { return p.age }

// dialPeers is how nodes of other cells are reached: by certificates. During an upgrade, those that have none are reached
// as users reach this node, since all are configured alike.
func (n *Node) dialPeers(config *tls.Config) []client.Option {
	if !n.config.Cells.Upgrading {
		return []client.Option{client.WithTLS(config)}
	}
	list := []client.Option{client.WithTLSFirst(config)}
	switch t := n.config.TLS; {
	case t != nil && t.RequireClientCert:
		return append(list, client.WithTLSFiles(n.config.Cells.CA, t.Cert, t.Key))
	case t != nil:
		return append(list, client.WithTLSFiles(n.config.Cells.CA, "", ""))
	case n.config.Exposed:
		return append(list, client.WithPlaintext())
	}
	return list
}

// TLS implements api.Peers: for nodes of other cells that connect to this one.
func (p *peers) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetCertificate: p.identity.GetCertificate, NextProtos: []string{router.PeerProtocol},
		ClientAuth:             tls.RequireAnyClientCert, // VerifyConnection judges it
		SessionTicketsDisabled: true,                     // a resumed session would outlive the certificate that it began with
		VerifyConnection: func(state tls.ConnectionState) error {
			if _, err := p.verify(&state, x509.ExtKeyUsageClientAuth); err != nil { // in these words for the access log
				return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
			}
			return nil
		},
	}
}

// clientTLS is for connections to nodes of one cell: any other one is refused.
func (p *peers) clientTLS(to uint64) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, GetClientCertificate: p.identity.GetClientCertificate, NextProtos: []string{router.PeerProtocol},
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection verifies the chain and the SPIFFE id instead of a host's name
		VerifyConnection: func(state tls.ConnectionState) error {
			if state.NegotiatedProtocol != router.PeerProtocol {
				return fmt.Errorf("%w: it does not know the protocol of cells: %w", errPeer, client.ErrOlder)
			}
			is, err := p.verify(&state, x509.ExtKeyUsageServerAuth)
			if err == nil && is != to {
				err = fmt.Errorf("%w: it is of cell %d, and the map of cells has it in cell %d", errPeer, is, to)
			}
			return err
		},
	}
}

// Cell implements api.Peers.
func (p *peers) Cell(state tls.ConnectionState) (uint64, error) {
	return p.verify(&state, x509.ExtKeyUsageClientAuth)
}

// verify wants a certificate that the trust domain vouches for, of a node of the ledger, and returns its cell.
func (p *peers) verify(state *tls.ConnectionState, usage x509.ExtKeyUsage) (uint64, error) {
	if len(state.PeerCertificates) == 0 {
		return 0, fmt.Errorf("%w: it has no certificate", errPeer)
	}
	leaf, between := state.PeerCertificates[0], x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	roots, err := p.identity.Roots(p.domain)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errPeer, err)
	}
	now := time.Unix(0, int64(p.clock.Wall())) //nolint:gosec // until 2262
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		return 0, fmt.Errorf("%w: %w", errPeer, err)
	}
	if leaf.IsCA || len(leaf.URIs) != 1 {
		return 0, fmt.Errorf("%w: its certificate is no X.509-SVID", errPeer)
	}
	id, err := mesh.ParseID(leaf.URIs[0].String())
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errPeer, err)
	}
	number, err := strconv.ParseUint(strings.TrimPrefix(id.Cell, "c"), 10, 32)
	if err != nil || number == 0 || id != cellID(p.domain, number) {
		return 0, fmt.Errorf("%w: %s is no node of this ledger", errPeer, id)
	}
	return number, nil
}
