package bolt

import (
	"encoding/binary"
	"unicode/utf8"
)

// SofaRequest is the class of a request of SOFARPC.
const SofaRequest = "com.alipay.sofa.rpc.core.request.SofaRequest"

// Bounds of what is read of a request of SOFARPC.
const (
	maxFields = 16
	maxTypes  = 256
)

// Target finds the service and the method in a content of codec Hessian whose class is SofaRequest. A server goes by
// these, whatever the headers say. They must come before anything but texts and lists of texts, as SOFARPC's own
// serializers write them; what can't be read so is refused.
func Target(content []byte) (service, method []byte, err error) {
	r := &sofaReader{b: content}
	names := r.object()
	for _, name := range names {
		switch code := r.peek(); {
		case string(name) == "methodName":
			method = r.text()
		case string(name) == "targetServiceUniqueName":
			service = r.text()
		case code == 'N':
			r.byte()
		case code == 'V':
			r.texts()
		default:
			r.text()
		}
		if r.bad || len(service) > 0 && len(method) > 0 {
			break
		}
	}
	if r.bad || len(service) == 0 || len(method) == 0 {
		return nil, nil, ErrMalformed
	}
	return service, method, nil
}

// sofaReader reads SOFA's Hessian, which is an early draft of Hessian 2.0.
type sofaReader struct {
	b   []byte
	bad bool
}

func (r *sofaReader) peek() byte {
	if len(r.b) == 0 {
		return 0
	}
	return r.b[0]
}

func (r *sofaReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *sofaReader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// object reads the definition of the class SofaRequest and the beginning of its one object; it returns the names of
// the fields, whose values follow.
func (r *sofaReader) object() (names [][]byte) {
	if r.byte() != 'O' || string(r.take(r.int())) != SofaRequest {
		r.bad = true
		return nil
	}
	n := r.int()
	if n < 0 || n > maxFields {
		r.bad = true
		return nil
	}
	seen := map[string]bool{}
	for range n {
		name := r.text()
		r.bad = r.bad || seen[string(name)]
		seen[string(name)] = true
		names = append(names, name)
	}
	if r.byte() != 'o' || r.int() != 0 {
		r.bad = true
	}
	return names
}

// int reads an int of up to 1,024 or so: lengths and counts.
func (r *sofaReader) int() int {
	switch code := r.byte(); {
	case code >= 0x80 && code <= 0xbf:
		return int(code) - 0x90
	case code >= 0xc0 && code <= 0xcf:
		return (int(code)-0xc8)<<8 + int(r.byte())
	}
	r.bad = true
	return -1
}

// text reads a string in one piece, of ASCII: names of services and methods, and of types.
func (r *sofaReader) text() []byte {
	n := 0
	switch code := r.byte(); {
	case code <= 0x1f:
		n = int(code)
	case code == 'S':
		n = r.length()
	default:
		r.bad = true
	}
	return r.ascii(n)
}

func (r *sofaReader) ascii(n int) []byte {
	b := r.take(n)
	for _, c := range b {
		r.bad = r.bad || c >= utf8.RuneSelf
	}
	return b
}

func (r *sofaReader) length() int {
	if b := r.take(2); b != nil {
		return int(binary.BigEndian.Uint16(b))
	}
	return -1
}

// texts reads past a list of strings: 'V', perhaps its type and its length, and the end mark.
func (r *sofaReader) texts() {
	r.byte()
	if r.peek() == 't' {
		r.byte()
		r.ascii(r.length())
	}
	switch r.peek() {
	case 'n':
		r.take(2)
	case 'l':
		r.take(5)
	}
	for range maxTypes {
		switch r.peek() {
		case 'z':
			r.byte()
			return
		case 'N':
			r.byte()
		default:
			r.text()
		}
		if r.bad {
			return
		}
	}
	r.bad = true
}
