package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// belongings are what an account takes along beyond its address and its metadata: the payload of what is attached to
// its handover.
type belongings struct {
	head    belongingsHead
	limits  []velocity    // in force, at most one of each side
	records []limitRecord // of all limits that were ever set, in that order
	freezes []Freeze      // of the account, in the order of creation
}

type belongingsHead struct {
	Account journal.Account // as it was, without reservations
	Asset   money.U128      // code of its asset, padded with zeros, little-endian
	Scale   uint8
	Digest  [16]byte // of what was attached when it was created; zero for nothing

	Limits, Records, Freezes uint32
}

// MaxGiven is how many bytes the ledger attaches to a request that gives accounts. Those beyond it are refused with
// ControlTooMuchAttached, and go with the next request.
const MaxGiven = journal.MaxTrial

var errBelongings = errors.New("malformed payload of a handover")

func (g *belongings) append(b []byte) []byte {
	put := func(v any) { b = must1(binary.Append(b, binary.LittleEndian, v)) }
	g.head.Limits, g.head.Records, g.head.Freezes = uint32(len(g.limits)), uint32(len(g.records)), uint32(len(g.freezes)) //nolint:gosec // few
	put(&g.head)
	put(g.limits)
	put(g.records)
	put(g.freezes)
	return b
}

// readBelongings reads a payload, and bounds it by its length.
func readBelongings(b []byte) (g belongings, err error) {
	rest := b
	get := func(v any) {
		if err == nil {
			var n int
			if n, err = binary.Decode(rest, binary.LittleEndian, v); err == nil {
				rest = rest[n:]
			}
		}
	}
	get(&g.head)
	h := &g.head
	size := uint64(h.Limits)*uint64(binary.Size(velocity{})) + uint64(h.Records)*uint64(binary.Size(limitRecord{})) + //nolint:gosec // sizes
		uint64(h.Freezes)*uint64(binary.Size(Freeze{})) //nolint:gosec // a size
	if err != nil || h.Limits > 2 || size != uint64(len(rest)) {
		return g, fmt.Errorf("%w: %d bytes", errBelongings, len(b))
	}
	g.limits, g.records, g.freezes = make([]velocity, h.Limits), make([]limitRecord, h.Records), make([]Freeze, h.Freezes)
	get(g.limits)
	get(g.records)
	get(g.freezes)
	if err != nil || !bytes.Equal(g.append(make([]byte, 0, len(b))), b) { // bytes that no field has
		return g, fmt.Errorf("%w: it is not in its canonical form", errBelongings)
	}
	return g, g.check()
}

func (g *belongings) check() error {
	a := &g.head.Account
	ok := a.Flags&^(journal.AccountFlagsKnown|journal.AccountTransit|journal.AccountAttached) == 0 && a.Reserved == 0 &&
		a.DebitsPending.IsZero() && a.CreditsPending.IsZero() && a.Code != 0 && a.Timestamp != 0 && a.Timestamp <= journal.MaxTimestamp &&
		!a.ID.IsZero() && !a.ID.IsMax() && !stays(a) &&
		(a.Flags.Has(journal.AccountAttached) || g.head.Digest == [16]byte{})
	for i := range g.limits {
		l := &g.limits[i].Limit
		ok = ok && l.Account == a.ID && (l.Side == journal.FreezeDebit || l.Side == journal.FreezeCredit) && (i == 0 || l.Side != g.limits[0].Limit.Side)
	}
	for i := range g.records {
		ok = ok && g.records[i].Limit.Account == a.ID
	}
	for i := range g.freezes {
		f := &g.freezes[i]
		ok = ok && f.Selector == journal.SelectAccount && f.Account == a.ID && f.Mode >= journal.FreezeDebit && f.Mode <= journal.FreezeAll
	}
	if !ok {
		return fmt.Errorf("%w: account %v, or what it has", errBelongings, a.ID)
	}
	return nil
}

