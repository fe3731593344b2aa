package postgres

import (
	"context"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// wires are a store's network connections. The driver closes one with courtesy, which takes 15 s where the other end is
// silent; a store that is closed does not wait for that.
type wires struct {
	mu   sync.Mutex
	open map[*wire]struct{}
}

type wire struct {
	net.Conn
	of *wires
}

// through makes dial note its connections.
func (w *wires) through(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		noted := &wire{Conn: conn, of: w}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open == nil {
			w.open = map[*wire]struct{}{}
		}
		w.open[noted] = struct{}{}
		return noted, nil
	}
}

// Close implements net.Conn.
func (c *wire) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// cut closes all connections, whatever the driver still does with them.
func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		_ = c.Conn.Close()
	}
}
