package books

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// Options of a model.
type Options struct {
	// HashKey spreads ids in memory. A runner gives a random one, so that nobody can choose ids that slow it down.
	HashKey uint64
	// Window is how many of the youngest transfer ids are remembered at least, to find one that is created twice; 0:
	// 1<<18; KeepAll: every id there ever was, 23 to 35 bytes each.
	Window int
}

// KeepAll as a window keeps all ids.
const KeepAll = -1

const defaultWindow = 1 << 18

// maxFindings bounds what one block can have wrong; the rest is counted in one finding more.
const maxFindings = 1000

// recentBlocks is how many hashes are remembered, to tell a block that comes again from a fork.
const recentBlocks = 1024

// ErrBroken is a journal of which nothing is proven any more, because a block was not what its hash or its predecessor
// says.
var ErrBroken = errors.New("the journal is broken")

// Model is the recomputed ledger: the state after the blocks that it took. It belongs to one goroutine.
type Model struct {
	cell     uint64
	o        Options
	broken   error
	seq      uint64
	hash     [32]byte
	prev     [32]byte // of the last block
	time     uint64   // of the last block
	end      uint64   // first time that the next one may have
	epoch    uint64
	rules    uint16
	recent   [recentBlocks][32]byte // hashes, by seq
	gap      uint64                 // a block that came too early, and was told; 0: none
	events   uint64
	youngest uint64 // timestamp of the last transfer

	accounts  chunks[account]
	accountNo table
	assets    []string // "CNY/2", by number from 1
	groups    []group
	groupNo   map[groupKey]uint32
	totals    []total
	totalNo   map[uint32]uint32 // asset → index of totals
	touched   []uint32          // totals that the block changed
	held      reservations
	seen      seen
	days      daybook
	frozen    freezes
	limits    map[limitKey]*velocity
	proposals map[count.ID]proposal
	across    crossings
	buckets   buckets

	block block.Block
	now   moment
	parts []block.Part
	sides []pair // accounts of the transfers of a part
	chain chain
	sink  byte // keeps reads ahead alive
	move  Movement
	visit func(*Movement)
	find  func(*Finding)
	found int
}

// account is an account's state: 88 bytes.
type account struct {
	id                                                         count.ID
	debitsPending, debitsPosted, creditsPending, creditsPosted count.Amount
	group                                                      uint32
	flags                                                      uint16
	marks                                                      uint16
}

// Marks of an account.
const (
	frozenDebit = 1 << iota
	frozenCredit
	limitDebit
	limitCredit
)

type groupKey struct {
	asset uint32
	code  uint16
}

// group is a pair of asset and account code, with the index of its asset's totals.
type group struct {
	groupKey
	total uint32
}

type total struct {
	asset      uint32
	sums       Sums
	transfers  uint64
	touched    uint64 // the last block that changed it
	accounts   uint64
	unbalanced bool // and that was told
}

type pair struct{ debit, credit uint32 }

// moment is what is being looked at.
type moment struct {
	actor    count.ID
	outcome  int // next one to look at
	event    int
	index    int // in the block, expiries counted
	time     uint64
	approved bool
}

// New returns the model of a cell before its first block.
func New(cell uint64, o Options) *Model {
	m := &Model{
		cell: cell, o: o, groupNo: map[groupKey]uint32{}, totalNo: map[uint32]uint32{}, limits: map[limitKey]*velocity{},
		proposals: map[count.ID]proposal{},
	}
	switch {
	case o.Window == 0:
		m.seen.window = defaultWindow
	case o.Window > 0:
		m.seen.window = o.Window
	}
	m.days.init()
	m.frozen.init()
	m.across.init()
	m.buckets.moved = map[uint16]*Bucket{}
	return m
}

// Seq is the last block's sequence number, Hash its hash, Time its time; 0 before the first.
func (m *Model) Seq() uint64 { return m.seq }

// Hash is the last block's hash.
func (m *Model) Hash() [32]byte { return m.hash }

// Time is the last block's time, ns since 1970 UTC.
func (m *Model) Time() uint64 { return m.time }

// Events is how many events all blocks had.
func (m *Model) Events() uint64 { return m.events }

// Pending is how many reservations are open.
func (m *Model) Pending() uint64 { return uint64(m.held.n) } //nolint:gosec // not negative

// Broken tells why no block is taken any more (an [ErrBroken]), or nil.
func (m *Model) Broken() error { return m.broken }

