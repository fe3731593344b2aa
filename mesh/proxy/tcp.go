package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// serveTCP passes one connection through: encrypted or not on either side, whatever is spoken on it.
func (p *Proxy) serveTCP(l *listener, nc net.Conn) error {
	caller, began := l.Caller, time.Now()
	if l.tls != nil {
		t := tls.Server(nc, l.tls)
		if err := errors.Join(t.SetDeadline(time.Now().Add(headTime)), t.Handshake(), t.SetDeadline(time.Time{})); err != nil {
			l.stats.handshakes.Add(1)
			return err
		}
		nc = t
		caller, _ = peerOf(t) // the handshake made sure that there is one
	}
	refuse := func(f *failure) error {
		l.calls.connected(caller, l.Cluster, time.Since(began), f)
		return f.asError()
	}
	k := p.snap.Load().clusters[l.Cluster].forColor(l.Shadow)
	if k == nil {
		return refuse(wrongColor(l.Shadow))
	}
	if !k.enter() {
		return refuse(errBreaker)
	}
	defer k.leave()
	var tried []*endpoint
	for range 2 { // nothing has been sent: another endpoint is as good
		now := p.clock.Mono()
		e := k.choose(now, tried)
		if e == nil {
			return refuse(errNoEndpoint)
		}
		to, err := dial(k, e, k.tunnelTLS, time.Now().Add(k.ConnectTimeout))
		if err != nil {
			k.failed(e, now)
			tried = append(tried, e)
			continue
		}
		k.succeeded(e)
		l.calls.connected(caller, l.Cluster, time.Since(began), nil)
		e.active.Add(1)
		in, out := pipe(nc, to, l.Idle)
		e.active.Add(-1)
		l.stats.bytesIn.Add(uint64(in))   //nolint:gosec // a count
		l.stats.bytesOut.Add(uint64(out)) //nolint:gosec // a count
		return to.Close()
	}
	return refuse(errNoConnect)
}

func (f *failure) asError() error { return errors.New(f.reason) }

// pipe passes bytes between a and b until both have ended or neither has sent any for idle; it returns how many. A
// side's end is passed on as such, so that the other can finish.
func pipe(a, b net.Conn, idle time.Duration) (fromA, fromB int64) {
	var moved atomic.Int64 // when bytes last came, since begin
	begin := time.Now()
	done := make(chan struct{})
	go func() {
		fromB = oneWay(a, b, idle, begin, &moved)
		close(done)
	}()
	fromA = oneWay(b, a, idle, begin, &moved)
	<-done
	return fromA, fromB
}

const (
	pieceBytes = 1 << 20 // after how many bytes the deadlines are set anew
	smallPiece = 4 << 10
)

// carry moves about pieceBytes, or all until the end of from. Small messages are copied, which is cheaper than a pipe in
// the kernel; when more is coming than fits into buf, and both are plain TCP, the kernel moves it.
func carry(to, from net.Conn, buf []byte) (total int64, err error) {
	for total < pieceBytes {
		n, err := from.Read(buf)
		if n > 0 {
			written, err := to.Write(buf[:n])
			if total += int64(written); err != nil {
				return total, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case n == len(buf):
			more, err := io.Copy(bare(to), &io.LimitedReader{R: bare(from), N: pieceBytes - total})
			return total + more, err
		}
	}
	return total, nil
}

func oneWay(to, from net.Conn, idle time.Duration, begin time.Time, moved *atomic.Int64) (total int64) {
	piece := make([]byte, smallPiece)
	for {
		by := time.Now().Add(idle)
		err := errors.Join(from.SetReadDeadline(by), to.SetWriteDeadline(by.Add(writeTime)))
		if err != nil {
			break
		}
		n, err := carry(to, from, piece)
		total += n
		if n > 0 {
			moved.Store(int64(time.Since(begin)))
		}
		if err == nil && n >= pieceBytes {
			continue
		}
		if err == nil { // from has ended; to may still have something to say
			if w, ok := to.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
				return total
			}
			break
		}
		// Where to has not taken what was read, that is lost, and nothing may follow it.
		stuck := !time.Now().Before(by.Add(writeTime))
		if isTimeout(err) && !stuck && (n > 0 || time.Since(begin)-time.Duration(moved.Load()) < idle) {
			continue
		}
		break
	}
	// Broken, or silent for too long: the other direction must not wait for it.
	_ = to.Close()
	_ = from.Close()
	return total
}
