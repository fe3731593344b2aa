package proxy

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/dubbo"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

func dubboProtocol() *rpcProtocol {
	readOnly := hessian.AppendText(nil, []byte(dubbo.ReadOnly))
	farewell := dubbo.Header{Flag: dubbo.FlagRequest | dubbo.FlagEvent | dubbo.Hessian2, Length: 2}
	return &rpcProtocol{
		lead: 2, farewell: append(farewell.Append(nil), readOnly...),
		headerLen: func(lead []byte) (int, error) {
			if lead[0] != 0xda || lead[1] != 0xbb {
				return 0, dubbo.ErrMalformed
			}
			return dubbo.HeaderLen, nil
		},
		parse: func(head []byte) (rpcMessage, error) {
			h, err := dubbo.Parse(head)
			return &dubboMessage{Header: h}, err
		},
	}
}

// ownWords begin what the proxy says in the endpoint's stead.
const ownWords = "sterling: "

// maxEvent is more than any event has to say.
const maxEvent = 1024

type dubboMessage struct {
	dubbo.Header
	all    []byte
	body   []byte      // of all
	parsed *dubbo.Call // of a call that can be read
}

func (m *dubboMessage) id() uint64      { return m.ID }
func (m *dubboMessage) bodyLen() int64  { return int64(m.Length) }
func (m *dubboMessage) dialect() uint16 { return 0 }

func (m *dubboMessage) frame() []byte { return m.all }

func (m *dubboMessage) setFrame(b []byte, n int) error {
	m.all, m.body = b, b[n:]
	if m.Flag&dubbo.FlagEvent != 0 && len(m.body) > maxEvent {
		return dubbo.ErrMalformed
	}
	return nil
}

func (m *dubboMessage) kind() rpcKind {
	request, twoWay := m.Flag&dubbo.FlagRequest != 0, m.Flag&dubbo.FlagTwoWay != 0
	switch event := m.Flag&dubbo.FlagEvent != 0; {
	case event && request && m.Serialization() == dubbo.Hessian2 && string(m.body) == "\x01"+dubbo.ReadOnly:
		return rpcFarewell
	case event && request && twoWay:
		return rpcPing
	case event:
		return rpcPong // or a notice: nothing to do
	case request && twoWay:
		return rpcCallKind
	case request:
		return rpcOneWay
	}
	return rpcAnswer
}

// Attachments by which a server finds the service, and those with the caller's time: _TO is what newer ones read.
const (
	dubboPath, dubboVersion   = "path", "version"
	dubboTimeout, dubboTimeTo = "timeout", "_TO"
)

// call finds where a call goes. A server takes path and version from the attachments if they are there, so they must be
// what stands at the front. An attachment that decides something must be a text.
func (m *dubboMessage) call(t *rpcCall) *failure {
	if m.Serialization() != dubbo.Hessian2 {
		return errCallSerial
	}
	c, err := dubbo.ParseCall(m.body, h1.MaxFields-1)
	if err != nil {
		return errCallFields
	}
	path, ok := callPath(c.Service, c.Method)
	if !ok {
		return errCallNames
	}
	limit := int64(0) // milliseconds; 0: none
	less := func(ms int64, ok bool) {
		if ok && ms > 0 && (limit == 0 || ms < limit) {
			limit = ms
		}
	}
	fields := make([]h1.Field, 0, len(c.Texts)+1)
	for _, a := range c.Texts {
		f := h1.Field{Name: a.Name, Value: a.Value}
		switch string(a.Name) {
		case dubboPath:
			ok = ok && bytes.Equal(a.Value, c.Service)
		case dubboVersion:
			ok = ok && bytes.Equal(a.Value, c.Version)
		case dubboTimeout, dubboTimeTo:
			ms, err := strconv.ParseInt(string(a.Value), 10, 64)
			less(ms, err == nil)
			f.Nominated = true // each attempt says what is left
		}
		fields = append(fields, f)
	}
	for i := range c.Opaque {
		name := string(c.Opaque[i].Name)
		if name == dubboTimeout || name == dubboTimeTo {
			less(c.Opaque[i].Number())
		}
		ok = ok && name != dubboPath && name != dubboVersion && h1.Lookup(c.Opaque[i].Name) == h1.Other
	}
	if !ok {
		return errCallFields
	}
	if m.parsed = c; limit > 0 {
		fields = timeoutField(fields, limit)
	}
	return t.carry(path, fields)
}

