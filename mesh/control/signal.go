package control

import (
	"context"
	"crypto/tls"
	"sync"
)

// signal wakes everybody who waits. Take the channel before looking at what may have changed. The zero value is ready.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == nil {
		s.ch = make(chan struct{})
	}
	return s.ch
}

func (s *signal) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != nil {
		close(s.ch)
		s.ch = nil
	}
}

// holder keeps a certificate until half its life, and longer where there is no new one to be had.
type holder struct {
	mu   sync.Mutex
	svid *SVID
	cert *tls.Certificate // replaced, never changed: handshakes still read the last one
}

func (h *holder) get(ctx context.Context, a *Authority, issue func(ctx context.Context) (*SVID, error)) (*tls.Certificate, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.svid == nil || !wall(a.clock).Before(h.svid.Renew) {
		svid, err := issue(ctx)
		switch {
		case err == nil:
			cert := svid.TLS()
			h.svid, h.cert = svid, &cert
		case h.svid == nil || !wall(a.clock).Before(h.svid.Chain[0].NotAfter):
			return nil, err
		}
	}
	return h.cert, nil
}
