package gvisor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"testing"
)

// TestOffersTakeConnections: the socket of an idle sandbox that can be seen can be connected to.
func TestOffersTakeConnections(t *testing.T) {
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		path := filepath.Join(t.TempDir(), fileTake)
		found := make(chan error, 1)
		go func() {
			for {
				conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
				if err == nil {
					_ = conn.Close()
				}
				if !errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
					found <- err
					return
				}
			}
		}()
		listener, err := offer(path)
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		err = <-found
		cancel()
		if err := errors.Join(err, listener.Close()); err != nil {
			t.Fatal(err)
		}
	}
}
