package index

import (
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/must"
)

// expired is a reservation of an account that expired: the value of the account's list of expiries.
type expired struct {
	credit    bool // the account's side
	timestamp uint64
	amount    money.U128
	pending   journal.Position // of the transfer that reserved
}

const expiredSize = 1 + 8 + 16 + 8

func expiryList(number uint32) listKey { return listKey{tag: tagExpiry, lo: uint64(number)} }

func (e *expired) append(dst []byte) []byte {
	side := byte(0)
	if e.credit {
		side = 1
	}
	dst = be.AppendUint64(append(dst, side), e.timestamp)
	dst = be.AppendUint64(be.AppendUint64(dst, e.amount.Hi), e.amount.Lo)
	return be.AppendUint64(dst, uint64(e.pending))
}

func readExpired(b []byte) (expired, error) {
	if len(b) != expiredSize || b[0] > 1 {
		return expired{}, fmt.Errorf("%w: an expiry of %d bytes", ErrRebuild, len(b))
	}
	return expired{b[0] == 1, be.Uint64(b[1:]), money.BE(b[9:]), journal.Position(be.Uint64(b[25:]))}, nil
}

func (b *buffer) addExpiries(k *journal.Block, list []ledger.ExpiryEffect) {
	must.True(len(list) == len(k.Expiries), "block %d has %d expiries, its effects %d", k.Header.Seq, len(k.Expiries), len(list))
	for i := range list {
		x := &list[i]
		at := uint64(journal.At(k.Header.Seq, int(x.Index)))
		e := expired{timestamp: k.Header.Time + uint64(x.Index), amount: x.Amount, pending: x.Pending}
		b.scratch = e.append(b.scratch[:0])
		b.pushData(expiryList(x.Debit), at, b.scratch)
		e.credit = true
		b.scratch = e.append(b.scratch[:0])
		b.pushData(expiryList(x.Credit), at, b.scratch)
	}
}
