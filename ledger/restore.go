package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// restoreAtOnce bounds what Restore allocates on a snapshot's word, before it has read that much.
const restoreAtOnce = 1 << 18

// restoring is a snapshot that is being read. Whatever it says is checked: money must be conserved, what is reserved
// must be what the accounts have pending, and nothing may point to what isn't there.
type restoring struct {
	*State
	head   snapshotHead
	filter func(GenerationRef) ([]uint64, error)
	r      *bufio.Reader
}

// Restore reads a snapshot and returns the state and the sequence number of the last block that is in it. Every error
// but those of from and of cfg.Filter is ErrSnapshot. One with the ids of several generations in memory leaves
// them to be written out at once: see NextSealed.
func Restore(cfg Config, from io.Reader) (*State, uint64, error) {
	in := restoring{r: bufio.NewReaderSize(from, 1<<20), filter: cfg.Filter}
	h := &in.head
	if err := in.read(h); err != nil {
		return nil, 0, err
	}
	switch {
	case h.Magic != snapshotMagic:
		return nil, 0, fmt.Errorf("%w: it does not begin with %q", ErrSnapshot, snapshotMagic[:])
	case h.Version < 2 || h.Version > SnapshotVersion:
		return nil, 0, fmt.Errorf("%w: format version %d, this program reads versions 2 and %d", ErrSnapshot, h.Version, SnapshotVersion)
	case h.Rules == 0 || h.Rules > Rules || h.Version < 3 && h.Rules > 2:
		return nil, 0, fmt.Errorf("%w: rules version %d, this program knows versions 1 to %d", ErrSnapshot, h.Rules, Rules)
	case h.Accounts >= 1<<32-1 || h.Pendings >= 1<<32-1 || h.Assets > MaxAssets || h.Seq > journal.MaxSeq:
		return nil, 0, fmt.Errorf("%w: it claims %d accounts, %d reservations, %d assets, block %d", ErrSnapshot, h.Accounts, h.Pendings, h.Assets, h.Seq)
	case h.LastEnd > journal.MaxTimestamp || h.LastAccount > h.LastEnd || h.LastXfer > h.LastEnd:
		return nil, 0, fmt.Errorf("%w: it ends at %d, its youngest account and transfer at %d and %d", ErrSnapshot, h.LastEnd, h.LastAccount, h.LastXfer)
	}
	cfg.HashKey = h.HashKey
	in.State = New(cfg)
	in.lastEnd, in.lastAcct, in.lastXfer = h.LastEnd, h.LastAccount, h.LastXfer
	in.digest, in.counts.Transfers, in.counts.Burned = h.Digest, h.Transfers, h.Burned
	in.seq, in.gens.released, in.rules = h.Seq, h.Seq, h.Rules
	for _, part := range []func() error{
		in.restoreGenerations, in.restoreAssets, in.restoreFreezes, in.restoreLimits, in.restoreBooks, in.restoreAccounts,
		in.restoreDetails, in.restorePendings, in.checkTransits, in.restoreIDs, in.markAccounts, in.checkBalances, in.divideIDs,
	} {
		if err := part(); err != nil {
			return nil, 0, err
		}
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("%w: bytes after its end", ErrSnapshot)
	}
	return in.State, h.Seq, nil
}

func (in *restoring) read(v any) error {
	if err := binary.Read(in.r, binary.LittleEndian, v); err != nil {
		return fmt.Errorf("%w: %w", ErrSnapshot, err)
	}
	return nil
}

func (in *restoring) restoreAssets() error {
	for range in.head.Assets {
		var r journal.Asset
		if err := in.read(&r); err != nil {
			return err
		}
		// Nobody has seen this catalogue yet: it may be changed in place.
		if status := createAsset(in.catalogue, &r); status != journal.ControlCreated {
			return fmt.Errorf("%w: asset %v: %s", ErrSnapshot, AssetOf(&r), status.Name(journal.KindAssets))
		}
	}
	return nil
}

