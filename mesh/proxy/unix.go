package proxy

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/sterlingrun/sterling/mesh"
)

// unixPrefix begins addresses that are Unix sockets: unix:/absolute/path. They are this machine's, and so no control
// plane's to name: see [Config.Enclose].
const unixPrefix = "unix:"

// UnixAddress tells whether an address is a Unix socket, and its path.
func UnixAddress(address string) (path string, ok bool) {
	return strings.CutPrefix(address, unixPrefix)
}

// networkOf is what an endpoint is dialled by.
func networkOf(address string) (network, at string) {
	if path, ok := UnixAddress(address); ok {
		return "unix", path
	}
	return "tcp", address
}

// CheckNetwork wants addresses of the network only, as a control plane may name them: by a socket of this machine it would
// reach, with this process's rights, what was never meant for the mesh. The error wraps [ErrConfig].
func (c *Config) CheckNetwork() error {
	for _, l := range c.Listeners {
		if path, ok := UnixAddress(l.Address); ok {
			return fmt.Errorf("%w: listener %q: the Unix socket %q is this machine's own", ErrConfig, l.Name, path)
		}
	}
	for _, k := range c.Clusters {
		for _, e := range k.Endpoints {
			if path, ok := UnixAddress(e.Address); ok {
				return fmt.Errorf("%w: cluster %q: the Unix socket %q is this machine's own", ErrConfig, k.Name, path)
			}
		}
	}
	return nil
}

// Enclose is what a configuration becomes for a workload without a network: the services that it may call are Unix
// sockets in a folder, each of its service's name, and the programs behind its own service that desired state leaves to
// its supervisor (mesh.SupervisedApp) are these sockets; without any, its calls fail.
func (c *Config) Enclose(folder string, programs []string) {
	for i := range c.Listeners {
		if l := &c.Listeners[i]; !strings.HasPrefix(l.Name, inboundPrefix) {
			l.Address = unixPrefix + filepath.Join(folder, l.Name)
		}
	}
	for i := range c.Clusters {
		if k := &c.Clusters[i]; k.Name == "app/"+mesh.SupervisedApp().String() {
			k.Endpoints = nil
			for _, path := range programs {
				k.Endpoints = append(k.Endpoints, Endpoint{Address: unixPrefix + path, Weight: 1})
			}
		}
	}
}
