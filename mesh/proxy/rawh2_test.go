package proxy_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// raw speaks HTTP/2 frame by frame.
type raw struct {
	*http2.Framer
	net.Conn
	t   testing.TB
	enc *hpack.Encoder
	buf bytes.Buffer
	dec *hpack.Decoder
}

func newRaw(t testing.TB, c net.Conn, in io.Reader) *raw {
	r := &raw{Framer: http2.NewFramer(c, in), Conn: c, t: t, dec: hpack.NewDecoder(4096, nil)}
	r.enc = hpack.NewEncoder(&r.buf)
	r.AllowIllegalWrites = true
	return r
}

// rawClient connects to the proxy and says its preface and settings.
func rawClient(t *testing.T, p *proxy.Proxy, settings ...http2.Setting) *raw {
	t.Helper()
	c := dialProxy(t, p)
	c.send(http2.ClientPreface)
	r := newRaw(t, c.Conn, c.in)
	if err := r.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return r
}

// block compresses "name: value" lines.
func (r *raw) block(lines ...string) []byte {
	r.buf.Reset()
	for _, l := range lines {
		i := strings.Index(l[1:], ":") + 1
		if err := r.enc.WriteField(hpack.HeaderField{Name: l[:i], Value: strings.TrimPrefix(l[i+1:], " ")}); err != nil {
			r.t.Fatal(err)
		}
	}
	return bytes.Clone(r.buf.Bytes())
}

// head sends a header block in one frame. Errors show when the answer is read.
func (r *raw) head(stream uint32, end bool, lines ...string) {
	_ = r.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: r.block(lines...), EndStream: end, EndHeaders: true})
}

func (r *raw) get(stream uint32, more ...string) {
	r.head(stream, true, append([]string{":method: GET", ":scheme: http", ":path: /", ":authority: app"}, more...)...)
}

// event is what came on a stream: a head's fields as lines, data, a reset, or the connection's end.
type event struct {
	stream uint32
	head   string
	data   string
	end    bool
	reset  bool
	away   bool
	closed bool
	code   http2.ErrCode
}

// next reads up to the next event. It answers SETTINGS and grants what data takes.
func (r *raw) next() event {
	for {
		f, err := r.ReadFrame()
		if err != nil {
			if isTimeout(err) {
				r.t.Fatal("nothing came")
			}
			return event{closed: true}
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = r.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			fields, err := r.dec.DecodeFull(f.HeaderBlockFragment())
			if err != nil {
				r.t.Fatal(err)
			}
			var b strings.Builder
			for _, f := range fields {
				b.WriteString(f.Name + ": " + f.Value + "\n")
			}
			return event{stream: f.StreamID, head: b.String(), end: f.StreamEnded()}
		case *http2.DataFrame:
			return event{stream: f.StreamID, data: string(f.Data()), end: f.StreamEnded()}
		case *http2.RSTStreamFrame:
			return event{stream: f.StreamID, reset: true, code: f.ErrCode}
		case *http2.GoAwayFrame:
			return event{away: true, code: f.ErrCode, stream: f.LastStreamID}
		}
	}
}

// answer reads all of one stream's answer.
func (r *raw) answer(stream uint32) (all event) {
	for !all.end && !all.reset && !all.closed {
		e := r.next()
		if e.away && e.code == http2.ErrCodeNo || !e.away && !e.closed && e.stream != stream {
			continue
		}
		all.head += e.head
		all.data += e.data
		all.end, all.reset, all.closed, all.away = e.end, e.reset, e.closed || e.away, e.away
		if e.reset || e.away {
			all.code = e.code
		}
	}
	return all
}

// rawEndpoint runs an endpoint of HTTP/2: serve gets each connection, its preface read, with its number from 0.
func rawEndpoint(t *testing.T, serve func(n int, r *raw)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			running.Go(func() {
				defer c.Close()
				preface := make([]byte, len(http2.ClientPreface))
				if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
					return
				}
				if r := newRaw(t, c, c); r.WriteSettings() == nil {
					serve(n, r)
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// request reads one request of an endpoint's connection to its end.
func (r *raw) request() (stream uint32, all event, err error) {
	for !all.end {
		e := r.next()
		if e.closed || e.reset || e.away {
			return 0, all, errors.New("no whole request")
		}
		stream = e.stream
		all.head += e.head
		all.data += e.data
		all.end = e.end
	}
	return stream, all, nil
}

// pairs compresses names and values as they are.
func (r *raw) pairs(fields ...string) []byte {
	r.buf.Reset()
	for i := 0; i < len(fields); i += 2 {
		if err := r.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			r.t.Fatal(err)
		}
	}
	return bytes.Clone(r.buf.Bytes())
}

// safeBuffer may be written and read at the same time.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