func (in *restoring) restoreFreezes() error {
	z := &in.freezes
	for i := range in.head.Freezes {
		var f Freeze
		if err := in.read(&f); err != nil {
			return err
		}
		_, twice := z.byID[f.ID]
		_, lifts := z.lifts[f.UnfreezeID]
		if twice || f.Lifted && lifts || f.Mode < journal.FreezeDebit || f.Mode > journal.FreezeAll {
			return fmt.Errorf("%w: freeze %v has mode %d, or stands there twice", ErrSnapshot, f.ID, f.Mode)
		}
		z.all = append(z.all, f)
		z.byID[f.ID] = int(i)
		if f.Lifted {
			z.lifts[f.UnfreezeID] = int(i)
			continue
		}
		z.active++
		switch f.Selector { // those of accounts are marked once the accounts are read
		case journal.SelectCell:
			z.cell |= f.Mode
		case journal.SelectCode:
			z.codes[f.Code] |= f.Mode
		}
	}
	return nil
}

func (in *restoring) restoreLimits() error {
	for range in.head.Limits {
		var k limitKey
		v := &velocity{}
		if err := errors.Join(in.read(&k), in.read(v)); err != nil {
			return err
		}
		in.limits[k] = v
	}
	for range in.head.LimitRecords {
		var l limitRecord
		if err := in.read(&l); err != nil {
			return err
		}
		in.limitIDs[l.Limit.ID] = l
		in.limitOrder = append(in.limitOrder, l.Limit.ID)
	}
	if len(in.limitIDs) != len(in.limitOrder) {
		return fmt.Errorf("%w: %d limits have %d ids", ErrSnapshot, len(in.limitOrder), len(in.limitIDs))
	}
	return nil
}

func (in *restoring) restoreAccounts() error {
	last := uint64(0)
	for n := uint32(1); uint64(n) <= in.head.Accounts; n++ {
		in.accounts.grow(n)
		a := in.accounts.at(n)
		if _, err := io.ReadFull(in.r, rawBytes(a)); err != nil {
			return fmt.Errorf("%w: account %d: %w", ErrSnapshot, n, err)
		}
		_, took := in.moves.span(n)
		if a.ID.IsZero() || a.ID.IsMax() || a.Asset == 0 || a.Flags&^(journal.AccountFlagsKnown|journal.AccountMoved|journal.AccountTransit|journal.AccountAttached) != 0 ||
			!took && (a.Timestamp <= last || a.Timestamp > in.lastAcct) {
			return fmt.Errorf("%w: account %d has id %v, asset %d, flags %#x, timestamp %d", ErrSnapshot, n, a.ID, a.Asset, a.Flags, a.Timestamp)
		}
		if a.Flags.Has(journal.AccountMoved) && BalancesOf(a) != (Balances{}) {
			return fmt.Errorf("%w: account %v is another cell's, and has balances", ErrSnapshot, a.ID)
		}
		a.Reserved = 0 // marks are made anew
		in.joinGroup(a)
		if !took {
			last = a.Timestamp
		}
		in.countRestored(a)
		in.nAccounts = n
	}
	return in.numberAccounts()
}

// numberAccounts enters the accounts' ids, some at a time, so that the memory reads of one sweep overlap.
func (in *restoring) numberAccounts() error {
	in.accountNo = newTable(in.alloc, int(in.nAccounts))
	var hashes [lookAhead]uint64
	for done := uint32(0); done < in.nAccounts; {
		part, first := hashes[:min(lookAhead, in.nAccounts-done)], done+1
		for i := range part {
			done++
			part[i] = in.hasher.hash(in.accounts.at(done).ID)
			in.sink += in.accountNo.touch(part[i])
		}
		for i, hash := range part {
			n := first + uint32(i)
			a := in.accounts.at(n)
			if in.rowByHash(a.ID, hash) != 0 || !in.accountNo.room(hash) {
				return fmt.Errorf("%w: account %v stands there twice, or its hash with too many others", ErrSnapshot, a.ID)
			}
			in.accountNo.insert(hash, uint64(n))
		}
	}
	return nil
}

func (in *restoring) restorePendings() error {
	for range in.head.Pendings {
		n := in.pendings.take()
		p := in.pendings.slab.at(n)
		if _, err := io.ReadFull(in.r, rawBytes(p)); err != nil {
			return fmt.Errorf("%w: reservation %d: %w", ErrSnapshot, n, err)
		}
		if !in.plausible(p) {
			return fmt.Errorf("%w: reservation %v is of accounts %d and %d, %v of %v is left", ErrSnapshot, p.id, p.debit, p.credit, p.remaining, p.amount)
		}
		hash := in.hasher.hash(p.id)
		if in.pendings.find(p.id, hash) != 0 || !in.pendings.byID.room(hash) {
			return fmt.Errorf("%w: reservation %v stands there twice, or its hash with too many others", ErrSnapshot, p.id)
		}
		in.pendings.byID.insert(hash, uint64(n))
		in.placed(p)
		in.countOpen(p, 1)
		if p.expires != 0 {
			in.expiries.push(expiry{p.expires, p.position, n})
		}
	}
	return nil
}