// checkTake checks the envelope of a request that takes accounts.
func checkTake(events []byte, attached []journal.Attachment) error {
	list := journal.View[journal.Handover](events)
	if len(attached) != len(list) {
		return fmt.Errorf("%w: %d handovers with %d attachments", ErrRequest, len(list), len(attached))
	}
	for i := range list {
		d, err := journal.DecodeDetails(attached[i].Data)
		if err != nil {
			return fmt.Errorf("%w: handover %d: %w", ErrRequest, i, err)
		}
		g, err := readBelongings(d.Payload)
		if err != nil {
			return fmt.Errorf("%w: handover %d: %w", ErrRequest, i, err)
		}
		if g.head.Account.ID != list[i].Account || list[i].Flags != journal.TransferAttached {
			return fmt.Errorf("%w: handover %d is of account %v, its payload of %v", ErrRequest, i, list[i].Account, g.head.Account.ID)
		}
	}
	return nil
}

// give takes accounts out of the ledger.
func (s *State) give(events []journal.Handover, first int, results []journal.Result) {
	var records map[money.U128][]limitRecord // looked through once for all accounts, and only where one has a limit
	room := MaxGiven
	for i := range events {
		h, status := &events[i], journal.ControlMoveInvalid
		if h.Flags == 0 {
			if n := s.row(h.Account); records == nil && n != 0 && s.accounts.at(n).Reserved&(markLimitDebit|markLimitCredit) != 0 {
				records = s.limitsByAccount()
			}
			status = s.giveAccount(h, first+i, records[h.Account], &room)
		}
		results[i] = journal.Result{Status: status, Timestamp: s.eventTime(first + i)}
	}
}

func (s *State) limitsByAccount() map[money.U128][]limitRecord {
	by := map[money.U128][]limitRecord{}
	for _, id := range s.limitOrder {
		r := s.limitIDs[id]
		by[r.Limit.Account] = append(by[r.Limit.Account], r)
	}
	return by
}

// giving returns the bucket that an id is in if the handover is of its move, and it is being given.
func (s *State) giving(id money.U128, h *journal.Handover) *BucketState {
	if b := s.moves.buckets[journal.Bucket(id)]; b != nil && b.Move == h.Move && (b.Phase == Closing || b.Phase == Given || b.Phase == Gone) {
		return b
	}
	return nil
}

func (s *State) giveAccount(h *journal.Handover, event int, records []limitRecord, room *int) journal.Status {
	b := s.giving(h.Account, h)
	if b == nil {
		return journal.ControlMoveNotOpen
	}
	n := s.row(h.Account)
	if n == 0 {
		return journal.ControlAccountNotFound
	}
	a, clearing := s.accounts.at(n), s.clearing(h, s.accounts.at(n).Asset)
	switch {
	case a.Flags.Has(journal.AccountMoved):
		return journal.ControlExists
	case stays(a):
		return journal.ControlMoveInvalid
	case !a.DebitsPending.IsZero() || !a.CreditsPending.IsZero() || s.transits.held[n] > 0:
		return journal.ControlReservationsLeft
	case clearing == 0:
		return journal.ControlClearingNotFound
	case !s.hasRoom(clearing, a.DebitsPosted, a.CreditsPosted):
		return journal.ControlOverflows
	}
	attached, ok := s.packed(n, records)
	if !ok || len(attached) > *room {
		return journal.ControlTooMuchAttached
	}
	*room -= len(attached)
	s.builder.Attach(event, attached)
	b.count(accountDigest(h.Account, attached), 1, 0)
	debits, credits := a.DebitsPosted, a.CreditsPosted
	s.clear(n, clearing, credits, debits)
	s.fx.HandedOver(event, n, clearing, debits, credits, false)
	kept := s.edit(n)
	kept.DebitsPosted, kept.CreditsPosted = money.U128{}, money.U128{}
	s.leave(n, kept)
	s.mix(n, kept)
	s.changed = true
	return journal.ControlCreated
}

// clearing returns the number of the cell's own account that the handover names, 0 where it can't be one.
func (s *State) clearing(h *journal.Handover, asset uint32) uint32 {
	n := s.number(h.Clearing)
	if n == 0 || !stays(s.accounts.at(n)) || s.accounts.at(n).Asset != asset {
		return 0
	}
	return n
}

// hasRoom reports whether account n can be posted so much.
func (s *State) hasRoom(n uint32, debits, credits money.U128) bool {
	a := s.accounts.at(n)
	return !overflows(debits, a.DebitsPosted, a.DebitsPending) && !overflows(credits, a.CreditsPosted, a.CreditsPending)
}

