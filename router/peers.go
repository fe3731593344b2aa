package router

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Bounds of a secret.
const (
	minSecret = 32 // bytes
	maxSecret = 1 << 10
)

// electionPatience is how long a call to another cell waits while none of its nodes leads.
const electionPatience = 5 * time.Second

// ReadSecret reads the secret that all nodes of a ledger share, and returns the token that stands for it. The file has at
// least 32 bytes, better random ones, and is readable by its owner only.
func ReadSecret(path string) (token string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the secret of the cells: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("read the secret of the cells: %s has the mode %v: make it 0600, only its owner may read it", path, info.Mode().Perm())
	}
	if info.Size() < minSecret || info.Size() > maxSecret {
		return "", fmt.Errorf("read the secret of the cells: %s has %d bytes: want %d to %d", path, info.Size(), minSecret, maxSecret)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the secret of the cells: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// Network is the connections to the other cells' nodes. It is safe for concurrent use.
type Network struct {
	own   uint64
	token string
	dial  func(cell uint64) []client.Option

	mu    sync.Mutex
	cells map[uint64]*connection
	old   []*connection // of earlier maps; calls may be under way
}

type connection struct {
	addresses string
	client    *client.Client
}

// PeerProtocol is what nodes of different cells ask for in a TLS handshake (ALPN) with the port that is the API's as well:
// both show certificates there.
const PeerProtocol = "sterling-cells"

// NewNetwork returns a network of a node of cell own; token is what ReadSecret returned. dial says how the nodes of a cell
// are reached, such as by client.WithTLS; nil: as the client does by default.
func NewNetwork(own uint64, token string, dial func(cell uint64) []client.Option) *Network {
	return &Network{own: own, token: token, dial: dial, cells: map[uint64]*connection{}}
}

// Use dials the nodes of a map: those that are new.
func (n *Network) Use(m *Map) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range m.Cells {
		addresses := strings.Join(c.Nodes, ",")
		was := n.cells[c.ID]
		if c.ID == n.own || was != nil && was.addresses == addresses {
			continue
		}
		options := []client.Option{client.WithPatience(electionPatience)}
		if n.dial != nil {
			options = append(options, n.dial(c.ID)...)
		}
		dialled, err := client.Dial(addresses, n.token, options...)
		if err != nil {
			return fmt.Errorf("dial cell %d: %w", c.ID, err)
		}
		if was != nil {
			n.old = append(n.old, was)
		}
		n.cells[c.ID] = &connection{addresses, dialled}
	}
	return nil
}

// Close ends all connections.
func (n *Network) Close() (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.cells {
		err = errors.Join(err, c.client.Close())
	}
	for _, c := range n.old {
		err = errors.Join(err, c.client.Close())
	}
	n.cells, n.old = map[uint64]*connection{}, nil
	return err
}

// To returns the service of another cell's leader.
func (n *Network) To(cell uint64) (cellv1.CellServiceClient, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.cells[cell]
	if c == nil {
		return nil, fmt.Errorf("%w: cell %d is not in the map", ErrMap, cell)
	}
	return c.client.Cells(), nil
}

// Submit implements Peers.
func (n *Network) Submit(ctx context.Context, to uint64, s *Steps) ([]journal.Status, error) {
	c, err := n.To(to)
	if err != nil {
		return nil, err
	}
	r := &cellv1.SubmitRequest{Home: s.Home, Actor: s.Actor[:], Steps: make([]*cellv1.Step, len(s.List))}
	for i := range s.List {
		step := &s.List[i]
		record := step.Record
		record.Asset = 0
		r.Steps[i] = &cellv1.Step{Record: slices.Clone(journal.Bytes([]journal.Transfer{record})), Details: step.Details, Asset: step.Asset.String()}
	}
	response, err := c.Submit(ctx, r)
	if client.Reason(err) == ledgerv1.ErrorReason_ERROR_REASON_BUCKET_MOVING {
		err = fmt.Errorf("%w: %w", cell.ErrMoving, err)
	}
	if err != nil {
		return nil, err
	}
	statuses := make([]journal.Status, len(response.GetStatuses()))
	for i, s := range response.GetStatuses() {
		statuses[i] = journal.Status(s) //nolint:gosec // one that is not known is taken for none
	}
	return statuses, nil
}

// ReadSteps reads what Submit sends.
func ReadSteps(r *cellv1.SubmitRequest) (*Steps, error) {
	if len(r.GetActor()) != len(journal.Actor{}) || len(r.GetSteps()) > journal.MaxEvents {
		return nil, fmt.Errorf("%w: an actor of %d bytes, %d steps", ErrStep, len(r.GetActor()), len(r.GetSteps()))
	}
	s := &Steps{Home: r.GetHome(), Actor: journal.Actor(r.GetActor()), List: make([]Step, len(r.GetSteps()))}
	for i, step := range r.GetSteps() {
		asset, err := money.ParseAsset(step.GetAsset())
		if err != nil || len(step.GetRecord()) != journal.RecordSize || len(step.GetDetails()) > journal.MaxDetails+transitRoom {
			return nil, fmt.Errorf("%w: step %d: a record of %d bytes, details of %d, asset %.20q", ErrStep, i, len(step.GetRecord()), len(step.GetDetails()), step.GetAsset())
		}
		s.List[i] = Step{Record: journal.View[journal.Transfer](journal.Aligned(step.GetRecord()))[0], Details: step.GetDetails(), Asset: asset}
	}
	return s, nil
}
