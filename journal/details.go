package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/money"
)

// Limits of what an event's attachment says.
const (
	MaxDetails     = 4096    // bytes of an attachment to an account or a transfer
	MaxPayload     = 1 << 18 // bytes of what is proposed
	MaxTrial       = 1 << 20 // bytes of a day's trial balance
	MaxAddress     = 128     // bytes of an account's address
	MaxMetaEntries = 32
	MaxMetaKey     = 64   // bytes
	MaxMetaText    = 1024 // bytes of a text, or of bytes
	MaxSubject     = 128  // bytes of the name of a person whose data is personal
	MaxScopes      = 32   // assets, and prefixes of addresses
)

// MetaType is the type of a metadata value.
type MetaType uint8

// The types of metadata. A personal value is encrypted with the key of a subject, which lies outside of the journal.
const (
	MetaText     MetaType = 1 // UTF-8
	MetaInt      MetaType = 2 // i64
	MetaBool     MetaType = 3
	MetaAmount   MetaType = 4 // u128
	MetaTime     MetaType = 5 // ns since 1970
	MetaBytes    MetaType = 6
	MetaPersonal MetaType = 7 // see Personal
)

// Meta is one entry of an event's metadata: Value has the encoding of its type.
type Meta struct {
	Key   string
	Type  MetaType
	Value []byte
}

// Personal is the value of a personal entry.
type Personal struct {
	Subject string
	Sealed  []byte // by the subject's key
}

// Details are what an attachment says. Its encoding is canonical: equal details have equal bytes.
type Details struct {
	BookingDate Date   // of a transfer; 0: the day of its timestamp
	Address     string // of an account; "" for none
	Metadata    []Meta // ascending by key
	Assets      []string
	Prefixes    []string // scope of a principal: assets, and prefixes of addresses; ascending
	Rate        uint32   // of a principal: events a second; 0: no bound
	Payload     []byte   // of a proposal, or what the ledger adds: see docs/formats.md
	Transit     *Transit // of a transfer across cells; nil for none
}

// Date is a day: days since 1970-01-01. 0 means none.
type Date uint32

// MaxDate is 9999-12-31.
const MaxDate Date = 2_932_896

// ErrDetails is an attachment that is not one of ours, or beyond the limits.
var ErrDetails = errors.New("malformed attachment")

// The fields of an attachment, in the order they stand in.
const (
	fieldDate    = 1
	fieldAddress = 2
	fieldMeta    = 3
	fieldAsset   = 4
	fieldPrefix  = 5
	fieldRate    = 6
	fieldPayload = 7
	fieldTransit = 8 // since version 3 of the format
)

// Empty reports whether there is nothing to attach.
func (d *Details) Empty() bool {
	return d.BookingDate == 0 && d.Address == "" && len(d.Metadata) == 0 && len(d.Assets) == 0 && len(d.Prefixes) == 0 && d.Rate == 0 && len(d.Payload) == 0 && d.Transit == nil
}

// Append appends the encoding of d, which Check must have accepted.
func (d *Details) Append(dst []byte) []byte {
	field := func(tag byte, parts ...[]byte) {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		dst = append(dst, tag)
		dst = binary.LittleEndian.AppendUint32(dst, uint32(n))
		for _, p := range parts {
			dst = append(dst, p...)
		}
	}
	if d.BookingDate != 0 {
		field(fieldDate, binary.LittleEndian.AppendUint32(nil, uint32(d.BookingDate)))
	}
	if d.Address != "" {
		field(fieldAddress, []byte(d.Address))
	}
	for i := range d.Metadata {
		m := &d.Metadata[i]
		field(fieldMeta, []byte{byte(len(m.Key))}, []byte(m.Key), []byte{byte(m.Type)}, m.Value) //nolint:gosec // ≤ MaxMetaKey
	}
	for _, a := range d.Assets {
		field(fieldAsset, []byte(a))
	}
	for _, p := range d.Prefixes {
		field(fieldPrefix, []byte(p))
	}
	if d.Rate != 0 {
		field(fieldRate, binary.LittleEndian.AppendUint32(nil, d.Rate))
	}
	if len(d.Payload) > 0 {
		field(fieldPayload, d.Payload)
	}
	if d.Transit != nil {
		field(fieldTransit, d.Transit.append(make([]byte, 0, transitSize)))
	}
	return dst
}

