package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// keepDetail sets aside the details of an account that are about to change.
func (sn *Snapshot) keepDetail(n uint32, d *detail) {
	if n < sn.nextDetail || n > sn.accounts {
		return
	}
	if _, kept := sn.keptDetails[n]; !kept {
		sn.keptDetails[n] = *d
	}
}

// detail appends the details of account n, if it has any; beyond the last account it appends the end of the list.
func (sn *Snapshot) detail(n uint32, dst []byte) []byte {
	if n > sn.accounts {
		return binary.LittleEndian.AppendUint32(dst, 0)
	}
	d, kept := sn.keptDetails[n]
	if kept {
		delete(sn.keptDetails, n)
	} else if now := sn.s.detailOf(n); now != nil {
		d = *now
	}
	if d.position == 0 {
		return dst
	}
	address := sn.s.addresses.text(d.address)
	dst = binary.LittleEndian.AppendUint32(dst, n)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(d.position))
	dst = append(dst, d.digest[:]...)
	return append(append(dst, byte(len(address))), address...) //nolint:gosec // ≤ MaxAddress
}

func (in *restoring) restoreDetails() error {
	var fixed [4 + 8 + 16 + 1]byte
	for last := uint32(0); ; {
		if _, err := io.ReadFull(in.r, fixed[:4]); err != nil {
			return fmt.Errorf("%w: details: %w", ErrSnapshot, err)
		}
		n := binary.LittleEndian.Uint32(fixed[:])
		if n == 0 {
			return nil
		}
		if _, err := io.ReadFull(in.r, fixed[4:]); err != nil {
			return fmt.Errorf("%w: details of account %d: %w", ErrSnapshot, n, err)
		}
		address := make([]byte, fixed[28])
		if _, err := io.ReadFull(in.r, address); err != nil {
			return fmt.Errorf("%w: address of account %d: %w", ErrSnapshot, n, err)
		}
		position := journal.Position(binary.LittleEndian.Uint64(fixed[4:]))
		if n <= last || n > in.nAccounts || position.Seq() == 0 || position.Seq() > in.head.Seq {
			return fmt.Errorf("%w: details of account %d, at block %d", ErrSnapshot, n, position.Seq())
		}
		last = n
		in.details.grow(n)
		d := in.details.at(n)
		*d = detail{position: position, digest: [16]byte(fixed[12:28])}
		if len(address) == 0 {
			continue
		}
		if err := journal.CheckAddress(string(address)); err != nil || in.ByAddress(string(address)) != 0 {
			return fmt.Errorf("%w: account %d has address %q, which is malformed or another's", ErrSnapshot, n, address)
		}
		hash := in.hasher.text(string(address))
		if !in.addressNo.room(hash) {
			return fmt.Errorf("%w: the address of account %d shares its hash with too many others", ErrSnapshot, n)
		}
		d.address = in.addresses.add(string(address))
		in.addressNo.insert(hash, uint64(n))
	}
}

// The fixed parts of what appendBooks writes.
type (
	booksHead struct {
		Through, Days, Late, Closes              uint32
		Policies, Principals, Erasures, Proposed uint32
		Policy                                   Policy
	}
	dayRow struct {
		Date journal.Date
		Group
		_     uint16
		Sides Sides
	}
	proposalRow struct {
		journal.Proposal
		Actor         journal.Actor
		Timestamp     uint64
		Position      journal.Position
		Verdict       journal.Verdict
		DecisionID    money.U128
		DecidedBy     journal.Actor
		DecidedAt     uint64
		DecidedReason [64]byte
		Digest        [16]byte
		Payload       uint32 // bytes that follow
	}
	endedRow struct {
		Marker journal.Position
		Posted money.U128
	}
	principalRow struct {
		journal.Principal
		Actor     journal.Actor
		Timestamp uint64
		Scope     uint32 // bytes that follow
	}
)

// appendBooks encodes the books, policies, principals, erasures and proposals, and how transfers across cells ended.
func (s *State) appendBooks(b []byte) []byte {
	put := func(v any) { b = must1(binary.Append(b, binary.LittleEndian, v)) }
	days, late := s.books.rows(s.books.days), s.books.rows(s.books.late)
	put(&booksHead{
		Through: uint32(s.books.through), Days: uint32(len(days)), Late: uint32(len(late)), Closes: uint32(len(s.books.closes)), //nolint:gosec // counts
		Policies: uint32(len(s.controls.policies)), Principals: uint32(len(s.controls.principals)), //nolint:gosec // counts
		Erasures: uint32(len(s.controls.erasures)), Proposed: uint32(len(s.proposals.all)), //nolint:gosec // counts
		Policy: s.policy,
	})
	put(days)
	put(late)
	put(s.books.closes)
	for _, id := range slices.SortedFunc(maps.Keys(s.controls.policies), money.U128.Cmp) {
		put(new(s.controls.policies[id]))
	}
	for _, p := range s.Principals() {
		put(&principalRow{p.Principal, p.Actor, p.Timestamp, uint32(len(p.Scope))}) //nolint:gosec // ≤ MaxDetails
		b = append(b, p.Scope...)
	}
	put(s.controls.erasures)
	for _, p := range s.proposals.all {
		put(&proposalRow{
			p.Proposal, p.Actor, p.Timestamp, p.Position, p.Verdict, p.DecisionID, p.DecidedBy, p.DecidedAt, p.DecidedReason,
			p.digest, uint32(len(p.Payload)), //nolint:gosec // ≤ MaxPayload
		})
		b = append(b, p.Payload...)
	}
	put(uint32(len(s.transits.ended))) //nolint:gosec // a count
	for _, p := range slices.Sorted(maps.Keys(s.transits.ended)) {
		put(&endedRow{p, s.transits.ended[p]})
	}
	return b
}

