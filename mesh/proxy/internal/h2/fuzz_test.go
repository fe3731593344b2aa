package h2_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h2"
)

// script is a connection whose peer has said all it will say, and reads nothing of ours.
type script struct {
	net.Conn
	in *bytes.Reader
}

func (s *script) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error)      { return len(b), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// frames writes what a peer says.
func frames(say func(fr *http2.Framer)) []byte {
	var b bytes.Buffer
	fr := http2.NewFramer(&b, nil)
	fr.AllowIllegalWrites = true
	say(fr)
	return b.Bytes()
}

// checkFields wants nothing that HTTP/1.1 could read differently.
func checkFields(t *testing.T, list []h2.Field) {
	t.Helper()
	if len(list) > h2.MaxFields {
		t.Fatalf("%d fields", len(list))
	}
	for _, f := range list {
		name, value := string(f.Name), string(f.Value)
		if name == "" || name != strings.ToLower(name) || strings.ContainsAny(name, ": \r\n\x00") || strings.ContainsAny(value, "\r\n\x00") || strings.TrimSpace(value) != value && strings.Trim(value, " \t") != value {
			t.Fatalf("field %q: %q", name, value)
		}
		switch name {
		case "connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection":
			t.Fatalf("field %q", name)
		}
	}
}

// drainStream reads a stream to its end and returns how many bytes came.
func drainStream(s *h2.Stream) (n int64, whole bool) {
	for {
		data, done, err := s.Take()
		n += int64(len(data))
		if done || err != nil {
			return n, done
		}
		if len(data) == 0 && s.Wait(time.Now().Add(10*time.Second)) != nil {
			return n, false
		}
	}
}

// FuzzServer: whatever a client says, the connection ends, its requests are well formed, and a whole body is as long as
// it was said to be.
func FuzzServer(f *testing.F) {
	f.Add(frames(func(fr *http2.Framer) {
		_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(getRoot...), EndStream: true, EndHeaders: true})
		_ = fr.WriteWindowUpdate(0, 5)
		_ = fr.WritePing(false, [8]byte{})
	}))
	f.Add(frames(func(fr *http2.Framer) {
		_ = fr.WriteSettings()
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(append(getRoot, "content-length", "5")...), EndHeaders: true})
		_ = fr.WriteDataPadded(1, false, []byte("hel"), []byte{0, 0})
		_ = fr.WriteData(1, true, []byte("lo"))
		_ = fr.WriteRSTStream(1, http2.ErrCodeCancel)
	}))
	f.Add(frames(func(fr *http2.Framer) {
		_ = fr.WriteSettings()
		b := fields(append(getRoot, "te", "trailers")...)
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:3]})
		_ = fr.WriteContinuation(1, true, b[3:])
		_ = fr.WriteData(1, false, []byte("x"))
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields("x-a", "b"), EndStream: true, EndHeaders: true})
		_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := h2.NewConn(&script{in: bytes.NewReader(in)}, h2.Options{Idle: time.Minute, Ahead: []byte(http2.ClientPreface), Serve: func(s *h2.Stream) {
			defer s.Done()
			h := s.Head
			if !h.TooLarge && (len(h.Method) == 0 || bytes.ContainsAny(h.Path, " \r\n") || bytes.ContainsAny(h.Method, " \r\n") || bytes.ContainsAny(h.Authority, " \r\n")) {
				t.Errorf("request %+v", h)
			}
			checkFields(t, h.Fields)
			_ = s.Answer(&h2.Head{Status: 200}, false)
			n, whole := drainStream(s)
			if want, _ := h.Length(); whole && want >= 0 && want != n {
				t.Errorf("a body of %d bytes, said to have %d", n, want)
			}
			checkFields(t, s.Trailers())
			_ = s.Write([]byte("answer"), true, time.Now())
		}})
		if err := c.Serve(); err == nil {
			t.Error("ended without a reason")
		}
	})
}

// FuzzClient: whatever an endpoint says, the request ends, and its answer is well formed.
func FuzzClient(f *testing.F) {
	f.Add(frames(func(fr *http2.Framer) {
		_ = fr.WriteSettings()
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(":status", "103"), EndHeaders: true})
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(":status", "200", "x-a", "b"), EndHeaders: true})
		_ = fr.WriteData(1, false, []byte("x"))
		_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields("grpc-status", "0"), EndStream: true, EndHeaders: true})
	}))
	f.Add(frames(func(fr *http2.Framer) {
		_ = fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
		_ = fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)
	}))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := h2.NewConn(&script{in: bytes.NewReader(in)}, h2.Options{})
		s, err := c.Open(&h2.Head{Method: []byte("GET"), Scheme: []byte("http"), Path: []byte("/"), Authority: []byte("a")}, false, false)
		if err != nil {
			t.Fatal(err)
		}
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			defer s.Done()
			by := time.Now().Add(10 * time.Second)
			for {
				h, err := s.Next(by)
				if err != nil {
					return
				}
				if h.Status < 100 || h.Status > 599 || h.Status == 101 {
					t.Errorf("status %d", h.Status)
				}
				checkFields(t, h.Fields)
				if h.Status >= 200 {
					break
				}
			}
			drainStream(s)
			checkFields(t, s.Trailers())
		}()
		if err := c.Serve(); err == nil || err == io.ErrNoProgress { //nolint:errorlint // as bufio returns it
			t.Errorf("ended for %v", err)
		}
		<-asked
	})
}