// DecodeDetails reads an attachment and bounds everything in it. What it returns shares b's memory, but for texts.
func DecodeDetails(b []byte) (Details, error) {
	var d Details
	all, last := b, byte(0)
	for len(b) > 0 {
		if len(b) < 5 {
			return d, fmt.Errorf("%w: it is cut short", ErrDetails)
		}
		tag, n := b[0], binary.LittleEndian.Uint32(b[1:])
		if uint64(n) > uint64(len(b)-5) || tag < last { //nolint:gosec // not negative
			return d, fmt.Errorf("%w: field %d of %d bytes", ErrDetails, tag, n)
		}
		if err := d.decodeField(tag, b[5:5+n]); err != nil {
			return d, err
		}
		b, last = b[5+n:], tag
	}
	if err := d.Check(); err != nil {
		return d, err
	}
	if !bytes.Equal(d.Append(make([]byte, 0, len(all))), all) {
		return d, fmt.Errorf("%w: it is not in its canonical form", ErrDetails)
	}
	return d, nil
}

func (d *Details) decodeField(tag byte, v []byte) error {
	switch {
	case tag == fieldDate && len(v) == 4:
		d.BookingDate = Date(binary.LittleEndian.Uint32(v))
	case tag == fieldAddress:
		d.Address = string(v)
	case tag == fieldMeta && len(v) >= 2 && len(v) >= 2+int(v[0]):
		n := 1 + int(v[0])
		d.Metadata = append(d.Metadata, Meta{Key: string(v[1:n]), Type: MetaType(v[n]), Value: v[n+1:]})
	case tag == fieldAsset && len(d.Assets) < MaxScopes:
		d.Assets = append(d.Assets, string(v))
	case tag == fieldPrefix && len(d.Prefixes) < MaxScopes:
		d.Prefixes = append(d.Prefixes, string(v))
	case tag == fieldRate && len(v) == 4:
		d.Rate = binary.LittleEndian.Uint32(v)
	case tag == fieldPayload:
		d.Payload = v
	case tag == fieldTransit && len(v) == transitSize:
		d.Transit = new(readTransit(v))
	default:
		return fmt.Errorf("%w: field %d of %d bytes", ErrDetails, tag, len(v))
	}
	return nil
}

// Check tells what is wrong with d, or nil.
func (d *Details) Check() error {
	switch {
	case d.BookingDate > MaxDate:
		return fmt.Errorf("%w: booking date %d", ErrDetails, d.BookingDate)
	case d.Address != "" && CheckAddress(d.Address) != nil:
		return CheckAddress(d.Address)
	case len(d.Metadata) > MaxMetaEntries:
		return fmt.Errorf("%w: %d entries of metadata, at most %d", ErrDetails, len(d.Metadata), MaxMetaEntries)
	case len(d.Payload) > MaxTrial:
		return fmt.Errorf("%w: a payload of %d bytes, at most %d", ErrDetails, len(d.Payload), MaxTrial)
	case d.Transit != nil && !d.Transit.valid():
		return fmt.Errorf("%w: step %d of transfer %v, with flags %#x", ErrDetails, d.Transit.Step, d.Transit.Transfer, d.Transit.Flags)
	}
	for i := range d.Metadata {
		m := &d.Metadata[i]
		if i > 0 && m.Key <= d.Metadata[i-1].Key {
			return fmt.Errorf("%w: metadata key %q stands after %q: each may be there once, in ascending order", ErrDetails, m.Key, d.Metadata[i-1].Key)
		}
		if err := m.check(); err != nil {
			return err
		}
	}
	return d.checkScopes()
}

func (d *Details) checkScopes() error {
	for _, list := range [][]string{d.Assets, d.Prefixes} {
		if len(list) > MaxScopes {
			return fmt.Errorf("%w: %d scopes, at most %d", ErrDetails, len(list), MaxScopes)
		}
		for i, v := range list {
			if v == "" || len(v) > MaxAddress || i > 0 && v <= list[i-1] || !plain(v, ":/") {
				return fmt.Errorf("%w: scope %q", ErrDetails, v)
			}
		}
	}
	return nil
}