// clear posts to the clearing account what account n leaves or brings, and books it as the postings that it amounts to:
// debits and credits of the account, and their mirror on the clearing account.
func (s *State) clear(n, clearing uint32, debits, credits money.U128) {
	y := s.edit(clearing)
	y.DebitsPosted, y.CreditsPosted = add(y.DebitsPosted, credits), add(y.CreditsPosted, debits)
	s.books.date = max(s.dayOf(s.time), s.books.firstOpen())
	a := s.accounts.at(n)
	s.book(a, y, debits)
	s.book(y, a, credits)
	s.mix(clearing, y)
}

// packed returns what is attached to the handover of account n. Not ok means it is too much.
func (s *State) packed(n uint32, records []limitRecord) (data []byte, ok bool) {
	a := s.AccountByNumber(n)
	g := belongings{head: belongingsHead{Account: a}, records: records}
	g.head.Asset, g.head.Scale = s.assetCode(a.Asset)
	for _, side := range [2]journal.FreezeMode{journal.FreezeDebit, journal.FreezeCredit} {
		if v := s.limits[limitKey{n, side}]; v != nil {
			g.limits = append(g.limits, *v)
		}
	}
	for i := range s.freezes.all {
		if f := &s.freezes.all[i]; f.Selector == journal.SelectAccount && f.Account == a.ID {
			g.freezes = append(g.freezes, *f)
		}
	}
	var d journal.Details
	if own := s.detailOf(n); own != nil && own.position != 0 {
		g.head.Digest = own.digest
		d = decoded(s.fact(own.position).Attachment)
		d.Address = s.addresses.text(own.address)
	}
	d.Payload = g.append(nil)
	if len(d.Payload) > journal.MaxPayload {
		return nil, false
	}
	return d.Append(nil), true
}

// leave makes account n one of another cell.
func (s *State) leave(n uint32, a *journal.Account) {
	if d := s.detailOf(n); d != nil && d.address != 0 {
		s.addressNo.remove(s.hasher.text(s.addresses.text(d.address)), uint64(n))
	}
	delete(s.limits, limitKey{n, journal.FreezeDebit})
	delete(s.limits, limitKey{n, journal.FreezeCredit})
	s.countAccount(a, ^uint64(0))
	a.Flags |= journal.AccountMoved
	a.Reserved &^= markFrozenDebit | markFrozenCredit | markLimitDebit | markLimitCredit
	s.moves.gone++
}

// take brings accounts into the ledger.
func (s *State) take(events []journal.Handover, first int, results []journal.Result) {
	for i := range events {
		results[i] = journal.Result{Status: s.takeAccount(&events[i], first+i), Timestamp: s.eventTime(first + i)}
	}
}

func (s *State) takeAccount(h *journal.Handover, event int) journal.Status {
	data := s.builder.Attachment(event)
	d := decoded(data)
	g, err := readBelongings(d.Payload)
	if err != nil {
		panic("ledger: a handover that was not checked: " + err.Error())
	}
	b := s.moves.buckets[journal.Bucket(h.Account)]
	if b == nil || b.Move != h.Move || b.Phase != Arriving && b.Phase != Settled {
		return journal.ControlMoveNotOpen
	}
	a := &g.head.Account
	n, clearing := s.row(h.Account), s.clearing(h, a.Asset)
	switch {
	case n != 0 && !s.accounts.at(n).Flags.Has(journal.AccountMoved):
		return journal.ControlExists // the bucket was empty when the move began
	case b.Phase != Arriving:
		return journal.ControlMoveNotOpen
	case clearing == 0:
		return journal.ControlClearingNotFound
	case !s.sameAsset(&g.head):
		return journal.ControlAssetInvalid
	case !s.hasRoom(clearing, a.CreditsPosted, a.DebitsPosted):
		return journal.ControlOverflows
	case d.Address != "" && s.ByAddress(d.Address) != 0, !s.agrees(&g):
		return journal.ControlExistsWithDifferentFields
	}
	n = s.settleIn(n, a, event)
	s.clear(n, clearing, a.DebitsPosted, a.CreditsPosted)
	s.fx.HandedOver(event, n, clearing, a.DebitsPosted, a.CreditsPosted, true)
	s.bring(n, &g, d.Address, event)
	s.mix(n, s.accounts.at(n))
	s.changed = true
	b.count(accountDigest(h.Account, data), 1, 0)
	return journal.ControlCreated
}