// rows returns the sums of days in a fixed order, without zeros.
func (b *books) rows(days map[journal.Date]*daySums) (list []dayRow) {
	for _, date := range slices.Sorted(maps.Keys(days)) {
		for i, v := range *days[date] {
			if v != (Sides{}) {
				list = append(list, dayRow{Date: date, Group: b.groups[i], Sides: v})
			}
		}
	}
	return list
}

// restoreBooks comes before the accounts: the groups get numbers of their own here, and the accounts find them.
func (in *restoring) restoreBooks() error {
	if in.head.Books > 1<<31 {
		return fmt.Errorf("%w: books of %d bytes", ErrSnapshot, in.head.Books)
	}
	var raw bytes.Buffer
	if _, err := io.CopyN(&raw, in.r, int64(in.head.Books)); err != nil {
		return fmt.Errorf("%w: books: %w", ErrSnapshot, err)
	}
	r := &booksReader{in: in, r: bytes.NewReader(raw.Bytes())}
	var h booksHead
	r.get(&h)
	in.books.through, in.policy = journal.Date(h.Through), h.Policy
	r.each(h.Days, func() { r.day(in.books.days) })
	r.each(h.Late, func() { r.day(in.books.late) })
	r.each(h.Closes, r.close)
	r.each(h.Policies, r.policy)
	r.each(h.Principals, r.principal)
	r.each(h.Erasures, r.erasure)
	r.each(h.Proposed, r.proposal)
	if in.head.Version > 2 {
		var ended uint32
		r.get(&ended)
		r.each(ended, r.ended)
	}
	if r.err == nil && r.r.Len() > 0 {
		r.err = fmt.Errorf("%d bytes too many", r.r.Len())
	}
	if r.err != nil {
		return fmt.Errorf("%w: books: %w", ErrSnapshot, r.err)
	}
	return nil
}

// booksReader reads what appendBooks wrote; after the first error it does nothing.
type booksReader struct {
	in  *restoring
	r   *bytes.Reader
	err error
}

func (r *booksReader) get(v any) {
	if r.err == nil {
		r.err = binary.Read(r.r, binary.LittleEndian, v)
	}
}

func (r *booksReader) each(n uint32, read func()) {
	for range n {
		if read(); r.err != nil {
			return
		}
	}
}

func (r *booksReader) bytes(n uint32, most int) []byte {
	if r.err == nil && (int(n) > most || int(n) > r.r.Len()) {
		r.err = fmt.Errorf("%d bytes of at most %d", n, most)
	}
	if r.err != nil || n == 0 {
		return nil
	}
	b := make([]byte, n)
	_, r.err = io.ReadFull(r.r, b)
	return b
}

func (r *booksReader) day(days map[journal.Date]*daySums) {
	var row dayRow
	if r.get(&row); r.err != nil {
		return
	}
	if row.Asset == 0 || row.Code == 0 || row.Date > journal.MaxDate {
		r.err = fmt.Errorf("a row of day %d, asset %d, code %d", row.Date, row.Asset, row.Code)
		return
	}
	a := journal.Account{Asset: row.Asset, Code: row.Code}
	r.in.joinGroup(&a)
	k := booking{date: row.Date}
	*k.in(days).group(r.in.groupOf(&a)) = row.Sides
}

func (r *booksReader) close() {
	var c Close
	if r.get(&c); r.err != nil {
		return
	}
	if _, twice := r.in.books.byID[c.ID]; twice {
		r.err = fmt.Errorf("close %v stands there twice", c.ID)
		return
	}
	r.in.books.byID[c.ID] = len(r.in.books.closes)
	r.in.books.closes = append(r.in.books.closes, c)
}

func (r *booksReader) policy() {
	var p Policy
	if r.get(&p); r.err == nil {
		r.in.controls.policies[p.ID] = p
	}
}

func (r *booksReader) principal() {
	var row principalRow
	r.get(&row)
	scope := r.bytes(row.Scope, journal.MaxDetails)
	if r.err != nil {
		return
	}
	if row.Role > lastRole {
		r.err = fmt.Errorf("a principal of role %d", row.Role)
		return
	}
	r.in.controls.principals[row.Token] = &Principal{row.Principal, scope, row.Actor, row.Timestamp}
}

func (r *booksReader) erasure() {
	var e Erasure
	if r.get(&e); r.err != nil {
		return
	}
	r.in.controls.erased[e.Subject] = len(r.in.controls.erasures)
	r.in.controls.erasures = append(r.in.controls.erasures, e)
}

func (r *booksReader) proposal() {
	var row proposalRow
	r.get(&row)
	payload := r.bytes(row.Payload, journal.MaxPayload)
	if r.err != nil {
		return
	}
	p := &Proposal{
		Proposal: row.Proposal, Actor: row.Actor, Timestamp: row.Timestamp, Position: row.Position, Payload: payload,
		Verdict: row.Verdict, DecisionID: row.DecisionID, DecidedBy: row.DecidedBy, DecidedAt: row.DecidedAt,
		DecidedReason: row.DecidedReason, digest: row.Digest,
	}
	z := &r.in.proposals
	if _, twice := z.byID[p.ID]; twice || p.Verdict > journal.Reject || p.Verdict != 0 && payload != nil {
		r.err = fmt.Errorf("proposal %v stands there twice, or its verdict is %d", p.ID, p.Verdict)
		return
	}
	z.all = append(z.all, p)
	z.byID[p.ID] = p
	if p.Verdict != 0 {
		z.decisions[p.DecisionID] = p
	} else if payload != nil {
		z.open++
		z.memory += len(payload)
	}
}

func (r *booksReader) ended() {
	var row endedRow
	if r.get(&row); r.err == nil {
		r.in.transits.ended[row.Marker] = row.Posted
	}
}
