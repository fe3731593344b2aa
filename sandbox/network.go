package sandbox

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
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
		_, ok := hostOf(e.Address)
		v.want(ok, "network.egress: %q: want host:port, not %q", clip(e.Name), clip(e.Address))
		n.Sockets = append(n.Sockets, Socket{Name: e.Name, Address: e.Address})
	}
	clear(seen)
	for _, s := range n.Listen {
		name("network.listen", s)
	}
}

var hostForm = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// hostOf takes host:port apart; an address of IPv6 is in brackets.
func hostOf(address string) (host string, ok bool) {
	i := strings.LastIndexByte(address, ':')
	if i < 1 || i > 255 {
		return "", false
	}
	host = address[:i]
	port, err := strconv.ParseUint(address[i+1:], 10, 16)
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if opened && closed {
		_, bad := netip.ParseAddr(inner)
		return inner, bad == nil && err == nil && port > 0
	}
	return host, err == nil && port > 0 && hostForm.MatchString(host)
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
		host, _ := hostOf(e.Address) // Parse has verified it
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