func (m *dubboMessage) appendCall(b []byte, x *exchange, id uint64) ([]byte, error) {
	h := m.Header
	h.ID = id
	start := len(b)
	b = h.Append(b)
	timed := []string{}
	b = m.parsed.Open(b, func(a *dubbo.Attachment) bool {
		name := string(a.Name)
		_, number := a.Number()
		if number = number && (name == dubboTimeout || name == dubboTimeTo); number {
			timed = append(timed, name)
		}
		return number
	})
	for i := range m.parsed.Texts {
		if name := string(m.parsed.Texts[i].Name); name == dubboTimeout || name == dubboTimeTo {
			timed = append(timed, name)
		}
	}
	if m.kind() == rpcCallKind && !slices.Contains(timed, dubboTimeout) {
		timed = append(timed, dubboTimeout)
	}
	for _, f := range mapFields(x.fields) {
		b = dubbo.AppendAttachment(b, f.Name, f.Value)
	}
	for _, name := range timed {
		b = dubbo.AppendAttachment(b, []byte(name), strconv.AppendInt(nil, millisLeft(x), 10))
	}
	return m.sized(dubbo.Close(b), start), nil
}

// sized writes the length of the body of the message that begins at start.
func (m *dubboMessage) sized(b []byte, start int) []byte {
	h, _ := dubbo.Parse(b[start:])                      // just written
	h.Length = uint32(len(b) - start - dubbo.HeaderLen) //nolint:gosec // bounded: little more than what came
	h.Append(b[:start])
	return b
}

func (m *dubboMessage) status() int {
	switch m.Status {
	case dubbo.OK: // perhaps with an exception of the method's own, or of another proxy's
		if text, ok := dubbo.Thrown(m.body); ok && bytes.HasPrefix(text, []byte(ownWords+string(unknown))) {
			return 502
		}
		return 200
	case dubbo.ClientTimeout, dubbo.ServerTimeout:
		return 504
	case dubbo.Inactive, dubbo.BadResponse:
		return 502
	case dubbo.BadRequest, dubbo.ClientFailed:
		return 400
	case dubbo.NotFound:
		return 404
	case dubbo.Exhausted:
		return 503
	}
	return 500
}

func (m *dubboMessage) appendAnswer(b []byte, id uint64) []byte {
	h := m.Header
	h.ID = id
	return append(h.Append(b), m.body...)
}

// appendRefusal answers in the endpoint's stead. Dubbo's clients send a call to another server, by default, whatever the
// status of a failure is. So only what no endpoint has seen has one; where one may have acted, the call throws.
func (m *dubboMessage) appendRefusal(b []byte, f *failure) []byte {
	status := byte(dubbo.ServiceFailed)
	switch {
	case f.outcome != notSent:
		status = dubbo.OK
	case f.status == 503 || f.status == 429:
		status = dubbo.Exhausted
	case f.status == 504:
		status = dubbo.ServerTimeout
	case f.status == 403 || f.status == 404:
		status = dubbo.NotFound
	case f.status < 500:
		status = dubbo.BadRequest
	}
	start := len(b)
	b = dubbo.Header{Flag: dubbo.Hessian2, Status: status, ID: m.ID}.Append(b)
	text := ownWords + string(f.outcome) + ": " + f.reason
	if status == dubbo.OK {
		return m.sized(dubbo.AppendException(b, text), start)
	}
	return m.sized(dubbo.AppendMessage(b, text), start)
}

// appendPong gives back what the heartbeat has: a null, in its own serialization.
func (m *dubboMessage) appendPong(b []byte) []byte {
	h := dubbo.Header{Flag: dubbo.FlagEvent | m.Serialization(), Status: dubbo.OK, ID: m.ID, Length: m.Length}
	return append(h.Append(b), m.body...)
}
