package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

const (
	sidecarConfigFile = "config.yaml" // the last good configuration
	// listenAgain is how often an address that could not be had is tried again.
	listenAgain = time.Second
	// drainTime is how long connections may go on that another proxy takes over from: longer than an idle one may live.
	drainTime = 75 * time.Second
	// stopDrain is the same where nobody takes over, and requestsTime for requests under way after it.
	stopDrain    = time.Second
	requestsTime = 10 * time.Second
)

// sidecar is the data plane of one workload: its identity, its configuration, and the proxy that obeys it.
type sidecar struct {
	node     *MeshNode
	life     context.Context //nolint:containedctx // of the node: what the sidecar does in the background ends with it
	id       mesh.ID
	folder   string
	log      *slog.Logger
	identity *meshIdentity
	ready    chan struct{} // closed once it serves
	once     sync.Once
	drains   sync.WaitGroup
	stats    *proxy.Stats // of all its proxies
	started  time.Time    // since when they count

	mu       sync.Mutex
	sockets  map[string]socket // by address; proxies have copies, so that none is ever closed in between
	proxy    *proxy.Proxy      // nil: no configuration yet
	changed  chan struct{}     // closed when there is another proxy
	text     []byte            // the configuration in use
	config   proxy.Config      // as placed, without the listeners that could not be had
	status   SidecarStatus
	faults   map[string]string // of addresses that could not be had
	finished bool
	programs []string // Unix sockets of the service's replicas, where a supervisor runs them
}

// setPrograms has calls of the service go to these Unix sockets.
func (s *sidecar) setPrograms(paths []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programs = paths
	if s.proxy == nil {
		return nil // with the first configuration
	}
	return s.use(s.text, s.status.Version)
}

// SidecarStatus is how a workload's data plane is.
type SidecarStatus struct {
	ID        string    `json:"id"`
	Connected bool      `json:"connected"`         // to the control plane
	Reason    string    `json:"reason,omitempty"`  // why it is not
	Version   string    `json:"version"`           // of the configuration; "kept" for one from the disk
	Applied   time.Time `json:"applied"`           // when
	Refusal   string    `json:"refusal,omitempty"` // why a newer one is not in use
	// Listeners have their addresses by name; Faults why an address could not be had.
	Listeners map[string]string `json:"listeners"`
	Faults    map[string]string `json:"faults,omitempty"`
	Expires   time.Time         `json:"expires"` // the certificate
}

func newSidecar(life context.Context, n *MeshNode, id mesh.ID, inherited map[string]socket) (*sidecar, error) {
	s := &sidecar{
		node: n, life: life, id: id, folder: filepath.Join(n.config.Data, id.Service+"@"+id.Cell), log: n.log.With("workload", id.String()),
		ready: make(chan struct{}), changed: make(chan struct{}), sockets: inherited, faults: map[string]string{},
		stats: proxy.NewStats(), started: time.Now(),
	}
	s.identity = &meshIdentity{folder: s.folder}
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of a workload: %w", err)
	}
	return s, nil
}

// reload takes over certificates that were renewed.
func (s *sidecar) reload() {
	if err := s.identity.load(); err != nil {
		s.log.Error("renewed certificates can't be used: the old ones stay", "error", err)
		return
	}
	s.log.Info("certificates are renewed", "until", s.identity.current.Load().told.NotAfter)
}

// useKept takes over the last good configuration, unless another one has come.
func (s *sidecar) useKept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proxy != nil {
		return
	}
	text, err := os.ReadFile(filepath.Join(s.folder, sidecarConfigFile))
	if err == nil {
		err = s.use(text, "kept")
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.log.Warn("no configuration yet: the control plane has not answered, and there is no earlier one")
	case err != nil:
		s.log.Error("the last good configuration can't be used", "error", err)
	default:
		s.log.Warn("the control plane does not answer: the last good configuration is in use")
	}
}

// take uses a configuration and keeps it. An error is about the configuration, never about this machine: those are
// told, and tried again.
func (s *sidecar) take(text []byte, version string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.use(text, version)
	if err != nil {
		s.status.Refusal = err.Error()
		s.log.Error("a configuration is refused; what was in use stays", "version", version, "error", err)
		return err
	}
	s.log.Info("a configuration is in use", "version", version)
	if err := durable.WriteFile(filepath.Join(s.folder, sidecarConfigFile), text); err != nil {
		s.log.Error("the last good configuration is not kept", "error", err)
	}
	return nil
}

