package h2_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// peer is a client of HTTP/2 that says what it likes. It reads all that comes, and remembers it.
type peer struct {
	net.Conn
	*http2.Framer
	t    testing.TB
	done chan struct{} // closed when the connection has ended

	news chan struct{} // has one when something came
	mu   sync.Mutex
	away *http2.ErrCode // of the last GOAWAY
	ends map[uint32]string
	acks int
}

// dial connects a peer to a server whose requests go to serve, in memory.
func dial(t testing.TB, serve func(*h2.Stream)) *peer {
	t.Helper()
	mine, its := net.Pipe()
	c := h2.NewConn(its, h2.Options{Serve: serve, Idle: time.Minute})
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = c.Serve()
		c.Close()
	}()
	p := &peer{Conn: mine, Framer: http2.NewFramer(mine, mine), t: t, done: make(chan struct{}), news: make(chan struct{}, 1), ends: map[uint32]string{}}
	p.AllowIllegalWrites = true
	go p.read()
	t.Cleanup(func() {
		mine.Close()
		<-p.done
		<-served
	})
	if _, err := io.WriteString(mine, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *peer) read() {
	defer close(p.done)
	dec := hpack.NewDecoder(4096, nil)
	for {
		f, err := p.ReadFrame()
		if err != nil {
			return
		}
		p.mu.Lock()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			p.away = &f.ErrCode
		case *http2.RSTStreamFrame:
			p.ends[f.StreamID] += f.ErrCode.String()
		case *http2.HeadersFrame:
			fields, _ := dec.DecodeFull(f.HeaderBlockFragment())
			for _, f2 := range fields {
				p.ends[f.StreamID] += f2.Value + " "
			}
		case *http2.PingFrame:
			p.acks++
		}
		p.mu.Unlock()
		select {
		case p.news <- struct{}{}:
		default:
		}
	}
}

// ended waits for the connection's end and returns the last GOAWAY's code.
func (p *peer) ended() string {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		p.t.Fatal("the connection goes on")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away == nil {
		return "closed"
	}
	return p.away.String()
}

func (p *peer) end(stream uint32) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ends[stream]
}

// fields compresses names and values without a table, so that every block stands for itself.
func fields(pairs ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1], Sensitive: true}) // into memory
	}
	return b.Bytes()
}

var getRoot = []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a"}

func (p *peer) get(stream uint32) error {
	return p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: fields(getRoot...), EndStream: true, EndHeaders: true})
}

// ok answers 200 without a body.
func ok(s *h2.Stream) {
	_ = s.Answer(&h2.Head{Status: 200}, true)
	s.Done()
}

// hang answers nothing until the stream is cut off.
func hang(s *h2.Stream) {
	gone := make(chan struct{})
	s.OnGone(func() { close(gone) })
	<-gone
	s.Done()
}

// TestFloods: a peer that only costs is told to calm down and cut off, after a bounded number of frames.
func TestFloods(t *testing.T) {
	const most = 20_000
	for _, tt := range []struct {
		name  string
		serve func(*h2.Stream)
		send  func(p *peer, i uint32) error
	}{
		{"rapid reset", hang, func(p *peer, i uint32) error {
			if err := p.get(2*i + 1); err != nil {
				return err
			}
			return p.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
		}},
		{"more streams than allowed", hang, func(p *peer, i uint32) error { return p.get(2*i + 1) }},
		{"pings", ok, func(p *peer, _ uint32) error { return p.WritePing(false, [8]byte{}) }},
		{"settings", ok, func(p *peer, i uint32) error {
			return p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: i})
		}},
		{"priorities", ok, func(p *peer, _ uint32) error { return p.WritePriority(1, http2.PriorityParam{StreamDep: 3}) }},
		{"window updates", ok, func(p *peer, _ uint32) error { return p.WriteWindowUpdate(0, 1) }},
		{"unknown frames", ok, func(p *peer, _ uint32) error { return p.WriteRawFrame(77, 0, 0, nil) }},
		{"empty data", hang, func(p *peer, i uint32) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(getRoot...), EndHeaders: true})
			}
			return p.WriteData(1, false, nil)
		}},
		{"an endless header block", ok, func(p *peer, i uint32) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(getRoot...)})
			}
			return p.WriteContinuation(1, false, fields("x-a", "b"))
		}},
		{"an endless empty header block", ok, func(p *peer, i uint32) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1})
			}
			return p.WriteContinuation(1, false, nil)
		}},
		{"malformed requests", ok, func(p *peer, i uint32) error {
			return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: fields(":method", "GET"), EndStream: true, EndHeaders: true})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := dial(t, tt.serve)
			sent := uint32(0)
			for ; sent < most && tt.send(p, sent) == nil; sent++ {
			}
			if got := p.ended(); got != "ENHANCE_YOUR_CALM" || sent == most {
				t.Errorf("%s after %d", got, sent)
			}
		})
	}
}

