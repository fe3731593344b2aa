package books

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Open is a reservation of a transfer across cells: what is on its way until both cells have done their part.
type Open struct {
	block.Transit // Step: reserve, hold or marker

	ID     count.ID     // of the reservation
	Amount count.Amount // that it holds: nothing, where the transfer was refused
	Whole  count.Amount // of the transfer
	Asset  uint32
	Seq    uint64
	Index  int
	Time   uint64 // ns: when it began
	// Since is when the last thing happened that it may wait for, ns: it ends soon after. 0: it waits for a pending
	// transfer, for as long as that is open.
	Since uint64

	place   uint32
	created bool         // of a marker: so was the transfer
	ended   bool         // and it is no longer pending
	moved   count.Amount // and has moved this
}

// crossings are the open reservations of transfers across cells.
type crossings struct {
	open     map[count.ID]*Open    // by reservation
	markerOf map[count.ID]count.ID // by transfers that were created
	due      heap                  // by Since
	sums     map[sumKey]transitSum
	decided  lately
	marked   lately
	now      block.Transit
}

// lately is a step that the one of the next event rests on.
type lately struct {
	seq   uint64
	event int
	of    *Open
}

func (c *crossings) init() {
	c.open, c.markerOf, c.sums = map[count.ID]*Open{}, map[count.ID]count.ID{}, map[sumKey]transitSum{}
}

// transitSum is what is in transit in one asset, in minor units, and in how many reservations.
type transitSum struct {
	amount count.Amount
	open   uint64
}

// sumKey tells what goes to other cells from what comes from them.
type sumKey struct {
	asset uint32
	in    bool
}

// count adds what a reservation holds to its sum, or takes it off.
func (c *crossings) count(o *Open, opened bool) {
	k := sumKey{o.Asset, o.Step == block.StepHold}
	s := c.sums[k]
	if opened {
		s.amount, s.open = s.amount.AddSat(o.Amount), s.open+1
	} else {
		s.amount, s.open = s.amount.SubSat(o.Amount), s.open-1
	}
	c.sums[k] = s
}

func (c *crossings) add(o *Open) {
	c.open[o.ID] = o
	if o.created {
		c.markerOf[o.Transfer] = o.ID
	}
	c.count(o, true)
}

func (c *crossings) remove(o *Open) {
	delete(c.open, o.ID)
	if c.markerOf[o.Transfer] == o.ID {
		delete(c.markerOf, o.Transfer)
	}
	c.count(o, false)
}

// since sets what a reservation may be open for; its appointment of before, if any, is passed over.
func (m *Model) since(o *Open, at uint64) {
	if o.Since = at; at != 0 {
		m.across.due.push(appointment{at, m.held.list.at(o.place).position, o.place})
	}
}

// Overdue calls f with every open reservation of a transfer across cells that has had nothing to wait for since before,
// ns, or longer; with each once, and once more after a snapshot was restored. f must not keep what it is given.
func (m *Model) Overdue(before uint64, f func(*Open)) {
	due := &m.across.due
	for len(*due) > 0 && (*due)[0].at <= before {
		a := (*due)[0]
		due.pop()
		if !m.held.live(&a) {
			continue
		}
		if o := m.across.open[m.held.list.at(a.place).id]; o != nil && o.Since == a.at {
			f(o)
		}
	}
}

// transitID is the id of a step of the attempt that has a reserve.
func transitID(reserve count.ID, step string) count.ID { return derived(append(reserve[:], step...)) }

// transitAccount is the account in transit of an asset, clearingAccount that with a peer.
func (m *Model) transitAccount(asset uint32) count.ID {
	return derived(m.appendAsset([]byte("sterling in transit"), asset))
}

func (m *Model) clearingAccount(asset uint32, peer uint64) count.ID {
	return derived(binary.LittleEndian.AppendUint64(m.appendAsset([]byte("sterling clearing"), asset), peer))
}

// appendAsset appends an asset's code, padded to 16 bytes, and its scale.
func (m *Model) appendAsset(b []byte, number uint32) []byte {
	name, scale, _ := strings.Cut(m.AssetName(number), "/")
	var code [17]byte
	copy(code[:16], name)
	n, _ := strconv.ParseUint(scale, 10, 8) // of the model's own making
	code[16] = byte(n)
	return append(b, code[:]...)
}

