// Package dubbo is the codec of Dubbo 2's default protocol with Hessian 2.0 (dubbo.apache.org, "dubbo protocol"): the
// header of a message, and of a request the names at the front of its body and the attachments at its end.
//
// It does no I/O, never decodes arguments, and refuses what it can't read past or what two readers could take for
// different things. Start reading at [Parse] and [ParseCall].
package dubbo

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

// HeaderLen is the length of a message's header.
const HeaderLen = 16

// Bits of the byte "flag". The lowest five are the serialization.
const (
	FlagRequest = 0x80
	FlagTwoWay  = 0x40 // the request gets a response
	FlagEvent   = 0x20 // a heartbeat, or a notice
	serialMask  = 0x1f
)

// Hessian2 is the serialization that can be read.
const Hessian2 = 2

// ReadOnly is the event by which a server asks a client to send no more requests on the connection.
const ReadOnly = "R"

// Statuses of responses.
const (
	OK              = 20
	SerializeFailed = 25
	ClientTimeout   = 30
	ServerTimeout   = 31
	Inactive        = 35
	BadRequest      = 40
	BadResponse     = 50
	NotFound        = 60
	ServiceFailed   = 70
	ServerFailed    = 80
	ClientFailed    = 90
	Exhausted       = 100 // the server's pool of threads
)

// withException begins the body of a response that throws.
const withException = 0

// ErrMalformed is what is no message of Dubbo.
var ErrMalformed = errors.New("malformed Dubbo message")

// Header is the fixed part of a message.
type Header struct {
	Flag   byte
	Status byte // of a response
	ID     uint64
	Length uint32 // of the body
}

// Parse reads a header.
func Parse(b []byte) (Header, error) {
	if len(b) < HeaderLen || b[0] != 0xda || b[1] != 0xbb {
		return Header{}, ErrMalformed
	}
	return Header{b[2], b[3], binary.BigEndian.Uint64(b[4:]), binary.BigEndian.Uint32(b[12:])}, nil
}

// Append writes the header.
func (h Header) Append(b []byte) []byte {
	b = append(b, 0xda, 0xbb, h.Flag, h.Status)
	b = binary.BigEndian.AppendUint64(b, h.ID)
	return binary.BigEndian.AppendUint32(b, h.Length)
}

// Serialization is how the body is written.
func (h Header) Serialization() byte { return h.Flag & serialMask }

// Call is the body of a request. Its slices are those that it was parsed from.
type Call struct {
	Service, Version []byte
	// Method is what is called: of a generic call ($invoke), the method that its first argument names.
	Method []byte
	// Texts are the attachments that are strings, and numbers as such; Opaque are all others.
	Texts  []Attachment
	Opaque []Attachment

	front []byte // up to the attachments
	open  []byte // their beginning
}

// Attachment is one of a call. Raw is both as they came, where the value is no text.
type Attachment struct{ Name, Value, Raw []byte }

// Bounds of a call.
const (
	maxName = 1024 // bytes of a text at the front
	maxDesc = 8192 // of the types of the arguments
)

// genericTypes are those of the arguments of a generic call.
const genericTypes = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"

// ParseCall reads the body of a request in Hessian 2.0, with at most limit attachments.
func ParseCall(body []byte, limit int) (*Call, error) {
	r := hessian.NewReader(body)
	var texts [5][]byte // dubbo's version, service, version of the service, method, types of the arguments
	for i := range texts {
		most := maxName
		if i == 4 {
			most = maxDesc
		}
		var err error
		if texts[i], err = r.Text(); err != nil || len(texts[i]) > most {
			return nil, ErrMalformed
		}
	}
	c := &Call{Service: texts[1], Version: texts[2], Method: texts[3]}
	n, ok := arguments(texts[4])
	if !ok || len(c.Service) == 0 || len(c.Method) == 0 {
		return nil, ErrMalformed
	}
	if m := string(c.Method); m == "$invoke" || m == "$invokeAsync" {
		if string(texts[4]) != genericTypes {
			return nil, ErrMalformed
		}
		var err error
		if c.Method, err = r.Text(); err != nil || len(c.Method) == 0 {
			return nil, ErrMalformed
		}
		n--
	}
	for range n {
		if r.SkipValue() != nil {
			return nil, ErrMalformed
		}
	}
	if err := c.attachments(r, body, limit); err != nil || r.At() != len(body) {
		return nil, ErrMalformed
	}
	return c, nil
}

