package proxy_test

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// TestPassthroughCarriesMessagesOfAnySize: those that are copied, those that the kernel moves, and those after them.
func TestPassthroughCarriesMessagesOfAnySize(t *testing.T) {
	echo := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) { _, _ = io.Copy(c, in) })
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: tcp, cluster: app}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
`, echo)
	c := dialProxy(t, p)
	chance := rand.NewChaCha8([32]byte{1})
	for _, size := range []int{1, 4095, 4096, 4097, 8192, 3 << 20, 1, 1 << 20, 5000, 7} {
		sent, got := make([]byte, size), make([]byte, size)
		_, _ = chance.Read(sent) // never fails
		wrote := make(chan error, 1)
		go func() { _, err := c.Write(sent); wrote <- err }()
		if _, err := io.ReadFull(c.in, got); err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(sent, got) {
			t.Fatalf("%d bytes came back changed", size)
		}
	}
}
