package sandbox

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
)

// ListenFolder is where the workload makes the sockets that Network.Listen names.
const ListenFolder = "/run/listen"

// Egress is one address beyond the host that the workload reaches as a Unix stream socket at SocketFolder/Name. The
// runner connects, at each connection anew; the workload has no network all the same, and chooses no address.
type Egress struct {
	Name    string `yaml:"name"`
	Address string `yaml:"address"` // host:port, by TCP
}

// Brokered tells whether a socket is no plain one of the host: the runner, or a mesh proxy, makes it.
func (s Socket) Brokered() bool { return s.Service || s.Address != "" }

// network verifies the names, and makes sockets of what is brokered, so that everything else treats them alike.
func (v *validator) network(n *Network) {
	v.items("network.services", len(n.Services))
	v.items("network.egress", len(n.Egress))
	v.items("network.listen", len(n.Listen))
	seen := map[string]bool{}
	name := func(where, name string) {
		v.want(nameForm.MatchString(name), "%s: %q is no name (letters, digits, dot, dash, underscore; up to 63)", where, clip(name))
		v.want(!seen[name], "%s: %q is there twice", where, clip(name))
		seen[name] = true
	}
	for _, s := range n.Sockets {
		seen[s.Name] = true // the name was verified
	}
	for _, s := range n.Services {
		name("network.services", s)
		v.want(ValidName(s), "network.services: %q is no name of a service (a-z, 0-9 and -, up to 63)", clip(s))
		n.Sockets = append(n.Sockets, Socket{Name: s, Service: true})
	}
	for _, e := range n.Egress {
		name("network.egress", e.Name)
		host, port, err := net.SplitHostPort(e.Address)
		number, bad := strconv.ParseUint(port, 10, 16)
		v.want(err == nil && bad == nil && number > 0 && host != "" && len(host) <= 253, "network.egress: %q: want host:port, not %q", clip(e.Name), clip(e.Address))
		n.Sockets = append(n.Sockets, Socket{Name: e.Name, Address: e.Address})
	}
	clear(seen)
	for _, s := range n.Listen {
		name("network.listen", s)
	}
}

// Broker says where sockets of brokered services are: one of each name in a folder of the host.
func (p *Policy) Broker(folder string) {
	for i := range p.Network.Sockets {
		if s := &p.Network.Sockets[i]; s.Brokered() {
			s.Path = path.Join(folder, s.Name)
		}
	}
}

// hostUDS is what gVisor may do with Unix sockets of the host: it connects to those that it is given, and makes those
// that the workload listens on, in the one folder that is given for it.
func (n *Network) hostUDS() string {
	switch {
	case len(n.Sockets) > 0 && len(n.Listen) > 0:
		return "all"
	case len(n.Sockets) > 0:
		return "open"
	case len(n.Listen) > 0:
		return "create"
	}
	return "none"
}

func checkNetwork(p *Policy, add adder) {
	for _, s := range p.Network.Sockets {
		if !s.Brokered() {
			add(SeverityNote, "network.sockets", "%s: whoever listens there is all that stands between the workload and what lies behind", s.Name)
		}
	}
	for _, e := range p.Network.Egress {
		host, _, _ := net.SplitHostPort(e.Address) // Parse has verified it
		ip, err := netip.ParseAddr(host)
		if err == nil && !Public(ip) {
			add(SeverityWarn, "network.egress", "%s: %s is this host or its link: programs there may trust whoever reaches them", e.Name, host)
		} else {
			add(SeverityNote, "network.egress", "%s: what the workload knows can leave to %s", e.Name, e.Address)
		}
	}
	if len(p.Network.Listen) == 0 {
		return
	}
	for i, m := range p.Mounts {
		if m.Source != "" && m.Writable {
			add(SeverityWarn, fmt.Sprintf("mounts[%d].writable", i), "with network.listen, the workload can make sockets there, which programs of the host may take for others")
		}
	}
}

// Public tells whether an address that a name stood for may be connected to. Names are other people's to define, and
// addresses of the host and of its link are those of services that trust whoever reaches them.
func Public(ip netip.Addr) bool {
	ip = ip.Unmap()
	return !ip.IsLoopback() && !ip.IsUnspecified() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast()
}