// checkTransits checks that each open marker that commits has a transfer that is pending, or an end; and no other
// reservation has an end.
func (in *restoring) checkTransits() error {
	markers, ended := map[journal.Position]*pending{}, 0
	for n := uint32(1); n <= in.pendings.top; n++ {
		p := in.pendings.slab.at(n)
		if p.flags&(transitFlags|journal.TransferLinked) == transitFlags|journal.TransferLinked && in.own(p.debit) {
			markers[p.position] = p
		}
	}
	for n := uint32(1); n <= in.pendings.top; n++ {
		if p := in.pendings.slab.at(n); p.flags&transitFlags == journal.TransferTransit {
			if _, over := in.transits.ended[p.position-1]; over || markers[p.position-1] == nil {
				return fmt.Errorf("%w: transfer %v is pending across cells, and has no marker that says so", ErrSnapshot, p.id)
			}
			delete(markers, p.position-1)
		}
	}
	for at, p := range markers {
		posted, ok := in.transits.ended[at]
		if !ok || p.amount.Less(posted) {
			return fmt.Errorf("%w: marker %v of %v has a transfer that ended with %v", ErrSnapshot, p.id, p.amount, posted)
		}
		ended++
	}
	if ended != len(in.transits.ended) {
		return fmt.Errorf("%w: %d transfers across cells ended, %d markers say so", ErrSnapshot, len(in.transits.ended), ended)
	}
	return nil
}

func (in *restoring) plausible(p *pending) bool {
	known := func(n uint32) bool { return n > 0 && n <= in.nAccounts && in.accounts.at(n).Asset == p.asset }
	late := p.expires - p.timestamp
	return known(p.debit) && known(p.credit) && p.debit != p.credit && p.position.Seq() > 0 && p.position.Seq() <= in.head.Seq &&
		p.flags.Has(journal.TransferPending) && !p.amount.Less(p.remaining) && (p.timestamp <= in.lastXfer || len(in.moves.buckets) > 0) &&
		(p.expires == 0 || p.expires > p.timestamp && late%second == 0 && late/second <= uint64(journal.MaxTimeout) && p.expires <= journal.MaxTimestamp)
}

func (in *restoring) restoreIDs() error {
	in.ids = newTable(in.gens.pool.alloc, int(min(in.head.IDs, restoreAtOnce)))
	var b [16]byte
	for {
		if _, err := io.ReadFull(in.r, b[:]); err != nil {
			return fmt.Errorf("%w: ids: %w", ErrSnapshot, err)
		}
		hash, value := binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		if value == 0 {
			break
		}
		seq := journal.Position(value >> 2).Seq()
		if seq == 0 || seq > in.head.Seq || seq <= in.gens.through && value&3 == stillOpen || !in.ids.room(hash) {
			return fmt.Errorf("%w: an id of block %d, or its hash with too many others", ErrSnapshot, seq)
		}
		in.restoreID(hash, value)
	}
	if _, err := io.ReadFull(in.r, b[:8]); err != nil || binary.LittleEndian.Uint64(b[:]) != endOfSnapshot {
		return fmt.Errorf("%w: it does not end where it should", ErrSnapshot)
	}
	if err := in.reopenIDs(); err != nil {
		return err
	}
	if uint64(in.ids.n) != in.head.IDs { //nolint:gosec // a count
		return fmt.Errorf("%w: it has %d ids, its head says %d", ErrSnapshot, in.ids.n, in.head.IDs)
	}
	return nil
}

// restoreID enters an id. One that stands there twice was copied again after its segment had split; its reservation
// may have ended in between.
func (in *restoring) restoreID(hash, value uint64) {
	seg := in.ids.segment(hash)
	for p, v := seg.find(hash, 0); p >= 0; p, v = seg.find(hash, p+1) {
		if v>>2 == value>>2 {
			in.ids.replace(hash, v, v|value)
			return
		}
	}
	in.ids.insert(hash, value)
}

