package gvisor

import (
	"net"
	"net/netip"
	"testing"
)

// TestBeyond: a name leads neither to this host, by whatever address of its, nor to its link.
func TestBeyond(t *testing.T) {
	refused := []string{"127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1"}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		ip := netip.MustParsePrefix(a.String()).Addr()
		refused = append(refused, ip.String())
		if ip.Is4() {
			refused = append(refused, "::ffff:"+ip.String())
		}
	}
	for _, text := range refused {
		if beyond("name", netip.MustParseAddr(text)) == nil {
			t.Errorf("%s is beyond the host", text)
		}
	}
	for _, text := range []string{"192.0.2.77", "2001:db8::77", "::ffff:192.0.2.77"} {
		if err := beyond("name", netip.MustParseAddr(text)); err != nil {
			t.Error(err)
		}
	}
}