// TestAnOrdinaryClientIsLeftAlone: as many requests, pings and grants as a busy client makes of them.
func TestAnOrdinaryClientIsLeftAlone(t *testing.T) {
	p := dial(t, ok)
	for i := range uint32(5000) {
		if p.get(2*i+1) != nil || p.WriteWindowUpdate(0, 100) != nil || p.WritePing(false, [8]byte{}) != nil {
			t.Fatalf("%s after %d requests", p.ended(), i)
		}
		for p.end(2*i+1) == "" {
			select {
			case <-p.news:
			case <-p.done:
				t.Fatalf("%s after %d requests", p.ended(), i)
			}
		}
	}
}

// TestHeaderBombs: lists beyond the bounds are decoded, so that the table stays in step, and not kept.
func TestHeaderBombs(t *testing.T) {
	heads := make(chan *h2.Head, 1)
	p := dial(t, func(s *h2.Stream) {
		heads <- s.Head
		ok(s)
	})
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	write := func(name, value string) {
		_ = e.WriteField(hpack.HeaderField{Name: name, Value: value}) // into memory
	}
	send := func(stream uint32) *h2.Head {
		if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
			t.Fatal(err)
		}
		b.Reset()
		return <-heads
	}
	root := func() {
		for i := 0; i < len(getRoot); i += 2 {
			write(getRoot[i], getRoot[i+1])
		}
	}
	root()
	write("x-bomb", strings.Repeat("x", 3000))
	for range 5000 { // a byte each on the wire, 3 KB each in the list
		write("x-bomb", strings.Repeat("x", 3000))
	}
	if h := send(1); !h.TooLarge || len(h.Fields) > h2.MaxFields {
		t.Errorf("%d fields, too large: %v", len(h.Fields), h.TooLarge)
	}
	root()
	write("x-after", "1") // by a table that is still in step
	if h := send(3); h.TooLarge || len(h.Fields) != 1 || string(h.Fields[0].Value) != "1" || string(h.Path) != "/" {
		t.Errorf("afterwards %+v", h)
	}
	root()
	for i := range h2.MaxFields + 1 {
		write(fmt.Sprint("x-", i), "")
	}
	if h := send(5); !h.TooLarge || len(h.Fields) != h2.MaxFields {
		t.Errorf("%d fields, too large: %v", len(h.Fields), h.TooLarge)
	}
}

// TestAStreamThatNobodyReads holds no more than its window, and the peer that sends more loses the connection.
func TestAStreamThatNobodyReads(t *testing.T) {
	p := dial(t, hang)
	if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(getRoot...), EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; sent < 1<<20 && p.WriteData(1, false, make([]byte, 1<<10)) == nil; sent += 1 << 10 {
	}
	if got := p.ended(); got != "FLOW_CONTROL_ERROR" || sent > 65<<10 {
		t.Errorf("%s after %d bytes", got, sent)
	}
}

// TestAPeerThatNeverReads: what waits to be written is bounded by the window and then by time.
func TestAPeerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, its := net.Pipe()
		const streams = 3 // one of them writes for all
		wrote, failed := make(chan int, streams), make(chan error, streams)
		c := h2.NewConn(its, h2.Options{Idle: time.Minute, Serve: func(s *h2.Stream) {
			defer s.Done()
			_ = s.Answer(&h2.Head{Status: 200}, false)
			n := 0
			for {
				if err := s.Write(make([]byte, 16<<10), false, time.Now().Add(time.Hour)); err != nil {
					wrote <- n
					failed <- err
					return
				}
				n += 16 << 10
			}
		}})
		served := make(chan error, 1)
		go func() { served <- c.Serve() }()
		// It grants all there is, asks, and then reads nothing.
		fr := http2.NewFramer(mine, mine)
		var b bytes.Buffer
		out := http2.NewFramer(&b, nil)
		b.WriteString(http2.ClientPreface)
		_ = out.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 8 << 20}) // into memory
		_ = out.WriteWindowUpdate(0, 64<<20)
		for i := range uint32(streams) {
			_ = out.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: fields(getRoot...), EndStream: true, EndHeaders: true})
		}
		go func() { _, _ = mine.Write(b.Bytes()) }()
		for range 3 { // SETTINGS, WINDOW_UPDATE and the answer to our SETTINGS: a pipe has no buffer
			if _, err := fr.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range streams {
			if n := <-wrote; n > 1<<20 {
				t.Errorf("%d bytes wait for a peer that does not read", n)
			}
			if err := <-failed; time.Since(began) > time.Minute {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		}
		if err := <-served; err == nil {
			t.Error("ended without a reason")
		}
		c.Close()
		mine.Close()
	})
}

