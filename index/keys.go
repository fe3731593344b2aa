package index

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

var be = binary.BigEndian

// The first byte of a key says what it is.
const (
	tagAddress         byte = 'A'
	tagAccountID       byte = 'B'
	tagAccount         byte = 'a'
	tagMark            byte = 'b'
	tagExpiryMark      byte = 'c'
	tagBooking         byte = 'd'
	tagExpiry          byte = 'e'
	tagAccountKey      byte = 'f'
	tagAccountMeta     byte = 'g'
	tagMoved           byte = 'h'
	tagDeparture       byte = 'i'
	tagTransferKey     byte = 'k'
	tagTransferMeta    byte = 'l'
	tagPoint           byte = 'm'
	tagTransferData128 byte = 'x'
	tagTransferData64  byte = 'y'
	tagTransferData32  byte = 'z'
	tagAccountData128  byte = 'X'
	tagAccountData64   byte = 'Y'
	tagAccountData32   byte = 'Z'
)

const (
	maxKey    = 1 + 16 + 8
	markValue = 16
	pointSize = 1 + 8 + 8 + 32 + 8 + 8 + 4 + 4 + 4
	pointIs   = 2 // version of the layout of all keys
)

// listKey names a list of ascending values: the positions of an account's transfers or expiries, of transfers with the
// same user data or metadata, of the events that gave accounts the same metadata, or the numbers of accounts with the
// same user data.
type listKey struct {
	tag    byte
	hi, lo uint64
}

func accountList(number uint32) listKey { return listKey{tag: tagAccount, lo: uint64(number)} }

// numbers reports whether the list's values are account numbers (32 bits) instead of positions.
func (k listKey) numbers() bool { return k.tag < tagAccount }

// dataLists appends the lists of the user data that is not zero. transfers chooses between those of transfers and
// those of accounts.
func dataLists(dst []listKey, transfers bool, d128 money.U128, d64 uint64, d32 uint32) []listKey {
	tags := [3]byte{tagAccountData128, tagAccountData64, tagAccountData32}
	if transfers {
		tags = [3]byte{tagTransferData128, tagTransferData64, tagTransferData32}
	}
	if !d128.IsZero() {
		dst = append(dst, listKey{tags[0], d128.Hi, d128.Lo})
	}
	if d64 != 0 {
		dst = append(dst, listKey{tags[1], 0, d64})
	}
	if d32 != 0 {
		dst = append(dst, listKey{tags[2], 0, uint64(d32)})
	}
	return dst
}

// prefix appends what the keys of all values of the list begin with.
func (k listKey) prefix(dst []byte) []byte {
	dst = append(dst, k.tag)
	switch k.tag {
	case tagTransferData128, tagAccountData128, tagAccountID, tagTransferKey, tagTransferMeta, tagAccountKey, tagAccountMeta:
		return be.AppendUint64(be.AppendUint64(dst, k.hi), k.lo)
	case tagTransferData64, tagAccountData64:
		return be.AppendUint64(dst, k.lo)
	default:
		return be.AppendUint32(dst, uint32(k.lo)) //nolint:gosec // an account number or 32 bits of user data
	}
}

// appendValue appends one of the list's values to its prefix.
func (k listKey) appendValue(prefix []byte, v uint64) []byte {
	if k.numbers() {
		return be.AppendUint32(prefix, uint32(v)) //nolint:gosec // an account number
	}
	return be.AppendUint64(prefix, v)
}

// value reads what follows the prefix, of n bytes, in a key.
func (k listKey) value(key []byte, n int) (uint64, error) {
	rest := key[min(n, len(key)):]
	switch {
	case k.numbers() && len(rest) == 4:
		return uint64(be.Uint32(rest)), nil
	case !k.numbers() && len(rest) == 8:
		return be.Uint64(rest), nil
	}
	return 0, fmt.Errorf("%w: a key of %d bytes under %q", ErrRebuild, len(key), k.tag)
}

// compare orders lists as their keys are ordered in Pebble, for lists of the same group (accounts, transfers).
func (k listKey) compare(o listKey) int {
	switch {
	case k.tag != o.tag:
		return int(k.tag) - int(o.tag)
	case k.hi != o.hi:
		return cmp.Compare(k.hi, o.hi)
	}
	return cmp.Compare(k.lo, o.lo)
}

// mark says which block the transfers from a timestamp on are in.
type mark struct {
	first uint64 // timestamp of the block's first transfer
	seq   uint64
	base  uint64 // timestamp of a transfer less its index in the block; 0 where some were imported
}

func (m mark) append(dst []byte) []byte { return be.AppendUint64(be.AppendUint64(dst, m.seq), m.base) }

func readMark(key, value []byte) (mark, error) {
	if len(key) != 9 || len(value) != markValue {
		return mark{}, fmt.Errorf("%w: a mark of %d and %d bytes", ErrRebuild, len(key), len(value))
	}
	return mark{be.Uint64(key[1:]), be.Uint64(value), be.Uint64(value[8:])}, nil
}

// point is how far something went: the last block, the last of the marks and the highest account number.
type point struct {
	cell    uint64
	seq     uint64
	hash    journal.Hash
	time    uint64 // first timestamp of the last block that has transfers
	expired uint64 // that of the last block that has expiries, or something that was handed over
	account uint32
	base    int32 // zone by which the index tells days, in minutes ahead of UTC: that of the first transfer
	zone    int32 // zone of the ledger
}

func (p point) append(dst []byte) []byte {
	dst = append(dst, pointIs)
	dst = be.AppendUint64(be.AppendUint64(dst, p.cell), p.seq)
	dst = append(dst, p.hash[:]...)
	dst = be.AppendUint32(be.AppendUint64(be.AppendUint64(dst, p.time), p.expired), p.account)
	return be.AppendUint32(be.AppendUint32(dst, uint32(p.base)), uint32(p.zone)) //nolint:gosec // their bits
}

func readPoint(b []byte) (point, error) {
	if len(b) != pointSize || b[0] != pointIs {
		return point{}, fmt.Errorf("%w: it has another layout", ErrRebuild)
	}
	return point{
		cell: be.Uint64(b[1:]), seq: be.Uint64(b[9:]), hash: journal.Hash(b[17:49]),
		time: be.Uint64(b[49:]), expired: be.Uint64(b[57:]), account: be.Uint32(b[65:]),
		base: int32(be.Uint32(b[69:])), zone: int32(be.Uint32(b[73:])), //nolint:gosec // their bits
	}, nil
}
