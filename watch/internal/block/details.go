package block

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/watch/internal/count"
)

// The fields of an attachment.
const (
	fieldDate    = 1
	fieldAddress = 2
	fieldMeta    = 3
	fieldAsset   = 4
	fieldPrefix  = 5
	fieldRate    = 6
	fieldPayload = 7
	fieldTransit = 8
	fieldCarried = 9
)

// Bounds of an attachment, in bytes unless they are counts.
const (
	maxDetails = 4096
	maxPayload = 256 << 10
	maxTrial   = 1 << 20
	maxDate    = 2_932_896 // 9999-12-31
	maxEntries = 32        // of metadata; of assets; of prefixes
	maxKey     = 64
	maxText    = 1024
	maxAddress = 128
)

// CheckDetails reports whether data is an attachment that an event of this kind may have, in its canonical form.
func CheckDetails(kind Kind, data []byte) bool {
	if len(data) == 0 || len(data) > most(kind) {
		return false
	}
	last := field{}
	var counts [fieldCarried + 1]int
	for rest := data; len(rest) > 0; {
		f, next, ok := nextField(rest)
		if !ok || f.tag < last.tag || !allowed(kind, f.tag) || !f.valid(kind) {
			return false
		}
		if f.tag == last.tag && (!repeats(f.tag) || bytes.Compare(f.key(), last.key()) <= 0) {
			return false
		}
		if counts[f.tag]++; counts[f.tag] > maxEntries {
			return false
		}
		last, rest = f, next
	}
	return true
}

// most is how many bytes an attachment to an event of a kind may have.
func most(kind Kind) int {
	switch kind {
	case Proposals, DayCloses:
		return MaxBlock // their payloads are bounded
	case Gives, Takes:
		return maxDetails + maxPayload
	case Transfers, Transactions:
		return maxDetails + 5 + transitSize
	case Carries:
		return maxDetails + 5 + transitSize + 5 + carriedSize
	}
	return maxDetails
}

// BookingDate is the day that an attachment gives, days since 1970-01-01; 0: none.
func BookingDate(data []byte) uint32 {
	f, _, ok := nextField(data)
	if !ok || f.tag != fieldDate || len(f.value) != 4 {
		return 0
	}
	return binary.LittleEndian.Uint32(f.value)
}

// Payload is the payload of an attachment that CheckDetails accepted, nil where it has none.
func Payload(data []byte) []byte {
	for len(data) > 0 {
		f, next, ok := nextField(data)
		if !ok {
			return nil
		}
		if f.tag == fieldPayload {
			return f.value
		}
		data = next
	}
	return nil
}

type field struct {
	tag   byte
	value []byte
}

func nextField(b []byte) (f field, rest []byte, ok bool) {
	if len(b) < 5 {
		return f, nil, false
	}
	n := uint64(binary.LittleEndian.Uint32(b[1:]))
	if b[0] < fieldDate || b[0] > fieldCarried || n > uint64(len(b)-5) { //nolint:gosec // not negative
		return f, nil, false
	}
	return field{b[0], b[5 : 5+n]}, b[5+n:], true
}

// allowed reports whether events of a kind may carry a field.
func allowed(kind Kind, tag byte) bool {
	switch kind {
	case Accounts:
		return tag == fieldAddress || tag == fieldMeta
	case Transfers, Transactions:
		return tag == fieldDate || tag == fieldMeta || tag == fieldTransit
	case Carries:
		return tag == fieldDate || tag == fieldMeta || tag == fieldTransit || tag == fieldCarried
	case Gives, Takes:
		return tag == fieldAddress || tag == fieldMeta || tag == fieldPayload
	case Metadata:
		return tag == fieldMeta
	case Principals:
		return tag >= fieldAsset && tag <= fieldRate
	case Proposals, DayCloses:
		return tag == fieldPayload
	}
	return false
}

func repeats(tag byte) bool { return tag == fieldMeta || tag == fieldAsset || tag == fieldPrefix }

// key is what fields of one tag are ordered by.
func (f *field) key() []byte {
	if f.tag == fieldMeta {
		return f.value[1 : 1+int(f.value[0])]
	}
	return f.value
}

