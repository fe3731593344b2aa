package index

import (
	"fmt"

	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// What stands beside a transfer in an account's list: one byte of flags, then, where there are balances, the
// timestamp (only in a history) and the four sums, each as its length and so many bytes, big-endian.
const (
	asideHistory = 1 << iota // balances after the transfer, of an account that keeps a history
	asideSampled             // balances after the transfer, of any other
	asideBooked              // its booking date is not the day of its timestamp
)

// aside is what is to stand beside a transfer.
type aside struct {
	row    *ledger.HistoryRow
	booked bool
}

func (a *aside) append(dst []byte, timestamp uint64) []byte {
	flags := byte(0)
	if a.booked {
		flags = asideBooked
	}
	if a.row == nil {
		return append(dst, flags)
	}
	if a.row.Sampled {
		dst = append(dst, flags|asideSampled)
	} else {
		dst = be.AppendUint64(append(dst, flags|asideHistory), timestamp)
	}
	b := &a.row.Balances
	for _, v := range [4]money.U128{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted} {
		dst = appendShort(dst, v)
	}
	return dst
}

// appendShort appends a number without its leading zeros, after its length.
func appendShort(dst []byte, v money.U128) []byte {
	var b [16]byte
	v.PutBE(b[:])
	n := 0
	for n < 16 && b[n] == 0 {
		n++
	}
	return append(append(dst, byte(16-n)), b[n:]...)
}

func readShort(b []byte) (v money.U128, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > 16 || len(b) < 1+int(b[0]) {
		return v, nil, false
	}
	var full [16]byte
	n := int(b[0])
	copy(full[16-n:], b[1:1+n])
	return money.BE(full[:]), b[1+n:], true
}

type rowKind byte

const (
	rowNone rowKind = iota
	rowHistory
	rowSampled
)

// readBeside is what readAside finds.
type readBeside struct {
	kind   rowKind
	booked bool
	row    BalanceRow // the timestamp is 0 in a sampled one
}

func readAside(b []byte) (a readBeside, err error) {
	if len(b) == 0 {
		return a, nil
	}
	all, flags := len(b), b[0]
	b = b[1:]
	a.booked = flags&asideBooked != 0
	ok := flags&^(asideHistory|asideSampled|asideBooked) == 0
	switch flags & (asideHistory | asideSampled) {
	case 0:
		if ok && len(b) == 0 {
			return a, nil
		}
		ok = false
	case asideHistory:
		a.kind = rowHistory
		if ok = ok && len(b) >= 8; ok {
			a.row.Timestamp, b = be.Uint64(b), b[8:]
		}
	case asideSampled:
		a.kind = rowSampled
	default:
		ok = false
	}
	sums := &a.row.Balances
	for _, v := range [4]*money.U128{&sums.DebitsPending, &sums.DebitsPosted, &sums.CreditsPending, &sums.CreditsPosted} {
		if ok {
			*v, b, ok = readShort(b)
		}
	}
	if !ok || len(b) != 0 {
		return readBeside{}, fmt.Errorf("%w: balances of %d bytes", ErrRebuild, all)
	}
	return a, nil
}