// use makes text the configuration. The caller holds s.mu.
func (s *sidecar) use(text []byte, version string) error {
	if s.finished {
		return errors.New("the node ends")
	}
	config, err := proxy.ParseConfig(text)
	if err == nil {
		err = config.CheckNetwork()
	}
	if err != nil {
		return err
	}
	config.Place(s.node.mine, s.node.offer)
	if s.node.config.Sockets != "" {
		config.Enclose(s.node.config.Sockets, s.programs)
	}
	s.listen(&config)
	if err := s.serve(config); err != nil {
		return err
	}
	s.forget(&config)
	s.text, s.config = text, config
	s.status.Version, s.status.Applied, s.status.Refusal = version, time.Now().UTC(), ""
	s.once.Do(func() { close(s.ready) })
	return nil
}

// listen has a socket for every listener. One whose address can't be had is left out, with its routes, until it can.
func (s *sidecar) listen(config *proxy.Config) {
	clear(s.faults)
	for _, l := range config.Listeners {
		if s.sockets[l.Address] != nil {
			continue
		}
		one, err := listenSocket(l.Address)
		if err != nil {
			s.faults[l.Address] = err.Error()
			s.log.Error("a listener is left out until its address is free", "listener", l.Name, "error", err)
			continue
		}
		s.sockets[l.Address] = one
	}
	config.Only(func(l proxy.Listener) bool { return s.sockets[l.Address] != nil })
}

// forget closes the sockets that config has no use for.
func (s *sidecar) forget(config *proxy.Config) {
	for address, one := range s.sockets {
		if !slices.ContainsFunc(config.Listeners, func(l proxy.Listener) bool { return l.Address == address }) {
			closeSocket(address, one)
			delete(s.sockets, address)
		}
	}
}

// copyOf is a listener on the same socket.
func (s *sidecar) copyOf(l proxy.Listener) (net.Listener, error) {
	f, err := copyOfSocket(s.sockets[l.Address])
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // the listener has a copy
	return net.FileListener(f)
}

// serve has the proxy obey config: a new one where listeners change, while the old one ends what it has begun.
func (s *sidecar) serve(config proxy.Config) error {
	if s.proxy != nil {
		if err := s.proxy.Apply(config); !errors.Is(err, proxy.ErrListeners) {
			return err
		}
	}
	next, err := proxy.New(config, proxy.Options{Identity: s.identity, Clock: s.node.clock, Log: s.log, AccessLog: s.node.access, Listen: s.copyOf, Stats: s.stats})
	if err != nil {
		return err
	}
	if err := next.Start(); err != nil {
		return err
	}
	if old := s.proxy; old != nil {
		s.drains.Go(func() { s.end(s.life, old, drainTime) })
	}
	s.proxy = next
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// end lets a proxy finish: connections for as long as drain, then requests.
func (s *sidecar) end(ctx context.Context, p *proxy.Proxy, drain time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, drain)
	defer cancel()
	if err := p.Drain(ctx); err != nil {
		s.log.Info("idle connections are closed", "error", err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), requestsTime)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		s.log.Warn("shut down a proxy", "error", err)
	}
}

// retryFaults tries addresses again that could not be had.
func (s *sidecar) retryFaults(ctx context.Context) {
	for clock.Sleep(ctx, s.node.clock, listenAgain) == nil {
		s.mu.Lock()
		if len(s.faults) > 0 {
			if err := s.use(s.text, s.status.Version); err != nil {
				s.log.Error("use the configuration again", "error", err)
			}
		}
		s.mu.Unlock()
	}
}

// finish ends the proxy.
func (s *sidecar) finish(ctx context.Context, patience time.Duration) {
	s.mu.Lock()
	s.finished = true
	p := s.proxy
	for _, socket := range s.sockets {
		_ = socket.Close() // copies elsewhere go on
	}
	s.mu.Unlock()
	if p != nil {
		s.end(ctx, p, patience)
	}
	s.drains.Wait()
}

func (s *sidecar) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Connected, s.status.Reason = true, ""
}

// disconnected tells whether the reason is news.
func (s *sidecar) disconnected(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	reason := "the stream ended"
	if err != nil {
		reason = err.Error()
	}
	news := s.status.Connected || s.status.Reason != reason
	s.status.Connected, s.status.Reason = false, reason
	return news
}

func (s *sidecar) told() SidecarStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	out.ID, out.Listeners, out.Faults = s.id.String(), map[string]string{}, map[string]string{}
	for _, l := range s.config.Listeners {
		out.Listeners[l.Name] = l.Address
	}
	for address, fault := range s.faults {
		out.Faults[address] = fault
	}
	if m := s.identity.current.Load(); m != nil {
		out.Expires = m.told.NotAfter
	}
	return out
}

// addressIsMine tells whether a machine with these interfaces answers at an address.
func addressIsMine(address netip.Addr) bool {
	if address.IsLoopback() || address.IsUnspecified() {
		return true
	}
	list, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(list, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == address
	})
}