// valid checks a field's value. What is zero or empty is left out in the canonical form.
func (f *field) valid(kind Kind) bool {
	v := f.value
	switch f.tag {
	case fieldDate:
		return len(v) == 4 && binary.LittleEndian.Uint32(v) > 0 && binary.LittleEndian.Uint32(v) <= maxDate
	case fieldAddress:
		return validAddress(v)
	case fieldMeta:
		return validMeta(v)
	case fieldAsset, fieldPrefix:
		return len(v) > 0 && len(v) <= maxAddress && plain(v, ":/")
	case fieldRate:
		return len(v) == 4 && binary.LittleEndian.Uint32(v) > 0
	case fieldTransit:
		return validTransit(v)
	case fieldCarried:
		return validCarried(v)
	}
	if kind == DayCloses {
		return len(v) > 0 && len(v) <= maxTrial
	}
	return len(v) > 0 && len(v) <= maxPayload
}

func validAddress(v []byte) bool {
	if len(v) == 0 || len(v) > maxAddress {
		return false
	}
	for name := range bytes.SplitSeq(v, []byte{':'}) {
		if len(name) == 0 || !plain(name, "") {
			return false
		}
	}
	return true
}

func validMeta(v []byte) bool {
	if len(v) < 2 || v[0] == 0 || v[0] > maxKey || len(v) < 2+int(v[0]) || !plain(v[1:1+int(v[0])], "") {
		return false
	}
	kind, value := v[1+int(v[0])], v[2+int(v[0]):]
	switch kind {
	case 1:
		return len(value) <= maxText && utf8.Valid(value)
	case 2:
		return len(value) == 8
	case 3:
		return len(value) == 1 && value[0] <= 1
	case 4:
		return len(value) == 16
	case 5:
		return len(value) == 8 && binary.LittleEndian.Uint64(value) <= MaxTimestamp
	case 6:
		return len(value) <= maxText
	case 7: // a name, and at least one byte that is sealed
		return len(value) >= 2 && value[0] > 0 && len(value) > 1+int(value[0])
	}
	return false
}

// plain reports whether s has only letters, digits, '.', '_', '-' and what also allows.
func plain(s []byte, also string) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("._-"+also, c) < 0 {
			return false
		}
	}
	return true
}

// LegID is the id of leg i, from 0, of a transaction.
func LegID(transaction count.ID, i int) count.ID {
	b := binary.LittleEndian.AppendUint32(append(make([]byte, 0, 20), transaction[:]...), uint32(i)) //nolint:gosec // ≤ MaxEvents
	sum := sha256.Sum256(b)
	id := count.ID(sum[:16])
	if id.IsZero() || id.Amount() == count.Max() {
		return count.ID{1}
	}
	return id
}

// CheckLegs reports whether the n legs after a head have the ids and the digest that the head gives them.
func (b *Block) CheckLegs(head, n int) bool {
	h := b.Transfer(head)
	digest := sha256.New()
	_, _ = digest.Write(b.EventBytes(head+1, n)) // a hash never fails
	for i := range n {
		if b.Transfer(head+1+i).ID() != LegID(h.ID(), i) {
			return false
		}
		if b.Attachments == 0 {
			continue
		}
		if a := b.Attachment(head + 1 + i); a != nil {
			le := binary.LittleEndian
			entry := le.AppendUint16(make([]byte, 0, 4), uint16(i))
			_, _ = digest.Write(le.AppendUint16(entry, uint16(len(a)))) //nolint:gosec // ≤ maxDetails
			_, _ = digest.Write(a)
		}
	}
	return bytes.Equal(digest.Sum(nil), h[16:48])
}

// PayloadHash is the SHA-256 of what a proposal of these n events, from event first on, has as its payload.
func (b *Block) PayloadHash(first, n int) (sum [32]byte) {
	le := binary.LittleEndian
	attached := uint32(0)
	for i := range n {
		if b.Attachment(first+i) != nil {
			attached++
		}
	}
	h := sha256.New()
	word := le.AppendUint32(make([]byte, 0, 8), uint32(n)) //nolint:gosec // ≤ MaxEvents
	_, _ = h.Write(le.AppendUint32(word, attached))
	_, _ = h.Write(b.EventBytes(first, n))
	for i := range n {
		if a := b.Attachment(first + i); a != nil {
			word = le.AppendUint32(word[:0], uint32(i))
			_, _ = h.Write(le.AppendUint32(word, uint32(len(a)))) //nolint:gosec // ≤ MaxBlock
			_, _ = h.Write(a)
		}
	}
	h.Sum(sum[:0])
	return sum
}
