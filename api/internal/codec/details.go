package codec

import (
	"maps"
	"slices"
	"sort"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Addresses, booking dates and metadata are rare and rich: their fields are set
// aside while an event is read, and then decoded by the libraries, as a message
// that has only them.

// keep sets a field aside, whose tag was read.
func (b *Batch) keep(f *fields) {
	n := protowire.ConsumeFieldValue(f.number, f.kind, f.data)
	if n < 0 {
		f.malformed()
		return
	}
	b.beyond = protowire.AppendTag(b.beyond, f.number, f.kind)
	b.beyond = append(b.beyond, f.data[:n]...)
	f.data = f.data[n:]
}

func (b *Batch) accountDetails(f *fields) {
	if f.err != nil || len(b.beyond) == 0 {
		return
	}
	m := &ledgerv1.Account{}
	if proto.Unmarshal(b.beyond, m) != nil {
		f.malformed()
		return
	}
	b.add(Details{Event: f.index, Address: m.GetAddress(), Metadata: m.GetMetadata()})
}

func (b *Batch) transferDetails(f *fields) {
	if f.err != nil || len(b.beyond) == 0 {
		return
	}
	m := &ledgerv1.Transfer{}
	if proto.Unmarshal(b.beyond, m) != nil {
		f.malformed()
		return
	}
	b.add(Details{Event: f.index, BookingDate: m.GetBookingDate(), Metadata: m.GetMetadata()})
}

func (b *Batch) add(d Details) {
	if d.Address != "" || d.BookingDate != "" || len(d.Metadata) > 0 {
		b.Details = append(b.Details, d)
	}
}

// keepJSON sets the member aside whose name was read.
func (b *Batch) keepJSON(s *scanner) {
	value := s.value()
	if s.err != nil {
		return
	}
	separator := byte(',')
	if len(b.beyond) == 0 {
		separator = '{'
	}
	b.beyond = append(append(b.beyond, separator, '"'), s.field...)
	b.beyond = append(append(b.beyond, '"', ':'), value...)
}

func (b *Batch) accountDetailsJSON(s *scanner) {
	m := &ledgerv1.Account{}
	if b.detailsJSON(s, m) {
		b.add(Details{Event: s.index, Address: m.GetAddress(), Metadata: m.GetMetadata()})
	}
}

func (b *Batch) transferDetailsJSON(s *scanner) {
	m := &ledgerv1.Transfer{}
	if b.detailsJSON(s, m) {
		b.add(Details{Event: s.index, BookingDate: m.GetBookingDate(), Metadata: m.GetMetadata()})
	}
}

func (b *Batch) detailsJSON(s *scanner, m proto.Message) bool {
	if s.err != nil || len(b.beyond) == 0 {
		return false
	}
	b.beyond = append(b.beyond, '}')
	if err := protojson.Unmarshal(b.beyond, m); err != nil {
		s.field = "metadata"
		s.refuse("address, bookingDate or metadata can't be read: " + err.Error())
		return false
	}
	return true
}

// value consumes any JSON value and returns its text. It finds where the value
// ends; whether it is well-formed is for the decoder to say that reads it.
func (s *scanner) value() []byte {
	s.skipSpace()
	start, depth := s.pos, 0
	for s.pos < len(s.data) && s.err == nil {
		switch c := s.data[s.pos]; c {
		case '"':
			s.text()
			if depth == 0 {
				return s.data[start:s.pos]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return s.data[start:s.pos]
			}
			if depth--; depth == 0 {
				s.pos++
				return s.data[start:s.pos]
			}
		case ',':
			if depth == 0 {
				return s.data[start:s.pos]
			}
		}
		s.pos++
	}
	s.syntax("the end of a value")
	return nil
}

// nothing is the details of an event that has none.
var nothing = &Details{} //nolint:gochecknoglobals // never written

// details returns what belongs to row i.
func (r *Reply) details(i int) *Details {
	at := sort.Search(len(r.Details), func(k int) bool { return r.Details[k].Event >= i })
	if at < len(r.Details) && r.Details[at].Event == i {
		return &r.Details[at]
	}
	return nothing
}

// appendMetadataJSON appends an event's metadata.
func appendMetadataJSON(dst []byte, d *Details) []byte {
	dst = append(dst, `,"metadata":{`...)
	for i, key := range slices.Sorted(maps.Keys(d.Metadata)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), key...), '"', ':') // of plain characters
		full, err := protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(dst, d.Metadata[key])
		if err != nil { // text that is not UTF-8: it was refused when it came
			full = append(dst, "null"...)
		}
		dst = full
	}
	return append(dst, '}')
}

// appendTransitJSON appends what a transfer is a step of, if it is one.
func appendTransitJSON(dst []byte, t *ledgerv1.Transit) []byte {
	if t == nil {
		return dst
	}
	dst = append(append(append(dst, `,"transit":{"transferId":"`...), t.GetTransferId()...), '"')
	dst = append(append(append(dst, `,"step":"`...), t.GetStep().String()...), '"')
	dst = append(append(appendUintText(dst, `,"peer":"`, t.GetPeer()), `,"accountId":"`...), t.GetAccountId()...)
	return append(dst, '"', '}')
}

// appendMessage appends the fields of a message to one that is being written.
func appendMessage(dst []byte, m proto.Message) []byte {
	full, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, m)
	if err != nil { // text that is not UTF-8: it was refused when it came
		return dst
	}
	return full
}
