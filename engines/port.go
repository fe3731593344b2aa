package engines

import (
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

// freePorts returns n ports of loopback, all different, that nobody listens on at the moment.
func freePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range 500 {
		port := firstPort + rand.IntN(portCount) //nolint:gosec // not a secret
		if !slices.Contains(ports, port) && isFree(port) {
			if ports = append(ports, port); len(ports) == n {
				return ports, nil
			}
		}
	}
	return nil, fmt.Errorf("find %d free ports between %d and %d: none", n, firstPort, firstPort+portCount)
}

func isFree(port int) bool {
	l, err := net.Listen("tcp4", address(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
