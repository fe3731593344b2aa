package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// controlPatience is how long a node that has an earlier configuration waits for the control plane's.
const controlPatience = 3 * time.Second

// MeshNodeConfig is a data plane: node proxies beside workloads of one machine.
type MeshNodeConfig struct {
	// Data is the folder of certificates and of what is kept for when the control plane is away.
	Data string
	// Control is where the control plane is: unix:PATH on this machine, or host:port.
	Control string
	// Token is a join token, for the first start on another machine.
	Token string
	// Identities are the workloads: SPIFFE ids. A machine that joins has those of its token, where none are named.
	Identities []string
	// Addresses are those of the workloads' backends that are on this machine; empty: all whose IP address it has.
	Addresses []string
	// Offer is the loopback address where workloads find the services that they may call.
	Offer string
	// Sockets is a folder where a workload without a network finds the services that it may call: Unix sockets, instead of
	// addresses on loopback. Only with one workload. Empty: none.
	Sockets string
	// Name tells this data plane from others of the same workload: letters, digits, ".", "_" and "-".
	Name string
	// Metrics is host:port where Prometheus finds metrics, without a token; empty: nowhere.
	Metrics string
	// WorkloadSocket is where programs of a machine that joined find the SPIFFE Workload API; empty: nowhere. Programs of
	// other users must be able to reach it: the kernel says who they are.
	WorkloadSocket string
	// AccessLog is a file that gets a line of JSON for each request; empty: none.
	AccessLog string
}

// MeshNode is a running data plane.
type MeshNode struct {
	config MeshNodeConfig
	clock  clock.Clock
	log    *slog.Logger
	socket string // of a control plane on this machine, from the root; empty: it is on another
	offer  netip.Addr
	at     []netip.AddrPort

	workloads   []mesh.ID
	member      *control.Member // nil: the control plane is on this machine
	sidecars    []*sidecar
	admin       *http.Server
	metrics     *http.Server // nil: none
	workloadAPI *grpc.Server // nil: not served here
	metricsAt   net.Addr
	access      io.WriteCloser // nil: none
	handover    *net.UnixListener
	taken       chan struct{} // closed when another process has taken over

	stop        context.CancelFunc
	stopKeepers context.CancelFunc
	keepers     sync.WaitGroup // of certificates
	running     sync.WaitGroup
}

var nodeNames = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func (n *MeshNode) check() error {
	c := &n.config
	var err error
	if n.offer, err = netip.ParseAddr(c.Offer); err != nil || !n.offer.IsLoopback() {
		return fmt.Errorf("%w: offer: want a loopback address such as 127.0.0.1, not %q: what is offered there is trusted by nothing but its place", ErrConfig, c.Offer)
	}
	for _, text := range c.Addresses {
		address, err := netip.ParseAddrPort(text)
		if err != nil {
			return fmt.Errorf("%w: address: want an IP address and a port, not %q", ErrConfig, text)
		}
		n.at = append(n.at, address)
	}
	for _, text := range c.Identities {
		id, err := mesh.ParseID(text)
		if err != nil {
			return fmt.Errorf("%w: identity: %w", ErrConfig, err)
		}
		n.workloads = append(n.workloads, id)
	}
	path, local := strings.CutPrefix(c.Control, "unix:")
	if _, _, err = net.SplitHostPort(c.Control); local && path != "" {
		n.socket, err = filepath.Abs(path)
	}
	switch {
	case err != nil || local && path == "":
		return fmt.Errorf("%w: control: want unix:PATH or host:port, not %q", ErrConfig, c.Control)
	case local && len(n.workloads) == 0:
		return fmt.Errorf("%w: identity: want the workload's SPIFFE id", ErrConfig)
	case local && c.Token != "":
		return fmt.Errorf("%w: a join token is for a control plane on another machine", ErrConfig)
	case local && c.WorkloadSocket != "":
		return fmt.Errorf("%w: workload socket: on the control plane's own machine, the Workload API is at %s", ErrConfig, n.socket)
	case c.Data == "":
		return fmt.Errorf("%w: data: want a folder", ErrConfig)
	case !nodeNames.MatchString(c.Name):
		return fmt.Errorf("%w: name: want letters, digits, \".\", \"_\" and \"-\", not %.100q", ErrConfig, c.Name)
	}
	return nil
}

// mine tells whether a backend's address is this node's to serve.
func (n *MeshNode) mine(a netip.AddrPort) bool {
	if len(n.at) > 0 {
		return slices.Contains(n.at, a)
	}
	return addressIsMine(a.Addr())
}

// StartMeshNode starts a data plane. Where another process serves in the same folder, its listeners are taken over, and
// it ends once its connections have. It returns when all workloads are served, be it by what was kept.
func StartMeshNode(ctx context.Context, config MeshNodeConfig, clk clock.Clock, logger *slog.Logger) (*MeshNode, error) {
	n := &MeshNode{config: config, clock: clk, log: logger, taken: make(chan struct{})}
	if err := n.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(config.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the node: %w", err)
	}
	var err error
	if n.access, err = openAccessFile(config.AccessLog); err != nil {
		return nil, err
	}
	var life context.Context
	life, n.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.start(ctx, life); err != nil {
		n.Close(ctx)
		return nil, err
	}
	return n, nil
}

