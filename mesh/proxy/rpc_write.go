package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// rpcWriter writes messages one after the other by a goroutine of its own, so that no call waits for another one's peer.
type rpcWriter struct {
	nc   net.Conn
	wake chan struct{} // has one while there is something to do

	mu      sync.Mutex
	out     []byte
	writing int // bytes on their way
	ending  bool
	err     error // why nothing can be written any more
}

var (
	errWaiting = errors.New("too much waits to be written")
	errEnding  = errors.New("the connection ends")
)

// writeStep is how much a peer has to take within writeTime.
const writeStep = 256 << 10

func newRPCWriter(nc net.Conn) *rpcWriter {
	return &rpcWriter{nc: nc, wake: make(chan struct{}, 1)}
}

// add appends a message. With an error, not a byte of it is written. The last of what waits may exceed the bound.
func (w *rpcWriter) add(appendTo func(b []byte) ([]byte, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return w.err
	case w.ending:
		return errEnding
	case len(w.out)+w.writing > maxCallBytes:
		return errWaiting
	}
	was := len(w.out)
	b, err := appendTo(w.out)
	if err != nil {
		w.out = b[:was]
		return err
	}
	w.out = b
	w.signal()
	return nil
}

func (w *rpcWriter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// end makes run return once all is written.
func (w *rpcWriter) end() {
	w.mu.Lock()
	w.ending = true
	w.signal()
	w.mu.Unlock()
}

// run writes until end, or until the peer takes no more: then the connection is closed.
func (w *rpcWriter) run() {
	var spare []byte
	for range w.wake {
		w.mu.Lock()
		b, last := w.out, w.ending
		w.out, w.writing = spare[:0], len(b)
		w.mu.Unlock()
		err := w.write(b)
		if err != nil {
			w.mu.Lock()
			w.err, w.out = err, nil
			w.mu.Unlock()
			_ = socketOf(w.nc).Close() // whoever reads finds out
			return
		}
		if last {
			return
		}
		if spare = b[:0]; cap(spare) > maxKept {
			spare = nil
		}
		w.mu.Lock()
		w.writing = 0
		w.mu.Unlock()
	}
}

// socketOf is the connection without its TLS, whose end could wait for the peer.
func socketOf(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return t.NetConn()
	}
	return nc
}

func (w *rpcWriter) write(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writeStep)
		if err := w.nc.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		if _, err := w.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