// TestSlowPeers: a header block has its time, and a silent connection too.
func TestSlowPeers(t *testing.T) {
	for _, tt := range []struct {
		name        string
		send        func(fr *http2.Framer, w io.Writer)
		least, most time.Duration
	}{
		{"says nothing", func(*http2.Framer, io.Writer) {}, 10 * time.Second, 11 * time.Second},
		{"a part of its preface", func(_ *http2.Framer, w io.Writer) { _, _ = io.WriteString(w, "PRI * ") }, 10 * time.Second, 11 * time.Second},
		{"idle", func(fr *http2.Framer, w io.Writer) {
			_, _ = io.WriteString(w, http2.ClientPreface)
			_ = fr.WriteSettings()
		}, time.Minute, 71 * time.Second},
		{"a header block without an end", func(fr *http2.Framer, w io.Writer) {
			_, _ = io.WriteString(w, http2.ClientPreface)
			_ = fr.WriteSettings()
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields("x-a", "b")})
		}, 10 * time.Second, 11 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, its := net.Pipe()
				c := h2.NewConn(its, h2.Options{Serve: ok, Idle: time.Minute})
				read := make(chan struct{})
				go func() {
					defer close(read)
					_, _ = io.Copy(io.Discard, mine)
				}()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					tt.send(http2.NewFramer(mine, mine), mine)
				}()
				began := time.Now()
				_ = c.Serve()
				if took := time.Since(began); took < tt.least || took > tt.most {
					t.Errorf("ended after %s", took)
				}
				c.Close()
				mine.Close()
				<-read
				<-sent
			})
		})
	}
}

// between connects a client to a server in memory. A pipe there takes nothing that is not being read: a side that does not
// read before it has written waits for ever.
func between(t testing.TB, serve func(*h2.Stream)) (client, server *h2.Conn) {
	t.Helper()
	a, b := net.Pipe()
	client, server = h2.NewConn(a, h2.Options{}), h2.NewConn(b, h2.Options{Serve: serve, Idle: time.Minute})
	var running sync.WaitGroup
	for _, c := range []*h2.Conn{client, server} {
		running.Go(func() {
			_ = c.Serve()
			c.Close()
		})
	}
	t.Cleanup(func() {
		client.Close()
		running.Wait()
	})
	return client, server
}

// whole takes all of a body.
func whole(s *h2.Stream, by time.Time) ([]byte, error) {
	var all []byte
	for {
		data, done, err := s.Take()
		if err == nil && len(data) == 0 && !done {
			err = s.Wait(by)
		}
		all = append(all, data...)
		if err != nil || done {
			return all, err
		}
	}
}

func TestBothSides(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789"), 100_000)
	client, server := between(t, func(s *h2.Stream) {
		defer s.Done()
		_ = s.Answer(&h2.Head{Status: 200, Fields: s.Head.Fields}, false)
		for {
			data, done, err := s.Take()
			if err != nil || s.Write(data, false, time.Now().Add(10*time.Second)) != nil {
				return
			}
			if done {
				break
			}
			if len(data) == 0 {
				s.Flush()
				if s.Wait(time.Now().Add(10*time.Second)) != nil {
					return
				}
			}
		}
		_ = s.Answer(&h2.Head{Fields: s.Trailers()}, true)
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			by := time.Now().Add(20 * time.Second)
			s, err := client.Open(&h2.Head{Method: []byte("POST"), Scheme: []byte("http"), Path: []byte("/"), Authority: []byte("a"), Fields: []h2.Field{{Name: []byte("x-a"), Value: []byte("b")}}}, false, false)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Done()
			wg.Go(func() {
				if err := s.Write(body, false, by); err != nil {
					t.Error(err)
				}
				if err := s.Answer(&h2.Head{Fields: []h2.Field{{Name: []byte("x-sum"), Value: []byte("7")}}}, true); err != nil {
					t.Error(err)
				}
				s.Flush()
			})
			h, err := s.Next(by)
			if err != nil || h.Status != 200 || len(h.Fields) != 1 || string(h.Fields[0].Value) != "b" {
				t.Errorf("head %+v, %v", h, err)
				return
			}
			got, err := whole(s, by)
			if err != nil {
				t.Error(err)
				return
			}
			if !bytes.Equal(got, body) || len(s.Trailers()) != 1 || string(s.Trailers()[0].Value) != "7" {
				t.Errorf("%d bytes, trailers %v", len(got), s.Trailers())
			}
		})
	}
	wg.Wait()
	// A server that drains refuses what is new, and nothing was sent then.
	server.Drain()
	by := time.Now().Add(10 * time.Second)
	for {
		s, err := client.Open(&h2.Head{Method: []byte("GET"), Scheme: []byte("http"), Path: []byte("/"), Authority: []byte("a")}, true, false)
		if err == nil {
			s.Flush()
			_, err = s.Next(by)
			s.Done()
		}
		if err != nil {
			if !errors.Is(err, h2.ErrClosed) && !errors.Is(err, h2.ErrRefused) {
				t.Errorf("while draining: %v", err)
			}
			break
		}
	}
}