// reopenIDs puts back what the ids may say too early: that reservations ended which were open at the snapshot. Those of
// settled generations have no entry then.
func (in *restoring) reopenIDs() error {
	for n := uint32(1); n <= in.pendings.top; n++ {
		p := in.pendings.slab.at(n)
		hash := in.hasher.hash(p.id)
		seg := in.ids.segment(hash)
		at, v := seg.find(hash, 0)
		for at >= 0 && journal.Position(v>>2) != p.position {
			at, v = seg.find(hash, at+1)
		}
		if p.position.Seq() <= in.gens.through {
			if at >= 0 {
				in.ids.remove(hash, v)
			}
			continue
		}
		if at < 0 {
			return fmt.Errorf("%w: the reservation at block %d is not among the ids", ErrSnapshot, p.position.Seq())
		}
		in.ids.replace(hash, v, uint64(p.position)<<2)
	}
	return nil
}

// markAccounts marks the accounts that freezes and limits name.
func (in *restoring) markAccounts() error {
	for i := range in.freezes.all {
		f := &in.freezes.all[i]
		if f.Selector != journal.SelectAccount {
			continue
		}
		n := in.row(f.Account)
		if n == 0 {
			return fmt.Errorf("%w: freeze %v is of account %v, which is not there", ErrSnapshot, f.ID, f.Account)
		}
		if !f.Lifted && !in.accounts.at(n).Flags.Has(journal.AccountMoved) {
			in.accounts.at(n).Reserved |= frozenMarks(f.Mode)
		}
	}
	for k := range in.limits {
		if k.Account == 0 || k.Account > in.nAccounts || k.Side != journal.FreezeDebit && k.Side != journal.FreezeCredit {
			return fmt.Errorf("%w: a limit of account %d, side %d", ErrSnapshot, k.Account, k.Side)
		}
		in.accounts.at(k.Account).Reserved |= pickMark(k.Side)
	}
	return nil
}

// checkBalances checks that the accounts' pending sums are what is reserved, and that debits equal credits.
func (in *restoring) checkBalances() error {
	type sides struct{ debits, credits money.U128 }
	reserved := make([]sides, in.nAccounts+1)
	over := false
	plus := func(sum *money.U128, v money.U128) {
		s, o := sum.Add(v)
		*sum, over = s, over || o
	}
	for n := uint32(1); n <= in.pendings.top; n++ {
		p := in.pendings.slab.at(n)
		plus(&reserved[p.debit].debits, p.remaining)
		plus(&reserved[p.credit].credits, p.remaining)
	}
	type difference struct{ lo, mid, hi uint64 } // debits - credits, of 192 bits
	posted := map[uint32]*difference{}
	for n := uint32(1); n <= in.nAccounts; n++ {
		a := in.accounts.at(n)
		if a.DebitsPending != reserved[n].debits || a.CreditsPending != reserved[n].credits || over {
			return fmt.Errorf("%w: account %v has %v and %v pending, reserved are %v and %v", ErrSnapshot, a.ID, a.DebitsPending,
				a.CreditsPending, reserved[n].debits, reserved[n].credits)
		}
		_, overDebits := a.DebitsPending.Add(a.DebitsPosted)
		_, overCredits := a.CreditsPending.Add(a.CreditsPosted)
		if overDebits || overCredits {
			return fmt.Errorf("%w: the sums of account %v are beyond 2^128 - 1", ErrSnapshot, a.ID)
		}
		d := posted[a.Asset]
		if d == nil {
			d = &difference{}
			posted[a.Asset] = d
		}
		var c uint64
		d.lo, c = bits.Add64(d.lo, a.DebitsPosted.Lo, 0)
		d.mid, c = bits.Add64(d.mid, a.DebitsPosted.Hi, c)
		d.hi += c
		d.lo, c = bits.Sub64(d.lo, a.CreditsPosted.Lo, 0)
		d.mid, c = bits.Sub64(d.mid, a.CreditsPosted.Hi, c)
		d.hi -= c
	}
	for asset, d := range posted {
		if *d != (difference{}) {
			return fmt.Errorf("%w: debits and credits of asset %d differ", ErrSnapshot, asset)
		}
	}
	return nil
}
