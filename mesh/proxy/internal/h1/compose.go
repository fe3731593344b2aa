package h1

import "bytes"

// Source is where a body comes from that another protocol frames, as HTTP/2 does.
type Source interface {
	// Step is the body's own. Where done is true, the body's trailers are set.
	Step(b *Body) (data []byte, done bool, err error)
}

// Carried is a body that comes from elsewhere: of the given length, -1 where nobody knows it.
func Carried(from Source, length int64) Body {
	if length < 0 {
		return Body{Kind: Chunked, from: from}
	}
	return Body{Kind: Length, left: length, from: from}
}

// Source is where a carried body comes from, nil for any other.
func (b *Body) Source() Source { return b.from }

// Compose makes a request of parts that HTTP/2 has carried, and judges them by the same rules that Request applies to
// bytes: whatever comes out can be written as HTTP/1.1 and is read the same by everyone. The caller has filled in
// req.Fields, without pseudo-header fields and in lower case, and req.Body. An error is an *[Error].
func (req *Request) Compose(method, authority, target []byte) error {
	req.Method, req.Target, req.Minor, req.Close = method, target, 1, false
	if len(method) == 0 || len(method) > 32 || !all(method, &tokenByte) {
		return ErrMethod
	}
	if len(target) > MaxTarget {
		return ErrTargetLong
	}
	if string(method) == "CONNECT" {
		req.Target = authority
	} else if len(target) == 0 || target[0] != '/' && string(target) != "*" || !all(target, &targetByte) {
		return ErrTarget
	}
	if _, err := req.target(); err != nil {
		return err
	}
	if err := req.index(); err != nil {
		return err
	}
	// RFC 9113, 8.3.1: the authority stands for the host, which may be there as well.
	req.Host = authority
	if req.Has(Host) {
		if req.Repeated(Host) || authority != nil && !bytes.EqualFold(authority, req.Get(Host)) {
			return ErrHostDiffers
		}
		req.Host = req.Get(Host)
	}
	if !validHost(req.Host) {
		return ErrHost
	}
	return req.judge()
}

// Compose makes the head of an answer of parts that HTTP/2 has carried, as Request's Compose does.
func (resp *Response) Compose(status int, reason []byte) error {
	resp.Status, resp.Reason, resp.Minor, resp.Close, resp.UpgradeTo = status, reason, 1, false, nil
	return resp.index()
}

// index judges fields that no parser has seen, and finds the known ones.
func (h *Head) index() error {
	h.AcceptsTrailers, h.upgrading = false, false
	h.first, h.repeated = [knownCount]uint8{}, 0
	if len(h.Fields) > MaxFields {
		return ErrFieldsMany
	}
	kept := h.Fields[:0]
	for _, f := range h.Fields {
		if !all(f.Name, &tokenByte) || len(f.Name) == 0 {
			return ErrFieldName
		}
		if !fieldValue(f.Value) {
			return ErrFieldValue
		}
		f.Known, f.Nominated = Lookup(f.Name), false
		switch {
		case f.Known == TE:
			h.AcceptsTrailers = equalFold(f.Value, "trailers")
		case f.Known.HopByHop():
			return ErrConnection
		case f.Known == Cookie && h.Has(Cookie):
			// RFC 9113, 8.2.3: a cookie may have been split, and is one field anywhere else.
			first := &kept[h.first[Cookie]-1]
			first.Value = append(append(append([]byte(nil), first.Value...), "; "...), f.Value...)
			continue
		}
		kept = append(kept, f)
		switch {
		case f.Known == Other:
		case h.first[f.Known] == 0:
			h.first[f.Known] = uint8(len(kept)) //nolint:gosec // at most MaxFields
		default:
			h.repeated |= 1 << f.Known
		}
	}
	h.Fields = kept
	if h.Repeated(ContentLength) {
		return ErrLengthTwice
	}
	return nil
}