func (m *Meta) check() error {
	if m.Key == "" || len(m.Key) > MaxMetaKey || !plain(m.Key, "") {
		return fmt.Errorf("%w: metadata key %q: want 1 to %d letters, digits, '.', '_' or '-'", ErrDetails, m.Key, MaxMetaKey)
	}
	ok := false
	switch m.Type {
	case MetaText:
		ok = len(m.Value) <= MaxMetaText && utf8.Valid(m.Value)
	case MetaInt:
		ok = len(m.Value) == 8
	case MetaBool:
		ok = len(m.Value) == 1 && m.Value[0] <= 1
	case MetaAmount:
		ok = len(m.Value) == 16
	case MetaTime:
		ok = len(m.Value) == 8 && binary.LittleEndian.Uint64(m.Value) <= MaxTimestamp
	case MetaBytes:
		ok = len(m.Value) <= MaxMetaText
	case MetaPersonal:
		p, err := m.Personal()
		ok = err == nil && p.Subject != "" && plain(p.Subject, ":/@+") && len(p.Sealed) > 0 && len(p.Sealed) <= MaxMetaText+64
	}
	if !ok {
		return fmt.Errorf("%w: metadata %q has a value of type %d and %d bytes", ErrDetails, m.Key, m.Type, len(m.Value))
	}
	return nil
}

// CheckAddress tells what is wrong with an account's address, or nil: names of letters, digits, '.', '_' and '-',
// separated by colons.
func CheckAddress(a string) error {
	if a == "" || len(a) > MaxAddress {
		return fmt.Errorf("%w: an address of %d bytes: want 1 to %d", ErrDetails, len(a), MaxAddress)
	}
	for name := range strings.SplitSeq(a, ":") {
		if name == "" || !plain(name, "") {
			return fmt.Errorf("%w: address %q: want names of letters, digits, '.', '_' and '-' between colons", ErrDetails, a)
		}
	}
	return nil
}

// plain reports whether s has only letters, digits, '.', '_', '-' and what also allows.
func plain(s, also string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' &&
			strings.IndexByte(also, c) < 0 {
			return false
		}
	}
	return true
}

// Text returns an entry of text.
func Text(key, v string) Meta { return Meta{key, MetaText, []byte(v)} }

// Int returns an entry of a whole number.
func Int(key string, v int64) Meta {
	return Meta{key, MetaInt, binary.LittleEndian.AppendUint64(nil, uint64(v))} //nolint:gosec // its bits
}

// Bool returns an entry of a truth value.
func Bool(key string, v bool) Meta {
	b := []byte{0}
	if v {
		b[0] = 1
	}
	return Meta{key, MetaBool, b}
}

// Amount returns an entry of an amount.
func Amount(key string, v money.U128) Meta {
	return Meta{key, MetaAmount, binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, v.Lo), v.Hi)}
}

// Time returns an entry of a time in ns since 1970.
func Time(key string, ns uint64) Meta {
	return Meta{key, MetaTime, binary.LittleEndian.AppendUint64(nil, ns)}
}

// PersonalMeta returns an entry of a sealed value.
func PersonalMeta(key string, p Personal) Meta {
	v := append([]byte{byte(len(p.Subject))}, p.Subject...) //nolint:gosec // ≤ MaxSubject
	return Meta{key, MetaPersonal, append(v, p.Sealed...)}
}

// Int returns the value of a MetaInt.
func (m *Meta) Int() int64 { return int64(binary.LittleEndian.Uint64(m.Value)) } //nolint:gosec // its bits

// Bool returns the value of a MetaBool.
func (m *Meta) Bool() bool { return m.Value[0] != 0 }

// Amount returns the value of a MetaAmount.
func (m *Meta) Amount() money.U128 {
	return money.U128{Lo: binary.LittleEndian.Uint64(m.Value), Hi: binary.LittleEndian.Uint64(m.Value[8:])}
}

// Time returns the value of a MetaTime.
func (m *Meta) Time() uint64 { return binary.LittleEndian.Uint64(m.Value) }

// Personal returns the value of a MetaPersonal.
func (m *Meta) Personal() (Personal, error) {
	if len(m.Value) < 1 || len(m.Value) < 1+int(m.Value[0]) || int(m.Value[0]) > MaxSubject {
		return Personal{}, fmt.Errorf("%w: metadata %q is cut short", ErrDetails, m.Key)
	}
	n := 1 + int(m.Value[0])
	return Personal{Subject: string(m.Value[1:n]), Sealed: m.Value[n:]}, nil
}

// BookingDate returns the booking date that an attachment gives, without reading the rest of it; 0 where there is none.
func BookingDate(attachment []byte) Date {
	if len(attachment) < 9 || attachment[0] != fieldDate {
		return 0
	}
	return Date(binary.LittleEndian.Uint32(attachment[5:]))
}
