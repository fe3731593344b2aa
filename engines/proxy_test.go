package engines_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/engines"
)

// echo answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func proxyTo(t *testing.T, target string) (*engines.Proxy, net.Conn) {
	t.Helper()
	p, err := engines.NewProxy(target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp4", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return p, c
}

// say sends text and wants the same back.
func say(c net.Conn, text string) error {
	if _, err := c.Write([]byte(text)); err != nil {
		return err
	}
	return hear(c, text, 10*time.Second)
}

func hear(c net.Conn, want string, within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != want {
		return errors.New("got " + string(got) + ", want " + want)
	}
	return nil
}

func TestProxyForwards(t *testing.T) {
	_, c := proxyTo(t, echo(t))
	for _, text := range []string{"a", "bc", string(make([]byte, 200_000))} {
		sent := make(chan error, 1)
		go func() { _, err := c.Write([]byte(text)); sent <- err }()
		if err := hear(c, text, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
}

func TestProxyCutAndHealed(t *testing.T) {
	p, c := proxyTo(t, echo(t))
	if err := say(c, "before"); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	p.Cut() // cutting twice is cutting once
	if _, err := c.Write([]byte("during")); err != nil {
		t.Fatal(err)
	}
	if err := hear(c, "during", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("while cut: %v; want silence", err)
	}
	fresh, err := net.Dial("tcp4", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	if _, err := fresh.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := hear(fresh, "new", 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a new connection while cut: %v; want silence", err)
	}
	p.Heal()
	p.Heal()
	if err := errors.Join(hear(c, "during", 10*time.Second), hear(fresh, "new", 10*time.Second)); err != nil {
		t.Fatalf("what was sent during the cut: %v", err)
	}
}

func TestProxySlow(t *testing.T) {
	p, c := proxyTo(t, echo(t))
	const each = 50 * time.Millisecond
	p.Slow(each)
	began := time.Now()
	if err := say(c, "slow"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 2*each {
		t.Fatalf("there and back took %v, want at least %v", took, 2*each)
	}
	p.Slow(0)
	if err := say(c, "fast"); err != nil {
		t.Fatal(err)
	}
}

func TestProxyEndsConnections(t *testing.T) {
	p, c := proxyTo(t, echo(t))
	if err := say(c, "x"); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := hear(c, "x", 10*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after Close: %v; want the connection's end", err)
	}
	if _, err := net.Dial("tcp4", p.Addr()); err == nil {
		t.Fatal("a closed proxy takes connections")
	}
}

func TestProxyRefusesAsItsTargetDoes(t *testing.T) {
	target := echo(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	dead := l.Addr().String()
	must(t, l.Close())
	p, err := engines.NewProxy(dead)
	must(t, err)
	defer p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	wait := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			if clock.Sleep(ctx, clock.NewSystem(), time.Millisecond) != nil {
				t.Fatal(what)
			}
		}
	}
	try := func() error {
		c, err := net.Dial("tcp4", p.Addr())
		if err != nil {
			return err
		}
		defer c.Close()
		return say(c, "x")
	}
	wait("a proxy without a target does not refuse", func() bool { return errors.Is(try(), syscall.ECONNREFUSED) })
	// The target comes up: here, one that forwards to the echo.
	l, err = net.Listen("tcp4", dead)
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if up, err := net.Dial("tcp4", target); err == nil {
					go func() { _, _ = io.Copy(up, c) }()
					_, _ = io.Copy(c, up)
				}
			}()
		}
	}()
	wait("a proxy does not listen again when its target does", func() bool { return try() == nil })
}
