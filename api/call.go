package api

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// method is one procedure: who may call it, and how its two forms serve it.
// One of hot, cold, feed and observe is set.
type method struct {
	path       string // /sterling.ledger.v1.LedgerService/CreateTransfers
	name       string // CreateTransfers
	permission auth.Permission
	anywhere   bool // a node that does not lead its cell answers, too
	scoped     bool // callers with a scope may call it: it heeds the scope
	between    bool // nodes of the ledger's cells call it, and nobody else
	forwards   bool // a node of another cell may call it for a caller
	metrics    methodMetrics
	hot        *hot
	cold       *cold
	feed       bool // a subscription: see feed.go
	observe    bool // a stream of observations: see watch_observe.go
}

// call is one hot call on its way from the decoder to the encoder. It is used
// again once it was answered, unless the cell may still hold it.
type call struct {
	method    *method
	principal auth.Principal
	visitor   visitor
	assets    *codec.AssetTable
	batch     codec.Batch
	reply     codec.Reply
	request   cell.Request
	results   []journal.Result
	encode    []byte // JSON, before it is written

	began     uint64 // clock.Mono
	decodeErr error
	forwarded bool // by a node of another cell
	moved     bool // it was refused since a bucket moves: where its transfers are has to be found out anew
	lost      bool // the cell returned an error: it may still hold the memory
}

func (s *Server) take(m *method) *call {
	c := s.calls.Get().(*call)
	c.method, c.began = m, s.config.Clock.Mono()
	return c
}

func (s *Server) give(c *call) {
	if c.lost {
		return
	}
	c.batch.Reset()
	c.method, c.assets, c.decodeErr = nil, nil, nil
	c.principal, c.visitor, c.forwarded = auth.Principal{}, visitor{}, false
	c.moved = false
	c.reply = codec.Reply{}
	s.calls.Put(c)
}

// resultsFor returns n zero results.
func (c *call) resultsFor(n int) []journal.Result {
	if cap(c.results) < n {
		c.results = make([]journal.Result, n)
	}
	c.results = c.results[:n]
	clear(c.results)
	return c.results
}

// decode runs a decoder on bytes from the network and keeps its error in the
// call, so that grpc-go and connect-go do not wrap it.
func (s *Server) decode(c *call, data []byte, read func(*Server, *call, []byte) error) {
	c.decodeErr = s.protect(c.method, func() error {
		c.assets = s.assetTable()
		return read(s, c, data)
	})
}

// serve runs a decoded hot call.
func (s *Server) serve(ctx context.Context, c *call) error {
	if c.decodeErr != nil {
		return c.decodeErr
	}
	n := c.events()
	c.method.metrics.events.Add(float64(n))
	if err := s.admitEvents(&c.principal, n); err != nil {
		return err
	}
	return s.whileMoving(ctx, c.forwarded, func() error {
		err := s.protect(c.method, func() error { return c.method.hot.run(s, ctx, c) })
		c.moved = c.moved || isMoving(err)
		return err
	})
}

// rest is a call for what is left of this one, of which other events were recorded: the node brings it about as if it had
// come from the caller.
func (c *call) rest() *call {
	return &call{method: c.method, principal: c.principal, visitor: c.visitor, assets: c.assets, moved: true}
}

// events is how many accounts, transfers and ids a call carries.
func (c *call) events() int { return len(c.batch.Accounts) + len(c.batch.Transfers) + len(c.batch.IDs) }

// protect turns a panic into an error, so that a bug ends one call and not the
// server.
func (s *Server) protect(m *method, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.metrics.panics.Inc()
			s.logger.Error("panic in a call", "method", m.name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = internal()
		}
	}()
	return f()
}

// finish counts a call and returns its error in words for the sender, nil if
// there is none.
func (s *Server) finish(m *method, began uint64, err error) *fault {
	m.metrics.seconds.Observe(float64(s.config.Clock.Mono()-began) / 1e9)
	if err == nil {
		m.metrics.codes[codeOK].Inc()
		return nil
	}
	f, known := classify(err)
	if !known {
		s.logger.Error("call ended with an unexpected error", "method", m.name, "error", err)
	}
	if int(f.code) < len(m.metrics.codes) {
		m.metrics.codes[f.code].Inc()
	}
	return f
}