// attachments reads the map at the end, which may be null.
func (c *Call) attachments(r *hessian.Reader, body []byte, limit int) error {
	start := r.At()
	c.front, c.open = body[:start], []byte{'H'}
	code, err := r.Byte()
	switch {
	case err != nil:
		return err
	case code == 'N':
		return nil
	case code == 'M':
		if err := r.SkipType(); err != nil {
			return err
		}
		c.open = body[start:r.At()]
	case code != 'H':
		return ErrMalformed
	}
	seen := map[string]bool{}
	for {
		if code, ok := r.Next(); ok && code == 'Z' {
			_, err := r.Byte()
			return err
		}
		begin := r.At()
		name, err := r.Text()
		if err != nil || len(name) == 0 || seen[string(name)] || len(seen) == limit {
			return ErrMalformed
		}
		seen[string(name)] = true
		code, _ := r.Next()
		if hessian.IsText(code) {
			value, err := r.Text()
			if err != nil || len(value) > hessian.MaxText {
				return ErrMalformed
			}
			c.Texts = append(c.Texts, Attachment{Name: name, Value: value})
			continue
		}
		if err := r.SkipValue(); err != nil {
			return err
		}
		if code != 'N' { // which is as good as absent
			c.Opaque = append(c.Opaque, Attachment{Name: name, Raw: body[begin:r.At()]})
		}
	}
}

// Number is the value of an opaque attachment that is a whole number.
func (a *Attachment) Number() (int64, bool) {
	r := hessian.NewReader(a.Raw)
	if _, err := r.Text(); err != nil {
		return 0, false
	}
	return r.Number()
}

// Open writes the body up to the texts among its attachments, which the caller adds by AppendAttachment before Close.
// Opaque ones that drop wants are left out: only numbers may be, or references between the others would break.
func (c *Call) Open(b []byte, drop func(*Attachment) bool) []byte {
	b = append(append(b, c.front...), c.open...)
	for i := range c.Opaque {
		if !drop(&c.Opaque[i]) {
			b = append(b, c.Opaque[i].Raw...)
		}
	}
	return b
}

// AppendAttachment writes a text.
func AppendAttachment(b, name, value []byte) []byte {
	return hessian.AppendText(hessian.AppendText(b, name), value)
}

// Close ends the attachments.
func Close(b []byte) []byte { return append(b, 'Z') }

// AppendMessage writes the body of a response whose status is not OK.
func AppendMessage(b []byte, text string) []byte { return hessian.AppendText(b, []byte(text)) }

// AppendException writes the body of a response that throws a java.lang.RuntimeException. Unlike a status, it is no
// reason for Dubbo's clients to send the call to another server.
func AppendException(b []byte, text string) []byte {
	b = append(b, 0x90+withException, 'C')
	b = hessian.AppendText(b, []byte("java.lang.RuntimeException"))
	b = append(b, 0x91) // one field
	b = hessian.AppendText(b, []byte("detailMessage"))
	b = append(b, 0x60) // an object of this class
	return hessian.AppendText(b, []byte(text))
}

// Thrown reads what AppendException wrote.
func Thrown(body []byte) (text []byte, ok bool) {
	front := AppendException(nil, "")
	front = front[:len(front)-1] // the empty text
	rest, ok := bytes.CutPrefix(body, front)
	if !ok {
		return nil, false
	}
	text, err := hessian.NewReader(rest).Text()
	return text, err == nil
}

// arguments counts the types in a descriptor (JVM specification, 4.3.2), which has nothing else.
func arguments(desc []byte) (n int, ok bool) {
	for i := 0; i < len(desc); n++ {
		for desc[i] == '[' {
			if i++; i == len(desc) {
				return 0, false
			}
		}
		switch desc[i] {
		case 'Z', 'B', 'C', 'D', 'F', 'I', 'J', 'S':
			i++
			continue
		case 'L':
		default:
			return 0, false
		}
		start := i + 1
		for i = start; i < len(desc) && desc[i] != ';'; i++ {
			if c := desc[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '$' && c != '/' {
				return 0, false
			}
		}
		if i == start || i == len(desc) {
			return 0, false
		}
		i++
	}
	return n, true
}