// derived is the first half of a hash.
func derived(text []byte) count.ID {
	sum := sha256.Sum256(text)
	id := count.ID(sum[:16])
	copy(id[12:], "\xff\xff\xff\xff") // ids that are the ledger's own
	if id.Amount() == count.Max() {
		id[0]--
	}
	return id
}

// crosses reports whether a transfer has to do with transfers across cells, by its flags or by its accounts.
func crosses(flags uint16, debit, credit *account) bool {
	return flags&(block.Across|block.Hold) != 0 || (debit.flags|credit.flags)&block.TransitAccount != 0
}

// cross holds a transfer that is no post and no void against the step that it says it is, and reports whether it is one.
func (m *Model) cross(t *block.Transfer, flags uint16, debit, credit *account) bool {
	x, d := &m.move, &m.across.now
	var ok bool
	if *d, ok = block.TransitOf(m.block.Attachment(m.now.event)); !ok || flags&block.Across == 0 {
		m.wrong(lostUpdate, "is between cells, and does not say what it is part of")
		return false
	}
	x.Transit = d
	own, peer := m.transitAccount(x.Asset), m.clearingAccount(x.Asset, d.Peer)
	var from, to, id count.ID
	switch d.Step {
	case block.StepReserve:
		from, to, id = d.Debit, own, d.Reserve
	case block.StepHold:
		from, to, id = peer, d.Credit, transitID(d.Reserve, "hold")
	case block.StepMarker:
		from, to, id = own, peer, transitID(d.Reserve, "marker")
	case block.StepTransfer:
		from, to, id = d.Debit, own, d.Transfer
	default:
		m.wrong(lostUpdate, fmt.Sprintf("is no reservation, and step %d of transfer %v across cells", d.Step, d.Transfer))
		return false
	}
	if x.Debit != from || x.Credit != to || t.ID() != id || system(debit) != (from != d.Debit) || system(credit) != (to != d.Credit) {
		m.wrong(lostUpdate, fmt.Sprintf("is not what step %d of transfer %v across cells is", d.Step, d.Transfer),
			Field{"id", t.ID().String(), id.String()}, Field{"debit", x.Debit.String(), from.String()}, Field{"credit", x.Credit.String(), to.String()})
	}
	hold := uint16(0)
	if d.Step != block.StepTransfer {
		hold = block.Pending | block.Hold
	}
	if hold != 0 && (flags&hold != hold || t.PendingID() != d.Transfer || t.Timeout() != 0) || hold == 0 && flags&(block.Pending|block.Hold) != d.Flags {
		m.wrong(lostUpdate, fmt.Sprintf("does not reserve as step %d of transfer %v across cells does", d.Step, d.Transfer))
	}
	return true
}

func system(a *account) bool { return a.flags&block.TransitAccount != 0 }

// crossed keeps what a step did. place is that of its reservation; 0 where it opened none.
func (m *Model) crossed(t *block.Transfer, place uint32) {
	x, c := &m.move, &m.across
	if x.Transit.Step == block.StepTransfer {
		m.checkDecided(t)
		return
	}
	o := &Open{Transit: *x.Transit, ID: t.ID(), Amount: x.Amount, Whole: x.Amount, Asset: x.Asset, Seq: x.Seq, Index: x.Index, Time: x.Time, place: place}
	if o.Step == block.StepMarker {
		m.checkMarker(o)
		c.marked = lately{m.seq, m.now.event, o}
	}
	c.add(o)
	m.since(o, waits(o))
}

// checkMarker: a decision stands right behind the release of the reserve that it is about, and passes its amount on, or
// nothing.
func (m *Model) checkMarker(o *Open) {
	r := m.across.decided
	if r.of == nil || r.seq != m.seq || r.event != m.now.event-1 || r.of.ID != o.Reserve || r.of.Transfer != o.Transfer {
		m.wrong(lostUpdate, fmt.Sprintf("decides on transfer %v, and not on a reserve of it that was open", o.Transfer))
		return
	}
	o.Whole = r.of.Amount
	want := o.Whole
	if o.Status != block.Created {
		want = count.Amount{}
	}
	if o.Amount != want {
		m.wrong(lostUpdate, fmt.Sprintf("decides on transfer %v with another amount", o.Transfer), Field{"amount", o.Amount.String(), want.String()})
	}
}

