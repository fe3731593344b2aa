package h2_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// TestBothWrite: two sides that both have more to say than what is between them holds go on reading.
func TestBothWrite(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	client, _ := between(t, func(s *h2.Stream) {
		defer s.Done()
		by := time.Now().Add(10 * time.Second)
		_ = s.Answer(&h2.Head{Status: 200}, false)
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.Write(body, true, by); s.Flush() })
		_, _ = whole(s, by) // the client tells
		wg.Wait()
	})
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			by := time.Now().Add(10 * time.Second)
			s, err := client.Open(&h2.Head{Method: []byte("POST"), Scheme: []byte("http"), Path: []byte("/"), Authority: []byte("a")}, false, false)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Done()
			var sent sync.WaitGroup
			defer sent.Wait()
			sent.Go(func() {
				if err := s.Write(body, true, by); err != nil {
					t.Error(err)
				}
				s.Flush()
			})
			if _, err := s.Next(by); err != nil {
				t.Error(err)
				return
			}
			if got, err := whole(s, by); err != nil || len(got) != len(body) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	all.Wait()
}

// TestAnswersNobodyTakes: a peer that asks and asks, and reads no answer, is not heard any more at some time: what waits for
// it has a bound.
func TestAnswersNobodyTakes(t *testing.T) {
	mine, its := net.Pipe()
	answered := make(chan bool, 1)
	long := []h2.Field{{Name: []byte("x-long"), Value: []byte(strings.Repeat("x", 30_000))}}
	c := h2.NewConn(its, h2.Options{Idle: time.Minute, Serve: func(s *h2.Stream) {
		_ = s.Answer(&h2.Head{Status: 200, Fields: long}, true)
		answered <- true
		s.Done()
	}})
	served := make(chan struct{})
	go func() {
		_ = c.Serve()
		close(served)
	}()
	defer func() {
		c.Close()
		mine.Close()
		<-served
	}()
	fr := http2.NewFramer(mine, nil)
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, f := range []hpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/"}, {Name: ":authority", Value: "a"}} {
		if err := enc.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	first := bytes.Clone(head.Bytes())
	_ = mine.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := io.WriteString(mine, http2.ClientPreface)
	if err == nil {
		err = fr.WriteSettings()
	}
	const bound = 4 << 20 / 30_000 // answers
	asked := uint32(0)
	for ; err == nil && asked < 4*bound; asked++ {
		if asked > 0 { // no more of them at a time than are allowed
			select {
			case <-answered:
			case <-time.After(5 * time.Second):
				t.Fatalf("request %d was not read: whoever reads writes", asked)
			}
		}
		_ = mine.SetWriteDeadline(time.Now().Add(time.Second))
		err = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1 + 2*asked, BlockFragment: first, EndStream: true, EndHeaders: true})
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || asked < bound {
		t.Errorf("%d requests were taken, %v", asked, err)
	}
}

// TestCancelDoesNotWait: whoever cancels may be reading another connection, and is not held up by a peer that takes nothing.
func TestCancelDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, its := net.Pipe()
		c := h2.NewConn(its, h2.Options{})
		go func() { _ = c.Serve() }()
		defer mine.Close()
		fr := http2.NewFramer(nil, mine)
		_, err := io.ReadFull(mine, make([]byte, len(http2.ClientPreface)))
		for range 2 { // SETTINGS, WINDOW_UPDATE
			if err == nil {
				_, err = fr.ReadFrame()
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // nobody writes any more
		s, err := c.Open(&h2.Head{Method: []byte("GET"), Scheme: []byte("http"), Path: []byte("/"), Authority: []byte("a")}, true, false)
		if err != nil {
			t.Fatal(err)
		}
		canceled := false
		go func() {
			s.Cancel(http2.ErrCodeCancel)
			canceled = true
			s.Done()
		}()
		synctest.Wait()
		if !canceled {
			t.Error("it waits for the peer")
		}
	})
}
