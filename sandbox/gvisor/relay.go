package gvisor

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// A relay stands between the workload and one socket of the host, or one address beyond it, and counts what goes
// through. So the host knows what left the sandbox without asking the kernel in it. It passes bytes of streams on, and no
// descriptors.
type relay struct {
	name     string
	dial     func() (stream, error)
	listener *net.UnixListener

	connections, sent, received atomic.Uint64

	places chan struct{} // one for each open connection
	group  sync.WaitGroup
	mu     sync.Mutex
	open   map[stream]bool
	ended  bool
}

// Bounds of relays.
const (
	maxRelayed = 1024                   // connections of one socket at a time; more are closed at once
	drainEvery = 100 * time.Millisecond // for connections that nobody has taken when the sandbox has ended
	drainBytes = time.Second            // for bytes that are on their way then
)

// relays are those of a session, in the order of the policy's sockets.
type relays []*relay

// startRelays listens in the sandbox's folder for each socket of the policy, with its owner and mode, and returns the
// policy with the relays in their places.
func (s *session) startRelays() (*sandbox.Policy, error) {
	relayed := *s.policy
	relayed.Network.Sockets = slices.Clone(s.policy.Network.Sockets)
	for i := range relayed.Network.Sockets {
		one := &relayed.Network.Sockets[i]
		target, address := one.Path, one.Address
		dial, who := func() (stream, error) { return dialUnix(target) }, owner{int(s.policy.User.UID), int(s.policy.User.GID), 0o600}
		var err error
		switch {
		case address != "":
			dial = func() (stream, error) { return dialBeyond(address) }
		case !one.Service: // a service's may come later
			who, err = ownerOf(target)
		}
		var r *relay
		if err == nil {
			r, err = newRelay(one.Name, s.place.path("s"+strconv.Itoa(i)), who, dial)
		}
		if err != nil {
			return nil, fmt.Errorf("relay the socket %s: %w", one.Name, err)
		}
		s.relays, one.Path = append(s.relays, r), s.place.path("s"+strconv.Itoa(i))
	}
	return &relayed, nil
}

// newRelay listens at path, for who.
func newRelay(name, path string, who owner, dial func() (stream, error)) (*relay, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false) // its folder may be renamed
	if err = os.Chown(path, who.uid, who.gid); err == nil {
		err = os.Chmod(path, who.mode)
	}
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	r := &relay{name: name, dial: dial, listener: listener, places: make(chan struct{}, maxRelayed), open: map[stream]bool{}}
	r.group.Go(r.accept)
	return r, nil
}

func (r *relay) accept() {
	for {
		conn, err := r.listener.AcceptUnix()
		if err != nil {
			return // closed, or drained
		}
		r.connections.Add(1)
		select {
		case r.places <- struct{}{}:
		default:
			_ = conn.Close() // counted, as the sandbox's kernel has counted it
			continue
		}
		r.group.Go(func() {
			defer func() { <-r.places }()
			r.pass(conn)
		})
	}
}

// pass copies both ways until both have ended.
func (r *relay) pass(inside stream) {
	if !r.hold(inside) {
		return
	}
	defer r.drop(inside)
	outside, err := r.dial()
	if err != nil || !r.hold(outside) {
		return // who called sees the end of the connection
	}
	defer r.drop(outside)
	var both sync.WaitGroup
	both.Go(func() { r.count(outside, inside, &r.sent) })
	both.Go(func() { r.count(inside, outside, &r.received) })
	both.Wait()
}

// count copies one way, and hands on the end.
func (r *relay) count(to, from stream, total *atomic.Uint64) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		total.Add(uint64(n)) //nolint:gosec // not negative
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				_ = from.CloseRead() // nobody wants more
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.CloseRead() // broken: nothing more will be understood
			}
			_ = to.CloseWrite()
			return
		}
	}
}

// hold keeps a connection to be closed at the end.
func (r *relay) hold(conn stream) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		_ = conn.Close()
		return false
	}
	r.open[conn] = true
	return true
}

func (r *relay) drop(conn stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, conn)
	_ = conn.Close()
}

// close takes what is on its way from a sandbox that has ended, and ends.
func (all relays) close() {
	var group sync.WaitGroup
	for _, r := range all {
		group.Go(r.close)
	}
	group.Wait()
}

func (r *relay) close() {
	_ = r.listener.SetDeadline(time.Now().Add(drainEvery))
	ended := make(chan struct{})
	go func() {
		r.group.Wait()
		close(ended)
	}()
	limit := time.NewTimer(drainBytes)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
	}
	r.mu.Lock()
	r.ended = true
	for conn := range r.open {
		_ = conn.Close()
	}
	r.mu.Unlock()
	_ = r.listener.Close()
	<-ended
}

// egress is what went through so far.
func (all relays) egress() []trail.Egress {
	var list []trail.Egress
	for _, r := range all {
		list = append(list, trail.Egress{Name: r.name, Connections: r.connections.Load(), Sent: r.sent.Load(), Received: r.received.Load()})
	}
	return list
}