func (n *MeshNode) start(ctx, life context.Context) error {
	before, err := askForSockets(filepath.Join(n.config.Data, handoverSocket))
	if err != nil {
		return err
	}
	defer before.close()
	if err := n.join(ctx); err != nil {
		return err
	}
	for _, id := range n.workloads {
		s, err := newSidecar(life, n, id, before.of(id.String()))
		if err != nil {
			return err
		}
		n.sidecars = append(n.sidecars, s)
	}
	if before == nil { // otherwise the process before keeps the certificates until it has handed over
		n.keepCertificates(life)
	}
	for _, s := range n.sidecars {
		if err := s.start(ctx, life); err != nil {
			return err
		}
	}
	if before != nil {
		if err := before.confirm(); err != nil {
			return fmt.Errorf("take over from the process that serves in this folder: %w", err)
		}
		n.keepCertificates(life)
	}
	if err := n.serveWorkloads(life, before != nil); err != nil {
		return err
	}
	if err := n.serveMetrics(); err != nil {
		if before == nil {
			return err
		}
		n.log.Error("metrics are not served", "error", err) // the process before is leaving: there is no way back
	}
	if err := n.serveAdmin(); err != nil {
		return err
	}
	return n.offerSockets()
}

// join makes this machine a node of the mesh, if it is none yet.
func (n *MeshNode) join(ctx context.Context) error {
	if n.socket != "" {
		return nil
	}
	n.member = &control.Member{Server: n.config.Control, Folder: n.config.Data, Clock: n.clock, Log: n.log}
	if n.config.Token != "" {
		joined, err := n.member.Join(ctx, n.config.Token)
		if err != nil {
			return err
		}
		if !joined {
			n.log.Info("this machine has joined already: the join token is not used")
		}
	}
	granted, err := n.member.Workloads()
	if err != nil {
		return fmt.Errorf("%w; a machine joins with a token of `sterling mesh token`", err)
	}
	if len(n.workloads) == 0 {
		n.workloads = granted
	}
	for _, id := range n.workloads {
		if !slices.Contains(granted, id) {
			return fmt.Errorf("%w: identity: this node's token did not name %s", ErrConfig, id)
		}
	}
	return nil
}

// keepCertificates renews certificates until stopKeepers.
func (n *MeshNode) keepCertificates(life context.Context) {
	life, n.stopKeepers = context.WithCancel(life)
	if n.member != nil {
		n.keepers.Go(func() { n.member.Keep(life, nil, n.config.Data, func() {}) })
	}
	for _, s := range n.sidecars {
		n.keepers.Go(func() { s.keepCertificate(life) })
	}
}

func (s *sidecar) keepCertificate(life context.Context) {
	if m := s.node.member; m != nil {
		m.Keep(life, &s.id, s.folder, s.reload)
		return
	}
	for {
		err := control.KeepFiles(life, s.node.socket, s.folder, s.id, s.log, s.reload)
		if err == nil {
			return // life is over
		}
		s.log.Error("certificates are not renewed", "error", err)
		if clock.Sleep(life, s.node.clock, meshRetryMost) != nil {
			return
		}
	}
}

// start serves the workload: with what was kept, if the control plane does not answer in time.
func (s *sidecar) start(ctx, life context.Context) error {
	if err := s.identity.load(); err != nil && !errors.Is(err, os.ErrNotExist) {
		s.log.Warn("the certificates that were kept can't be used", "error", err)
	}
	for s.identity.current.Load() == nil {
		if err := clock.Sleep(ctx, s.node.clock, meshRetryFirst); err != nil {
			return fmt.Errorf("wait for a certificate of %s: %w", s.id, err)
		}
	}
	s.node.running.Go(func() { s.followConfig(life) })
	s.node.running.Go(func() { s.retryFaults(life) })
	late, stop := s.node.clock.After(controlPatience)
	defer stop()
	select {
	case <-s.ready:
		return nil
	case <-late:
		s.useKept()
	case <-ctx.Done():
	}
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a configuration of %s: %w", s.id, ctx.Err())
	}
}

// TakenOver is closed when another process serves instead of this one, which should Close.
func (n *MeshNode) TakenOver() <-chan struct{} { return n.taken }

// Close ends the data plane. Requests under way are answered; where another process has taken over, connections end with
// the answer to their next request, as long as ctx allows.
func (n *MeshNode) Close(ctx context.Context) {
	patience, taken := drainTime, true
	select {
	case <-n.taken:
	default:
		taken = false
		ctx, patience = context.WithoutCancel(ctx), stopDrain
		n.stop()
		if n.handover != nil {
			for _, name := range []string{handoverSocket, MeshAdminSocket} {
				_ = os.Remove(filepath.Join(n.config.Data, name)) // nobody answers there any more
			}
		}
	}
	if n.handover != nil {
		_ = n.handover.Close() // the same
	}
	if n.admin != nil {
		_ = n.admin.Close() // who watches sees the end
	}
	n.closeMetrics()
	n.closeWorkloads(taken)
	var ending sync.WaitGroup
	for _, s := range n.sidecars {
		ending.Go(func() { s.finish(ctx, patience) })
	}
	ending.Wait()
	n.stop()
	n.keepers.Wait()
	n.running.Wait()
	if n.access != nil {
		_ = n.access.Close() // its proxies have written and told what they could not
	}
}