// assetCode returns the code of an asset, as it stands in its record, and its scale; zeros where it was never registered.
func (s *State) assetCode(n uint32) (code money.U128, scale uint8) {
	if n == 0 || int(n) > s.catalogue.Len() {
		return code, 0
	}
	r := AssetRecord(s.catalogue.byNumber[n-1])
	return money.LE(r.Code[:]), r.Scale
}

// sameAsset reports whether the account's asset has the same number here.
func (s *State) sameAsset(h *belongingsHead) bool {
	code, scale := s.assetCode(h.Account.Asset)
	return h.Account.Asset != 0 && code == h.Asset && scale == h.Scale
}

// agrees reports whether this cell knows nothing else by the ids of the account's limits and freezes.
func (s *State) agrees(g *belongings) bool {
	for i := range g.records {
		if r, ok := s.limitIDs[g.records[i].Limit.ID]; ok && r != g.records[i] {
			return false
		}
	}
	for i := range g.freezes {
		f := &g.freezes[i]
		k, ok := s.freezes.byID[f.ID]
		if ok {
			e := &s.freezes.all[k]
			if e.Freeze != f.Freeze || e.Actor != f.Actor || e.Timestamp != f.Timestamp || e.Lifted && *e != *f {
				return false
			}
		}
		if was, lifts := s.freezes.lifts[f.UnfreezeID]; f.Lifted && lifts && (!ok || was != k) {
			return false
		}
		if _, lifts := s.freezes.lifts[f.ID]; lifts {
			return false
		}
	}
	return true
}

// settleIn gives an account that arrives its place: the one it had if it comes back.
func (s *State) settleIn(n uint32, a *journal.Account, event int) uint32 {
	if n != 0 {
		s.moves.gone--
		s.fx.Changed = append(s.fx.Changed, AccountEffect{uint32(event), n}) //nolint:gosec // ≤ MaxEvents
	} else {
		s.nAccounts++
		n = s.nAccounts
		s.accounts.grow(n)
		s.accountNo.insert(s.hasher.hash(a.ID), uint64(n))
		s.moves.noteTaken(n)
		s.fx.Accounts = append(s.fx.Accounts, AccountEffect{uint32(event), n}) //nolint:gosec // ≤ MaxEvents
	}
	kept := s.edit(n)
	*kept = *a
	s.joinGroup(kept)
	s.countAccount(kept, 1)
	return n
}

// bring gives account n all that it has.
func (s *State) bring(n uint32, g *belongings, address string, event int) {
	kept := s.edit(n)
	if kept.Flags.Has(journal.AccountAttached) {
		s.details.grow(n)
		d := s.details.at(n)
		if s.snapshot != nil {
			s.snapshot.keepDetail(n, d)
		}
		*d = detail{position: s.position(event), digest: g.head.Digest}
		if address != "" {
			d.address = s.addresses.add(address)
			s.addressNo.insert(s.hasher.text(address), uint64(n))
		}
	}
	for i := range g.limits {
		v := &g.limits[i]
		s.limits[limitKey{n, v.Limit.Side}] = v
		kept.Reserved |= pickMark(v.Limit.Side)
	}
	for i := range g.records {
		if r := &g.records[i]; s.limitIDs[r.Limit.ID] == (limitRecord{}) {
			s.limitIDs[r.Limit.ID] = *r
			s.limitOrder = append(s.limitOrder, r.Limit.ID)
		}
	}
	for i := range g.freezes {
		s.bringFreeze(&g.freezes[i])
	}
}

func (s *State) bringFreeze(f *Freeze) {
	k, known := s.freezes.byID[f.ID]
	if !known {
		k = len(s.freezes.all)
		s.freezes.byID[f.ID] = k
		s.freezes.all = append(s.freezes.all, Freeze{})
	}
	s.freezes.all[k] = *f
	if f.Lifted {
		s.freezes.lifts[f.UnfreezeID] = k
	}
	s.enforceFreezes(&f.Freeze)
}
