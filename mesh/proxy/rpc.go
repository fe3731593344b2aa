package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// Calls by Bolt and Dubbo are requests like any other: their messages are made into what the exchange knows, so that
// routes, permissions, the gate for money, colour, limits and the access log are the same code. What differs is that
// messages are held whole (Dubbo has what decides at their end), and that many calls share one connection, each with an
// id that is valid on it.

// Bounds of calls.
const (
	maxMessage   = 8 << 20  // bytes of a message: Dubbo's own bound
	maxCalls     = 1024     // of a connection at a time
	maxCallBytes = 32 << 20 // of a connection's calls under way, and of what waits to be written
	rpcBuffer    = 4 << 10
)

// rpcKind is what a message is to the proxy.
type rpcKind uint8

const (
	rpcCallKind rpcKind = iota
	rpcOneWay           // a call that gets no answer
	rpcAnswer
	rpcPing
	rpcPong
	rpcFarewell // the sender wants no more calls on this connection
	rpcOther
)

// rpcMessage is a message of either protocol. Nobody changes it once it is read: attempts and copies share it.
type rpcMessage interface {
	kind() rpcKind
	id() uint64
	// dialect tells calls apart that can't share a connection to an endpoint.
	dialect() uint16
	bodyLen() int64
	// setFrame takes all of the message, of which the first n bytes were parsed, and judges what can be judged by itself.
	setFrame(b []byte, n int) error
	frame() []byte
	// call makes a request of it; a failure is answered by appendRefusal.
	call(t *rpcCall) *failure
	// appendCall writes it as x sends it, under an id of the connection to the endpoint.
	appendCall(b []byte, x *exchange, id uint64) ([]byte, error)
	// status of an answer, as HTTP would say it.
	status() int
	appendAnswer(b []byte, id uint64) []byte
	appendRefusal(b []byte, f *failure) []byte
	appendPong(b []byte) []byte
}

// rpcProtocol tells messages apart on a connection.
type rpcProtocol struct {
	lead      int // bytes that tell how long the fixed part is
	headerLen func(lead []byte) (int, error)
	parse     func(head []byte) (rpcMessage, error)
	farewell  []byte // asks a client to send no more calls; nil: the protocol has no words for it
}

// rpcProtocolOf is the protocol of that name, nil where it is none of these.
func rpcProtocolOf(name string) *rpcProtocol {
	switch name {
	case ProtocolBolt:
		return boltProtocol()
	case ProtocolDubbo:
		return dubboProtocol()
	}
	return nil
}

var errRPCLarge = errors.New("a message larger than 8 MiB")

// rpcReader reads messages from a connection.
type rpcReader struct {
	*rpcProtocol
	in   *bufio.Reader
	late func(by time.Time) error // sets the read deadline
}

// next reads a message. The caller has set until when its first byte is awaited; the rest has bodyTime. With
// errRPCLarge there is a message without its body, which skip reads past.
func (r *rpcReader) next() (rpcMessage, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	if r.in.Buffered() < r.lead {
		if err := r.late(time.Now().Add(headTime)); err != nil {
			return nil, err
		}
	}
	lead, err := r.in.Peek(r.lead)
	if err != nil {
		return nil, unfinished(err)
	}
	n, err := r.headerLen(lead)
	if err != nil {
		return nil, malformed(err)
	}
	if r.in.Buffered() < n {
		if err := r.late(time.Now().Add(headTime)); err != nil {
			return nil, err
		}
	}
	head, err := r.in.Peek(n)
	if err != nil {
		return nil, unfinished(err)
	}
	m, err := r.parse(head)
	if err != nil {
		return nil, malformed(err)
	}
	if m.bodyLen() > maxMessage {
		_, err := r.in.Discard(n)
		return m, errors.Join(errRPCLarge, err)
	}
	b, err := r.read(n + int(m.bodyLen()))
	if err != nil {
		return nil, unfinished(err)
	}
	if err := m.setFrame(b, n); err != nil {
		return nil, malformed(err)
	}
	return m, nil
}

