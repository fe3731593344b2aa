package sandbox

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
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
			add(SeverityWarn, "network.egress", "%s: %s is this host, its link or a service of its cloud: programs there may trust whoever reaches them", e.Name, host)
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
// addresses of the host, of its link and of the services that a cloud gives each of its machines are those of services
// that trust whoever reaches them.
func Public(ip netip.Addr) bool {
	ip = Reached(ip)
	if ip.IsLoopback() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		return false
	}
	return !slices.ContainsFunc(cloudServices, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// cloudServices is where clouds give a machine its metadata, and with them often its credentials, beyond link-local
// addresses.
var cloudServices = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"),     // Alibaba Cloud
	netip.MustParsePrefix("fd00:100::100:200/128"),  // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),       // Azure: its agent's settings, with secrets of extensions
	netip.MustParsePrefix("192.0.0.192/32"),         // Oracle Cloud Classic
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),          // AWS: ::254, credentials of pods at ::23
	netip.MustParsePrefix("fd20:ce::254/128"),       // Google Cloud
	netip.MustParsePrefix("fd00:42::42/128"),        // Scaleway
	netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),  // Linode
}

// nat64 are the well-known addresses of IPv6 (RFC 6052) that a translator on the way makes IPv4 of.
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// Reached returns the address that a connection to ip ends at: that of IPv4 where ip is one written as IPv6, and no zone.
func Reached(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if nat64.Contains(ip) {
		b := ip.As16()
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return ip
}