// Apply takes the next block as it stands in the journal. It calls visit for everything that moved, in order, and find
// for everything that is wrong, each with a value that is only valid during the call; either may be nil. A block that is
// taken already is left out. So is one that comes too early, which is a finding; and after one that is not what its hash
// or its predecessor says, which is the last finding, all others are (see Broken). It reports whether it took the block.
// It keeps no reference to raw.
func (m *Model) Apply(raw []byte, visit func(*Movement), find func(*Finding)) (taken bool) {
	if m.broken != nil {
		return false
	}
	m.visit, m.find, m.found = visit, find, 0
	defer func() { m.visit, m.find = nil, nil }()
	k := &m.block
	if err := k.Decode(raw); err != nil {
		m.now = moment{index: -1, time: m.time}
		m.breakDown(tamperedHistory, m.seq+1, fmt.Sprintf("block %d can't be read: %v", m.seq+1, err))
		return false
	}
	m.now = moment{index: -1, time: k.Time}
	if !m.follows(k) {
		return false
	}
	m.begin(k)
	m.expire(k)
	m.requests(k)
	m.checkTotals()
	if m.found > maxFindings {
		more := m.found - maxFindings
		m.found = 0
		m.now.index = -1
		m.fault(lostUpdate, fmt.Sprintf("block %d: %d findings more", k.Seq, more), nil)
	}
	return m.broken == nil
}

// follows checks that a block is the next one, of the same cell, chain and epoch.
func (m *Model) follows(k *block.Block) bool {
	switch {
	case k.Cell != m.cell:
		m.breakDown(tamperedHistory, k.Seq, fmt.Sprintf("block %d is of cell %d, this is cell %d", k.Seq, k.Cell, m.cell))
	case k.Seq <= m.seq:
		if k.Seq+recentBlocks > m.seq && m.recent[k.Seq%recentBlocks] != k.Hash {
			m.breakDown(fork, k.Seq, fmt.Sprintf("there are two blocks %d: %x and %x", k.Seq, m.recent[k.Seq%recentBlocks][:8], k.Hash[:8]))
		}
	case k.Seq > m.seq+1:
		if m.gap != m.seq+1 {
			m.gap = m.seq + 1
			m.report(&Finding{
				Class: sourceGap, Seq: m.seq + 1, Index: -1, Time: k.Time,
				Summary: fmt.Sprintf("block %d came, and block %d was next", k.Seq, m.seq+1),
			})
		}
	case k.Prev != m.hash && m.seq > 0 && k.Prev == m.prev:
		m.breakDown(fork, k.Seq, fmt.Sprintf("blocks %d and %d both follow %x", m.seq, k.Seq, k.Prev[:8]))
	case k.Prev != m.hash:
		m.breakDown(tamperedHistory, k.Seq, fmt.Sprintf("block %d follows a block with hash %x, the one before it has %x", k.Seq, k.Prev[:8], m.hash[:8]))
	case k.Epoch < m.epoch, k.Epoch > m.epoch && m.seq > 0 && k.Kind != block.Epoch:
		m.breakDown(tamperedHistory, k.Seq, fmt.Sprintf("block %d of kind %d has epoch %d after epoch %d", k.Seq, k.Kind, k.Epoch, m.epoch))
	case m.seq > 0 && (k.Rules < m.rules || k.Rules > m.rules && k.Kind != block.Epoch):
		m.breakDown(tamperedHistory, k.Seq, fmt.Sprintf("block %d of kind %d has rules %d after rules %d", k.Seq, k.Kind, k.Rules, m.rules))
	default:
		return true
	}
	return false
}

func (m *Model) begin(k *block.Block) {
	end := m.end
	m.seq, m.prev, m.hash, m.time, m.end = k.Seq, k.Prev, k.Hash, k.Time, k.End()
	m.epoch, m.rules, m.gap = k.Epoch, k.Rules, 0
	m.recent[k.Seq%recentBlocks] = k.Hash
	m.events += uint64(k.Events)
	if k.Time < end {
		m.fault(clockJump, fmt.Sprintf("block %d begins %d ns before the end of the one before", k.Seq, end-k.Time), nil)
	}
}

// breakDown tells what a block of the journal is not, and stops.
func (m *Model) breakDown(class string, seq uint64, summary string) {
	m.broken = fmt.Errorf("%w: %s", ErrBroken, summary)
	m.report(&Finding{Class: class, Seq: seq, Index: -1, Time: m.now.time, Summary: summary})
}

// fault tells what is wrong with what is being looked at.
func (m *Model) fault(class, summary string, more func(*Finding)) {
	m.found++
	if m.found > maxFindings {
		return
	}
	f := &Finding{Class: class, Seq: m.seq, Index: m.now.index, Time: m.now.time, Summary: summary}
	if more != nil {
		more(f)
	}
	m.report(f)
}

func (m *Model) report(f *Finding) {
	if m.find != nil {
		m.find(f)
	}
}

// requests goes through the block's requests in order.
func (m *Model) requests(k *block.Block) {
	first := 0
	for i := range int(k.Requests) {
		r := k.Request(i)
		parts, err := k.Parts(r, first, m.parts[:0])
		if m.parts = parts; err == nil {
			err = m.checkAttached(first, int(r.Count))
		}
		if err != nil {
			m.breakDown(tamperedHistory, k.Seq, fmt.Sprintf("request %d of block %d can't be: %v", i, k.Seq, err))
			return
		}
		m.now.actor = r.Actor
		m.chain = chain{whole: r.Kind == block.Transactions || r.Kind == block.Decisions, events: int(r.Count)}
		for p := range parts {
			m.part(&parts[p])
		}
		m.endChain()
		first += int(r.Count)
	}
}

