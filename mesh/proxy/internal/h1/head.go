package h1

import "bytes"

// A Head is what requests and responses have in common. Its slices are the reader's: valid until Done.
type Head struct {
	Minor  int // of the version HTTP/1.Minor
	Fields []Field
	Close  bool // the connection ends with this message
	// AcceptsTrailers: TE names trailers.
	AcceptsTrailers bool

	upgrading bool              // Connection names upgrade
	first     [knownCount]uint8 // index in Fields of the first one, plus one
	repeated  uint32            // bit k: field k occurs more than once
}

// Get returns the value of the first such field, nil where there is none.
func (h *Head) Get(k Known) []byte {
	if i := h.first[k]; i > 0 {
		return h.Fields[i-1].Value
	}
	return nil
}

// Has tells whether there is such a field, even an empty one.
func (h *Head) Has(k Known) bool { return h.first[k] > 0 }

// Repeated tells whether there is more than one such field.
func (h *Head) Repeated(k Known) bool { return h.repeated&(1<<k) != 0 }

// parse reads the fields in b and judges those that say how long the connection lives.
func (h *Head) parse(b []byte) error {
	fields, err := parseFields(b, h.Fields[:0])
	if err != nil {
		return err
	}
	h.Fields, h.Close, h.AcceptsTrailers, h.upgrading = fields, h.Minor == 0, false, false
	h.first, h.repeated = [knownCount]uint8{}, 0
	for i := range fields {
		k := fields[i].Known
		if k == Other {
			continue
		}
		if h.first[k] == 0 {
			h.first[k] = uint8(i + 1)
		} else {
			h.repeated |= 1 << k
		}
	}
	if h.Has(Connection) {
		if err := h.connection(); err != nil {
			return err
		}
	}
	if te := h.Get(TE); te != nil {
		for token, rest := nextToken(te); len(token) > 0 || len(rest) > 0; token, rest = nextToken(rest) {
			h.AcceptsTrailers = h.AcceptsTrailers || equalFold(token, "trailers")
		}
	}
	return nil
}

// maxNominated bounds the work that one Connection field can ask for.
const maxNominated = 16

func (h *Head) connection() error {
	tokens := 0
	for i := range h.Fields {
		if h.Fields[i].Known != Connection {
			continue
		}
		for rest := h.Fields[i].Value; len(rest) > 0; {
			var token []byte
			if token, rest = nextToken(rest); len(token) == 0 {
				continue
			}
			if tokens++; tokens > maxNominated || !all(token, &tokenByte) {
				return ErrConnection
			}
			if err := h.option(token); err != nil {
				return err
			}
		}
	}
	return nil
}

// option acts on one element of Connection.
func (h *Head) option(token []byte) error {
	switch {
	case equalFold(token, "close"):
		h.Close = true
		return nil
	case equalFold(token, "keep-alive"):
		return nil
	case equalFold(token, "upgrade"):
		h.upgrading = true
		return nil
	}
	// A sender must not make the proxy drop what the receiver decides by.
	if Lookup(token).endToEnd() {
		return ErrNominated
	}
	for i := range h.Fields {
		if bytes.EqualFold(h.Fields[i].Name, token) {
			h.Fields[i].Nominated = true
		}
	}
	return nil
}

// framing finds the body that the fields announce. There is one way to say it or the message is refused.
func (h *Head) framing() (Body, error) {
	coded, sized := h.Has(TransferEncoding), h.Has(ContentLength)
	switch {
	case coded && sized:
		return Body{}, ErrLengthCoding
	case coded && h.Minor == 0:
		return Body{}, ErrCodingOld
	case coded && h.Repeated(TransferEncoding):
		return Body{}, ErrCodingTwice
	case coded:
		if !equalFold(h.Get(TransferEncoding), "chunked") {
			return Body{}, ErrCoding
		}
		return Body{Kind: Chunked}, nil
	case sized && h.Repeated(ContentLength):
		return Body{}, ErrLengthTwice
	case sized:
		n, ok := decimal(h.Get(ContentLength))
		if !ok {
			return Body{}, ErrLength
		}
		return Body{Kind: Length, left: n}, nil
	}
	return Body{Kind: None}, nil
}

// decimal reads 1 to 18 digits and nothing else.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