// checkDecided: a transfer across cells is created right behind the marker that says so.
func (m *Model) checkDecided(t *block.Transfer) {
	k := m.across.marked
	if k.of == nil || k.seq != m.seq || k.event != m.now.event-1 || k.of.Transfer != t.ID() || k.of.Status != block.Created || k.of.Amount != m.move.Amount {
		m.wrong(lostUpdate, "was created across cells, and not decided")
		return
	}
	k.of.created = true
	m.across.markerOf[t.ID()] = k.of.ID
	if t.Flags()&block.Pending != 0 {
		m.since(k.of, 0)
	} else {
		m.endCrossing(t.ID(), m.move.Amount)
	}
}

// waits is from when on a new reservation has nothing to wait for. The hold of a transfer that is to be pending waits
// for its end, of which this cell knows the latest moment only.
func waits(o *Open) uint64 {
	if o.Step != block.StepHold || o.Flags&block.Pending == 0 {
		return o.Time
	}
	if o.Timeout == 0 {
		return 0
	}
	return o.Time + uint64(o.Timeout)*second
}

// endCrossing notes that a transfer across cells has moved an amount, and is not pending, or no longer so.
func (m *Model) endCrossing(id count.ID, moved count.Amount) {
	if o := m.across.open[m.across.markerOf[id]]; o != nil {
		o.ended, o.moved = true, moved
		m.since(o, m.now.time)
	}
}

// uncross holds the end of a reservation against what may end it, and notes it. Amount and phase are those of the
// movement at hand, flags those of the event; of an expiry those of the reservation.
func (m *Model) uncross(r *reservation, flags uint16) {
	x, c := &m.move, &m.across
	switch {
	case (r.flags|flags)&(block.Across|block.Hold) == 0:
		return
	case r.flags&flags&block.Across == 0:
		m.wrong(lostUpdate, "ends a reservation between cells and is no step of a transfer across them, or the other way round")
	}
	if r.flags&block.Hold != 0 {
		if o := c.open[r.id]; o != nil { // else it was told that the reservation is no step
			c.remove(o)
			m.endHold(o)
		}
		return
	}
	o := c.open[c.markerOf[r.id]]
	if o == nil {
		return
	}
	m.step(o, block.StepEnd)
	if !x.Left.IsZero() {
		m.wrong(lostUpdate, "leaves something pending across cells")
	}
	m.endCrossing(r.id, x.posted())
}

// step says of the movement at hand which step it is of the transfer that a reservation is of, and holds what it says
// itself against that.
func (m *Model) step(o *Open, step block.Step) {
	x, d := &m.move, &m.across.now
	*d = o.Transit
	d.Step, d.Status = step, 0
	x.Transit = d
	if x.Phase == Expire {
		return
	}
	said, _ := block.TransitOf(m.block.Attachment(m.now.event))
	if step == block.StepConfirm {
		said.Peer = d.Peer // home may have moved on since the hold
	}
	if said != *d {
		m.wrong(lostUpdate, fmt.Sprintf("is step %d of transfer %v across cells, and says something else", step, o.Transfer))
	}
}

// posted is what a post or void has moved for good.
func (x *Movement) posted() (moved count.Amount) {
	if x.Phase == Capture {
		moved = x.Amount
	}
	return moved
}

func (m *Model) endHold(o *Open) {
	x := &m.move
	switch o.Step {
	case block.StepReserve:
		m.step(o, block.StepDecide)
		m.across.decided = lately{m.seq, m.now.event, o}
		if x.Phase != Release {
			m.wrong(lostUpdate, fmt.Sprintf("moves what is only reserved for transfer %v", o.Transfer))
		}
	case block.StepMarker:
		m.step(o, block.StepSettle)
		m.checkSettled(o)
	case block.StepHold:
		m.step(o, block.StepConfirm)
	}
}

// checkSettled: the account in transit gives the clearing one exactly what the transfer has brought.
func (m *Model) checkSettled(o *Open) {
	moved := m.move.posted()
	switch {
	case o.created && !o.ended:
		m.wrong(lostUpdate, fmt.Sprintf("settles transfer %v, which is pending", o.Transfer))
	case moved != o.moved:
		m.wrong(lostUpdate, fmt.Sprintf("settles another amount than transfer %v moved", o.Transfer), Field{"amount", moved.String(), o.moved.String()})
	}
}