var errAttachment = errors.New("an attachment that its event can't carry")

// checkAttached checks what is attached to n events, from event first on, by the kinds of their parts.
func (m *Model) checkAttached(first, n int) error {
	if m.block.Attachments == 0 {
		return nil
	}
	part := 0
	for event := first; event < first+n; event++ {
		for event >= m.parts[part].First+m.parts[part].Count {
			part++
		}
		if data := m.block.Attachment(event); data != nil && !block.CheckDetails(m.parts[part].Kind, data) {
			return fmt.Errorf("%w: event %d", errAttachment, event)
		}
	}
	return nil
}

// part goes through a run of events of one kind.
func (m *Model) part(p *block.Part) {
	m.now.approved = p.Approved
	switch p.Kind {
	case block.Transfers:
		m.transfers(p)
		return
	case block.Transactions:
		m.head(p)
	}
	for event := p.First; event < p.First+p.Count; event++ {
		status, o := m.look(event)
		linked := p.Kind == block.Accounts && m.block.Account(event).Flags()&block.Linked != 0
		m.link(event, status == block.Created, linked)
		if status == block.Created {
			m.create(p, event, o)
		}
	}
}

// create does what a created event that is no transfer does.
func (m *Model) create(p *block.Part, event int, o *block.Outcome) {
	r := m.block.Record(event)
	switch p.Kind {
	case block.Accounts:
		m.checkTimestamp(o, m.block.Account(event).Flags()&block.ImportedAccount != 0, m.block.Account(event).Timestamp())
		m.createAccount(m.block.Account(event))
	case block.Transactions, block.Metadata:
		m.remember(r.ID(0), count.Amount{}, 0)
	case block.Assets:
		m.assets = append(m.assets, assetName(r))
	case block.Freezes:
		m.freeze(r)
	case block.Unfreezes:
		m.unfreeze(r)
	case block.Limits:
		m.setLimit(r)
	case block.DayCloses:
		m.closeDay(r, m.block.Attachment(event))
	case block.Reopens:
		m.days.reopen(r.U32(16))
	case block.Proposals:
		m.propose(r, m.block.Attachment(event))
	case block.Decisions:
		m.decide(r, event, m.chain.events-1)
	case block.Carries:
		m.carry(m.block.Transfer(event), event, p.First+p.Count)
	case block.Moves:
		m.moveBucket(r.Move())
	case block.Gives:
		m.give(r.Handover(), event)
	case block.Takes:
		m.take(r.Handover(), event)
	case block.Policies:
		m.days.setZone(int32(r.U32(20))) //nolint:gosec // its bits
	}
}

// look moves to an event and returns its status, and its outcome where one is recorded. Events come in order.
func (m *Model) look(event int) (status uint16, o *block.Outcome) {
	k := &m.block
	m.now.event, m.now.index = event, int(k.Expiries)+event
	m.now.time = k.Time + uint64(m.now.index) //nolint:gosec // small
	for m.now.outcome < int(k.Outcomes) {
		switch at := k.OutcomeEvent(m.now.outcome); {
		case at < event:
			m.now.outcome++
		case at > event:
			return block.Created, nil
		default:
			found := k.Outcome(m.now.outcome)
			return found.Status, &found
		}
	}
	return block.Created, nil
}

// checkTimestamp holds the time that is recorded of what was created against the one that it must have.
func (m *Model) checkTimestamp(o *block.Outcome, imported bool, own uint64) {
	want := m.now.time
	if imported {
		want = own
	}
	if o != nil && o.Timestamp != want {
		m.fault(clockJump, fmt.Sprintf("event %d of block %d is recorded at %d, it happened at %d", m.now.event, m.seq, o.Timestamp, want), nil)
	}
}

// remember notes an id that was created, and reports one that was created before.
func (m *Model) remember(id count.ID, amount count.Amount, asset uint32) {
	if m.seen.add(&id, m.o.HashKey) {
		m.fault(duplicateID, fmt.Sprintf("id %v is created a second time", id), func(f *Finding) {
			f.Transfer, f.Amount, f.Asset = id, amount, asset
		})
	}
}

// chain tells whether linked events took effect whole or not at all.
type chain struct {
	whole         bool // the request is one chain
	events        int  // of the request
	open          bool
	first         int
	created, fail int
}

// link counts an event into the chain that it is in.
func (m *Model) link(event int, created, linked bool) {
	c := &m.chain
	if !c.open && !linked && !c.whole {
		return
	}
	if !c.open {
		c.open, c.first, c.created, c.fail = true, event, 0, 0
	}
	if created {
		c.created++
	} else {
		c.fail++
	}
	if !linked && !c.whole {
		m.endChain()
	}
}

func (m *Model) endChain() {
	c := &m.chain
	if c.open && c.created > 0 && c.fail > 0 {
		m.fault(lostUpdate, fmt.Sprintf("of the chain from event %d of block %d on, %d events took effect and %d did not", c.first, m.seq, c.created, c.fail), nil)
	}
	c.open = false
}
