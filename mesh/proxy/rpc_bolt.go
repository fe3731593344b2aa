package proxy

import (
	"bytes"
	"math"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/bolt"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

func boltProtocol() *rpcProtocol {
	return &rpcProtocol{lead: bolt.Lead, headerLen: bolt.HeaderLen, parse: func(head []byte) (rpcMessage, error) {
		m, err := bolt.Parse(head)
		return &boltMessage{Message: m}, err
	}}
}

// maxBoltHeaders leaves room for what the proxy adds to the map, which has less than 32 KiB.
const maxBoltHeaders = 28 << 10

type boltMessage struct {
	bolt.Message
	all []byte
}

func (m *boltMessage) id() uint64      { return uint64(m.ID) }
func (m *boltMessage) bodyLen() int64  { return m.BodyLen() }
func (m *boltMessage) dialect() uint16 { return uint16(m.Protocol)<<8 | uint16(m.Version) }

func (m *boltMessage) frame() []byte { return m.all }

func (m *boltMessage) setFrame(b []byte, n int) error {
	m.all = b
	return m.SetBody(b[:n], b[n:])
}

func (m *boltMessage) kind() rpcKind {
	switch {
	case m.Command == bolt.Heartbeat && m.Kind == bolt.Request:
		return rpcPing
	case m.Command == bolt.Heartbeat && m.Kind == bolt.Response:
		return rpcPong
	case m.Command == bolt.RPCRequest && m.Kind == bolt.Request:
		return rpcCallKind
	case m.Command == bolt.RPCRequest && m.Kind == bolt.OneWay:
		return rpcOneWay
	case m.Command == bolt.RPCResponse && m.Kind == bolt.Response:
		return rpcAnswer
	}
	return rpcOther
}

// call finds where a call goes. A server of SOFARPC with Hessian goes by the names in the content, one with another codec
// by those in the headers, and any other server by the class: what the server goes by is what is judged.
func (m *boltMessage) call(t *rpcCall) *failure {
	headers, err := bolt.ParseHeaders(nil, m.Headers, h1.MaxFields-1)
	if err != nil || len(m.Headers) > maxBoltHeaders {
		return errCallFields
	}
	var service, alias, method []byte
	fields := make([]h1.Field, 0, len(headers)+1)
	for _, h := range headers {
		switch string(h.Name) {
		case "sofa_head_target_service":
			service = h.Value
		case "service":
			alias = h.Value
		case "sofa_head_method_name":
			method = h.Value
		}
		fields = append(fields, h1.Field{Name: h.Name, Value: h.Value})
	}
	parts := [][]byte{m.Class}
	if string(m.Class) == bolt.SofaRequest {
		var ok bool
		if parts, ok = m.target(service, alias, method); !ok {
			return errCallNames
		}
	}
	path, ok := callPath(parts...)
	if !ok {
		return errCallNames
	}
	if m.Timeout > 0 {
		fields = timeoutField(fields, int64(m.Timeout))
	}
	if f := t.carry(path, fields); f != nil {
		return f
	}
	known := t.c.l.Shadow || t.req.Has(h1.Shadow) || t.req.Has(h1.TraceState) && shadowState(&t.req)
	if m.Codec == bolt.Hessian && !known && marked(m.Content) {
		return errCallMark
	}
	return nil
}

// errCallMark is for SOFARPC's older clients, which send the properties of a call in its content only.
var errCallMark = &failure{400, "a content that names the shadow mark, and headers without it", notSent}

// marked tells whether a mark may be in a content, which nobody reads: in doubt, it is.
func marked(content []byte) bool {
	return bytes.Contains(content, []byte("x-sterling-shadow")) || bytes.Contains(content, []byte("X-Sterling-Shadow")) || bytes.Contains(content, []byte(shadowMember))
}

// target is the service and the method, which must not be said differently in two places.
func (m *boltMessage) target(service, alias, method []byte) (parts [][]byte, ok bool) {
	named := [2][]byte{service, method}
	if service == nil {
		named[0] = alias
	}
	if m.Codec == bolt.Hessian {
		var err error
		if named[0], named[1], err = bolt.Target(m.Content); err != nil {
			return nil, false
		}
	}
	for i, said := range [][]byte{service, alias, method} {
		if said != nil && !bytes.Equal(said, named[i/2]) {
			return nil, false
		}
	}
	return named[:], true
}

func (m *boltMessage) appendCall(b []byte, x *exchange, id uint64) ([]byte, error) {
	out := m.Message
	out.ID = uint32(id) //nolint:gosec // connections to endpoints count in 32 bits
	if m.Kind == bolt.Request || m.Timeout > 0 {
		out.Timeout = int32(min(millisLeft(x), math.MaxInt32)) //nolint:gosec // bounded
	}
	out.Headers = nil
	for _, f := range mapFields(x.fields) {
		out.Headers = bolt.AppendHeader(out.Headers, f.Name, f.Value)
	}
	return out.Append(b)
}

// status counts what says that the server did not do its work as the server's failure. An exception of the method's own
// is a success to Bolt.
func (m *boltMessage) status() int {
	switch m.Status {
	case bolt.Success:
		return 200
	case bolt.Busy:
		return 503
	case bolt.NoProcessor:
		return 404
	case bolt.Timeout:
		return 504
	case bolt.Codec, bolt.DeserialFailed:
		return 400
	case bolt.Communication, bolt.SendFailed, bolt.Closed:
		return 502
	}
	return 500
}

func (m *boltMessage) appendAnswer(b []byte, id uint64) []byte {
	out := m.Message
	out.ID = uint32(id)  //nolint:gosec // it came as one of 32 bits
	b, _ = out.Append(b) // its parts are as long as they were
	return b
}

// appendRefusal answers in the endpoint's stead. SOFARPC's clients may send again what is BUSY or a TIMEOUT, so only what
// no endpoint has seen is called so.
func (m *boltMessage) appendRefusal(b []byte, f *failure) []byte {
	status := uint16(bolt.Failed)
	switch {
	case f.outcome != notSent:
		status = bolt.Unknown
	case f.status == 503 || f.status == 429:
		status = bolt.Busy
	case f.status == 504:
		status = bolt.Timeout
	case f.status == 403 || f.status == 404:
		status = bolt.NoProcessor
	case f.status < 500:
		status = bolt.Codec
	}
	out := m.Reply(status)
	out.Headers = bolt.AppendHeader(nil, []byte("x-sterling-outcome"), []byte(f.outcome))
	out.Headers = bolt.AppendHeader(out.Headers, []byte("x-sterling-failure"), []byte(f.reason))
	b, _ = out.Append(b) // short
	return b
}

func (m *boltMessage) appendPong(b []byte) []byte {
	out := m.Reply(bolt.Success)
	b, _ = out.Append(b) // short
	return b
}