// read reads n bytes; memory grows with what has come, not with what was announced.
func (r *rpcReader) read(n int) ([]byte, error) {
	if r.in.Buffered() < n {
		if err := r.late(time.Now().Add(bodyTime)); err != nil {
			return nil, err
		}
	}
	const step = 64 << 10
	b := make([]byte, 0, min(n, step))
	for len(b) < n {
		have := len(b)
		b = append(b, make([]byte, min(n-have, max(step, have)))...)
		if _, err := io.ReadFull(r.in, b[have:]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// again reads a message from the bytes of its frame.
func (p *rpcProtocol) again(frame []byte) (rpcMessage, error) {
	n, err := p.headerLen(frame[:p.lead])
	if err != nil {
		return nil, err
	}
	m, err := p.parse(frame[:n])
	if err != nil {
		return nil, err
	}
	return m, m.setFrame(frame, n)
}

// skip reads past the body of a message that is too large to be held.
func (r *rpcReader) skip(m rpcMessage) error {
	for left := m.bodyLen(); left > 0; {
		if err := r.late(time.Now().Add(bodyTime)); err != nil {
			return err
		}
		n, err := r.in.Discard(int(min(left, 1<<20)))
		if left -= int64(n); err != nil {
			return unfinished(err)
		}
	}
	return nil
}

func malformed(err error) error { return &h1.Error{Status: 502, Reason: err.Error()} }

func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Failures of calls.
var (
	errCallNames    = &failure{400, "a call whose service or method can't be read or stands for two things", notSent}
	errCallFields   = &failure{400, "headers or attachments that can't be read or stand for two things", notSent}
	errCallSerial   = &failure{400, "a serialization other than Hessian 2.0", notSent}
	errCallTooLarge = &failure{413, "a message larger than 8 MiB", notSent}
)

// callPath is the path that a call is routed by: /SERVICE/METHOD, or /SERVICE where a protocol has no method. Its
// characters are those that every reader of the access log and of policies takes for the same.
func callPath(parts ...[]byte) ([]byte, bool) {
	var path []byte
	for _, p := range parts {
		if len(p) == 0 || len(p) > 512 {
			return nil, false
		}
		for _, c := range p {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && bytes.IndexByte([]byte("._$:@-"), c) < 0 {
				return nil, false
			}
		}
		path = append(append(path, '/'), p...)
	}
	return path, true
}

// timeoutField has a call's own time in milliseconds where the exchange looks for it; the less of it and of one that the
// call has already.
func timeoutField(fields []h1.Field, ms int64) []h1.Field {
	for i := range fields {
		if h1.Lookup(fields[i].Name) != h1.TimeoutMs {
			continue
		}
		if has, err := strconv.ParseInt(string(fields[i].Value), 10, 64); err == nil && has > ms {
			fields[i].Value = strconv.AppendInt(nil, ms, 10)
		}
		return fields
	}
	return append(fields, h1.Field{Name: nameTimeout, Value: strconv.AppendInt(nil, ms, 10)})
}

// millisLeft is what an endpoint is told of the time that is left, never nothing.
func millisLeft(x *exchange) int64 { return max(time.Until(x.deadline).Milliseconds(), 1) }

// mapFields is what an endpoint gets as a map: each name once. What is there twice, because a mark or a rule was added
// beside it, is joined as a list.
func mapFields(list []h1.Field) []h1.Field {
	out := make([]h1.Field, 0, len(list))
next:
	for _, f := range list {
		switch f.Known {
		case h1.Shadow, h1.Peer: // whose readers may look for one spelling only
			f.Name = bytes.ToLower(f.Name)
		}
		for i := range out {
			if bytes.Equal(out[i].Name, f.Name) || f.Known != h1.Other && f.Known == out[i].Known {
				out[i].Value = fmt.Appendf(nil, "%s,%s", out[i].Value, f.Value)
				continue next
			}
		}
		out = append(out, f)
	}
	return out
}
