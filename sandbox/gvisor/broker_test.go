package gvisor

import (
	"net"
	"net/netip"
	"testing"
)

// TestBeyond: a name leads neither to this host, by whatever address of its, nor to its link, nor to its cloud's services.
func TestBeyond(t *testing.T) {
	refused := []string{
		"127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "0.0.0.0", "::", "64:ff9b::",
		"169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1",
		"100.100.100.200", "::ffff:100.100.100.200", "64:ff9b::100.100.100.200", "fd00:100::100:200",
		"168.63.129.16", "64:ff9b::a83f:8110", "192.0.0.192", "fd00:c1::a9fe:a9fe",
		"fd00:ec2::254", "fd00:ec2::254%eth0", "fd00:ec2::23", "fd20:ce::254", "fd00:42::42", "fd00:a9fe:a9fe::1",
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range own {
		ip := netip.MustParsePrefix(a.String()).Addr()
		refused = append(refused, ip.String())
		if ip.Is4() {
			refused = append(refused, "::ffff:"+ip.String(), "64:ff9b::"+ip.String())
		}
	}
	for _, text := range refused {
		if beyond("name", netip.MustParseAddr(text)) == nil {
			t.Errorf("%s is beyond the host", text)
		}
	}
	for _, text := range []string{"192.0.2.77", "2001:db8::77", "::ffff:192.0.2.77", "64:ff9b::192.0.2.77", "100.100.100.201", "fd00:ec3::254"} {
		if err := beyond("name", netip.MustParseAddr(text)); err != nil {
			t.Error(err)
		}
	}
}
