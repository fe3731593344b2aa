package mesh

import (
	"net/netip"

	"gopkg.in/yaml.v3"
)

// supervised is how desired state writes SupervisedApp.
const supervised = "supervised"

// SupervisedApp stands for a program that only its supervisor reaches, in a sandbox: no address of any machine. A data
// plane that does not know better fails to connect to it.
func SupervisedApp() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
}

// app returns where the program behind a backend's sidecar is.
func (p *parser) app(n *yaml.Node) netip.AddrPort {
	if n != nil && p.err == nil && n.Value == supervised {
		return SupervisedApp()
	}
	return p.address(n, "app")
}
