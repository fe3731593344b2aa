package engines

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// Ports come from below the range that systems choose outgoing connections' ports from, so that a port is still free
// when a killed server comes back to it.
const (
	firstPort = 20_000
	portCount = 10_000
)

// ports are TCP ports of loopback that no other process of this package uses, whether somebody listens on them at the
// moment or not: each is reserved by the UDP port of the same number, which the system gives back when we end.
type ports struct {
	numbers  []int
	reserved []net.PacketConn
}

// reservePorts finds n ports that nobody listens on.
func reservePorts(n int) (*ports, error) {
	p := &ports{}
	for range 500 {
		if len(p.numbers) == n {
			return p, nil
		}
		port := firstPort + rand.IntN(portCount) //nolint:gosec // not a secret
		if slices.Contains(p.numbers, port) {
			continue
		}
		reserved, err := net.ListenPacket("udp4", address(port))
		if err != nil {
			continue
		}
		if !isFree(port) {
			_ = reserved.Close()
			continue
		}
		p.numbers, p.reserved = append(p.numbers, port), append(p.reserved, reserved)
	}
	return nil, errors.Join(fmt.Errorf("find %d free ports between %d and %d: none", n, firstPort, firstPort+portCount), p.release())
}

// release lets others have the ports. Nil: nothing to do.
func (p *ports) release() (err error) {
	if p == nil {
		return nil
	}
	for _, r := range p.reserved {
		err = errors.Join(err, r.Close())
	}
	p.reserved = nil
	return err
}

func isFree(port int) bool {
	l, err := net.Listen("tcp4", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
