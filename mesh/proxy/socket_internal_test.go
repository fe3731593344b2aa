package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// connected returns both ends of a TCP connection, the first one as the proxy uses it.
func connected(t *testing.T) (*socket, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close(); _ = accepted.Close() })
	s, ok := direct(dialed).(*socket)
	if !ok {
		t.Fatalf("%T is no socket", dialed)
	}
	by := time.Now().Add(20 * time.Second)
	if err := errors.Join(s.SetDeadline(by), accepted.SetDeadline(by)); err != nil {
		t.Fatal(err)
	}
	return s, accepted.(*net.TCPConn)
}

func TestSocketAsksInOneWait(t *testing.T) {
	s, peer := connected(t)
	for round := range 3 {
		go func() {
			b := make([]byte, 4)
			_, err := io.ReadFull(peer, b)
			if err == nil {
				_, err = peer.Write(append(b, "-pong"...))
			}
			if err != nil {
				t.Error(err)
			}
		}()
		b := make([]byte, 64)
		written, read, err := s.ask([]byte("ping"), b)
		if written != 4 || string(b[:read]) != "ping-pong" || err != nil {
			t.Fatalf("round %d: wrote %d, read %q, %v", round, written, b[:read], err)
		}
	}
}

// A request that does not fit into what the kernel holds for a peer that reads late is written to its end, and then the
// answer is awaited as if it had fitted.
func TestSocketAsksMoreThanThePeerTakesAtOnce(t *testing.T) {
	s, peer := connected(t)
	if err := s.SetWriteBuffer(4 << 10); err != nil {
		t.Fatal(err)
	}
	request := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		got := make([]byte, len(request))
		_, err := io.ReadFull(peer, got)
		if err == nil && !bytes.Equal(got, request) {
			err = errors.New("the request was damaged")
		}
		if err == nil {
			_, err = peer.Write([]byte("done"))
		}
		if err != nil {
			t.Error(err)
		}
	}()
	b := make([]byte, 64)
	written, read, err := s.ask(request, b)
	if written != len(request) || string(b[:read]) != "done" || err != nil {
		t.Fatalf("wrote %d of %d, read %q, %v", written, len(request), b[:read], err)
	}
}

func TestSocketTellsHowAWaitEnded(t *testing.T) {
	b := make([]byte, 64)
	for _, c := range []struct {
		name string
		end  func(s *socket, peer *net.TCPConn) error
		is   func(error) bool
	}{
		{"its time was over", func(s *socket, _ *net.TCPConn) error { return s.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) }, isTimeout},
		{"the peer closed", func(_ *socket, peer *net.TCPConn) error { return peer.CloseWrite() }, func(err error) bool { return err == io.EOF }}, //nolint:errorlint // readers compare it so
		{"cut by another goroutine", func(s *socket, _ *net.TCPConn) error { return s.Close() }, func(err error) bool { return errors.Is(err, net.ErrClosed) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, peer := connected(t)
			ended := make(chan error)
			go func() {
				_, err := io.ReadFull(peer, make([]byte, 4)) // so that the request has left, and the answer is awaited
				ended <- errors.Join(err, c.end(s, peer))
			}()
			written, read, err := s.ask([]byte("ping"), b)
			if e := <-ended; e != nil {
				t.Fatal(e)
			}
			if written != 4 || read != 0 || !c.is(err) {
				t.Fatalf("wrote %d, read %d, %v", written, read, err)
			}
		})
	}
}

func TestSocketNothingOfARequestLeavesAClosedOne(t *testing.T) {
	s, _ := connected(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if written, _, err := s.ask([]byte("ping"), make([]byte, 1)); written != 0 || err == nil {
		t.Fatalf("wrote %d, %v", written, err)
	}
}

func TestSocketIsQuietUntilSomethingComes(t *testing.T) {
	s, peer := connected(t)
	if !s.quiet() {
		t.Fatal("nothing has come")
	}
	if _, err := peer.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 2)
	n, err := s.Read(heard)
	if n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := peer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(heard); err != io.EOF { //nolint:errorlint // readers compare it so
		t.Fatal(err)
	}
	if s.quiet() {
		t.Fatal("its end has come")
	}
}
