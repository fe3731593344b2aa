package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/store/local"
)

// World is what a cell stands on.
type World int

// The worlds. Auto lets the seed choose.
const (
	Auto    World = iota
	Shared        // a database, and machines that stand by and take over
	Local         // one machine with a disk
	Indexed       // one machine with a disk and a real index
)

// Plant makes one part of the simulated surroundings wrong, to show that the checks notice.
type Plant struct {
	NoPredecessorCheck bool // Log: an append needs a free number only
	LateAppendWins     bool // Log: an append replaces what stands in its place
	AckLocalCommit     bool // Log: what only the primary has counts as done
	DropSyncs          bool // Disk: it says that it has synced, and has not
	LaggingIndex       bool // follower: it answers before it has caught up
	HiddenJump         bool // Clock: the monotonic clock jumps along with the wall clock
	OmittedAsZero      bool // clients: an amount left out is sent as zero
	ForgottenIDs       bool // files of ids: look-ups find nothing
	UnsharedReads      bool // machines: reads are answered without a block of their own, as if nobody else could lead
	OtherRules         bool // Log: after a restart, blocks in the middle have another rules_version
}

// Options of one run.
type Options struct {
	Seed  uint64
	World World
	Steps int       // with faults; 0: 700
	Trace io.Writer // every event in a line; nil: nowhere
	Plant Plant
}

// Report is what a run did. Equal seeds give equal reports.
type Report struct {
	World    World
	Trace    uint64 // hash of every event
	Blocks   uint64
	Checked  int // answers compared with the journal
	Crashes  int
	Starts   int
	Refused  int
	Takeover int
	Followed int // blocks that standbys took
	Led      int // takeovers from what a standby had followed
	Cut      int // links to the database
	Snapshot int // starts from a snapshot
	LeftOut  int // snapshots that could not be used, or the ids that they rely on
	Settled  int // generations of ids that were written out
	Found    int // look-ups of ids that found something there
}

// world is one run.
type world struct {
	ctx     context.Context
	opts    Options
	kind    World
	rng     *rand.Rand
	clock   *Clock
	log     *Log // Shared
	ms      []*machine
	cs      []*client
	load    *workload
	audit   *auditor
	acked   uint64 // highest block that any answer depended on
	healing bool
	refused int
	report  Report
	err     error
	hash    interface {
		io.Writer
		Sum64() uint64
	}
	step int
}

// Run plays one seed through and returns the first thing that is wrong.
func Run(o Options) (Report, error) {
	if o.Steps == 0 {
		o.Steps = 700
	}
	w := &world{ctx: context.Background(), opts: o, kind: o.World, rng: newRand(o.Seed), clock: newClock(), audit: newAuditor(), hash: fnv.New64a()}
	if w.kind == Auto {
		w.kind = []World{Shared, Local, Shared, Local, Shared, Local, Shared, Indexed}[o.Seed%8]
	}
	w.clock.hidden = o.Plant.HiddenJump
	w.load = &workload{rng: w.rng, plant: o.Plant}
	w.log = &Log{rng: w.rng, plant: o.Plant, trace: w.trace, faults: 5 + w.rng.IntN(50)}
	machines := 1
	if w.kind == Shared {
		machines = 3
	}
	for i := range machines {
		w.ms = append(w.ms, newMachine(w, i))
	}
	for i := range 4 {
		w.cs = append(w.cs, &client{w: w, actor: journal.Actor{byte(i)}})
	}
	defer w.shutDown()
	w.play()
	w.report.World, w.report.Trace, w.report.Refused = w.kind, w.hash.Sum64(), w.refused
	w.report.Blocks, w.report.Checked = w.audit.head, w.audit.checked
	if w.err != nil {
		return w.report, fmt.Errorf("seed %d, step %d: %w", o.Seed, w.step, w.err)
	}
	return w.report, nil
}

// play runs all steps. A panic of the code under test is a fault like any other.
func (w *world) play() {
	defer func() {
		if p := recover(); p != nil {
			w.fail("panic: %v\n%s", p, debug.Stack())
		}
	}()
	for w.step = 0; w.step < w.opts.Steps && w.err == nil; w.step++ {
		w.act()
	}
	w.heal()
}

func (w *world) trace(format string, args ...any) {
	line := fmt.Sprintf("%4d %11.6fs  ", w.step, float64(w.clock.now-1_700_000_000_000_000_000)/1e9) + fmt.Sprintf(format, args...) + "\n"
	_, _ = io.WriteString(w.hash, line) // never fails
	if w.opts.Trace != nil {
		_, _ = io.WriteString(w.opts.Trace, line) // a test's log
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.trace("WRONG: %v", w.err)
	}
}

// act does one thing, chosen by the seed.
func (w *world) act() {
	m := w.ms[w.rng.IntN(len(w.ms))]
	k := w.rng.IntN(1000)
	switch {
	case k < 350:
		w.cs[w.rng.IntN(len(w.cs))].step()
	case k < 880:
		w.stepMachine(m, k)
	case k < 930:
		w.tick()
	case k < 960:
		w.disturbLog()
	case k < 985 || m.st == nil:
		w.disturbDisk(m)
	default:
		w.crash(m)
	}
	w.lookAround()
}

// stepMachine runs one part of a machine's cell, or starts it.
func (w *world) stepMachine(m *machine, k int) {
	switch {
	case m.standby != nil && k < 700:
		m.catchUp()
	case m.standby != nil && k < 800:
		m.did("snapshot of a standby", m.aside.WriteSnapshot())
	case m.standby != nil:
		if w.leader() == nil || w.rng.IntN(8) == 0 {
			w.lead(m)
		}
	case m.st == nil:
		if k < 600 && w.kind == Shared && w.rng.IntN(2) == 0 {
			w.standBy(m)
		} else if k < 400 && (w.leader() == nil || w.rng.IntN(8) == 0) {
			w.start(m)
		}
	case k < 530:
		m.did("sequencer", m.st.Sequence())
	case k < 740:
		m.did("writer", m.st.Append())
	case k < 800:
		m.did("follower", m.st.Follow())
	case k < 830:
		m.did("writer of ids", m.st.WriteIDs())
	default:
		m.did("snapshot", m.st.WriteSnapshot())
	}
}

// tick lets time pass, or sets the clock.
func (w *world) tick() {
	switch k := w.rng.IntN(20); {
	case k < 15:
		w.clock.advance(time.Duration(1+w.rng.IntN(20)) * time.Second)
	case k == 15:
		w.jump(time.Duration(w.rng.IntN(4000)) * time.Millisecond)
	case k == 16:
		w.jump(-time.Duration(w.rng.IntN(100)) * time.Second)
	case k == 17:
		w.jump(24 * time.Hour)
	default:
		w.acceptClock()
	}
}

func (w *world) jump(d time.Duration) {
	w.clock.jump(d)
	w.trace("clock: set by %v", d)
}

func (w *world) acceptClock() {
	w.clock.accept()
	for _, m := range w.ms {
		if m.st != nil {
			m.cell().AcceptClock()
		}
	}
	w.trace("clock: accepted, %v ahead", time.Duration(w.clock.offset))
}

func (w *world) disturbLog() {
	switch k := w.rng.IntN(8); {
	case w.kind != Shared:
	case k < 4:
		w.log.landLate()
	case k < 5:
		w.log.failOver()
	case k == 5:
		w.log.full = !w.log.full
		w.trace("log: full: %v", w.log.full)
	case k == 6:
		m := w.ms[w.rng.IntN(len(w.ms))]
		m.link.cut = !m.link.cut
		w.report.Cut++
		w.trace("machine %d: cut off: %v", m.n, m.link.cut)
	}
}

func (w *world) disturbDisk(m *machine) {
	if w.kind == Shared {
		return
	}
	switch k := w.rng.IntN(10); {
	case k < 2:
		m.disk.setFull(!m.disk.isFull())
		w.trace("disk: full: %v", m.disk.isFull())
	case k == 2:
		m.disk.failNextSync()
		w.trace("disk: the next sync fails")
	case k < 7 && m.st != nil:
		n := 1 + w.rng.IntN(30)
		m.disk.cutAfter(n)
		w.trace("disk: the power is cut %d changes from now", n)
	}
}

// lookAround notices what has happened to the machines.
func (w *world) lookAround() {
	for _, m := range w.ms {
		if m.st == nil {
			continue
		}
		switch err := m.cell().Err(); {
		case m.failing():
			w.crash(m)
		case m.flipped != nil && errors.Is(err, cell.ErrDamaged):
			w.trace("machine %d stops: %v: the bit is flipped back", m.n, err)
			m.unflip()
			w.crash(m)
		case w.kind == Shared && stepsDown(err):
			w.trace("machine %d steps down: %v", m.n, err)
			m.down()
		case err != nil:
			w.fail("machine %d stopped: %v", m.n, err)
		}
	}
}

// stepsDown tells whether a machine of several may end with an error, for another to go on.
func stepsDown(err error) bool {
	return errors.Is(err, cell.ErrConflict) || errors.Is(err, cell.ErrUnsure) || errors.Is(err, errCut)
}

// leader returns a machine that is up and was not deposed, or nil.
func (w *world) leader() *machine {
	for _, m := range w.ms {
		if m.st != nil && !m.deposed {
			return m
		}
	}
	return nil
}

func (w *world) anyMachine() *machine {
	m := w.ms[w.rng.IntN(len(w.ms))]
	if m.st == nil || m.cell().Err() != nil {
		return w.leader()
	}
	return m
}

// acknowledged notes an answer. It must rest on durable blocks, and the leader's see all that was acknowledged before.
func (w *world) acknowledged(s *sent, seq uint64) {
	if head := s.m.cell().Head(); seq > head {
		w.fail("an answer depends on block %d, durable are %d", seq, head)
	}
	if seq < s.acked { // with several machines: it was answered by one that leads no more
		w.fail("an answer is as of block %d, and block %d was acknowledged before it was asked for", seq, s.acked)
	}
	if w.rng.IntN(3) == 0 && w.kind != Shared {
		w.checkHead(s.m)
	}
	w.acked = max(w.acked, seq)
}

func (w *world) checkHead(m *machine) {
	if head := m.cell().Head(); head < w.acked {
		w.fail("machine %d ends with block %d, but %d was acknowledged", m.n, head, w.acked)
	}
}

// start opens a machine's cell, which deposes the other one.
func (w *world) start(m *machine) {
	w.report.Starts++
	if w.opts.Plant.OtherRules && w.audit.head > 2 {
		if err := w.log.withRules(3, ledger.Rules+1); err != nil {
			w.fail("rewrite the journal: %v", err)
			return
		}
	}
	w.clock.accept()
	err := m.open()
	w.trace("machine %d starts: %v", m.n, err)
	if err != nil {
		w.startFailed(m, err)
		return
	}
	w.tookOver(m)
}

// standBy has a machine follow the journal.
func (w *world) standBy(m *machine) {
	w.report.Starts++
	err := m.standBy()
	w.trace("machine %d stands by: %v", m.n, err)
	if err != nil {
		w.startFailed(m, err)
	}
}

// lead has a standby take over.
func (w *world) lead(m *machine) {
	w.clock.accept()
	err := m.lead()
	w.trace("machine %d leads from what it had followed: %v", m.n, err)
	if err != nil {
		w.startFailed(m, err)
		return
	}
	w.report.Led++
	w.tookOver(m)
}

// tookOver looks at a machine that leads since now.
func (w *world) tookOver(m *machine) {
	alone := true
	for _, other := range w.ms {
		if other != m && other.st != nil {
			other.deposed, alone = true, false
			w.report.Takeover++
			w.trace("machine %d is deposed, and does not know it", other.n)
		}
	}
	w.checkHead(m)
	if alone {
		w.verify(m)
	}
}

// startFailed tells the faults that may keep a cell from starting from those that mean a loss.
func (w *world) startFailed(m *machine, err error) {
	switch {
	case m.failing(), errors.Is(err, local.ErrSyncFailed):
		w.crash(m)
	case m.flipped != nil && (errors.Is(err, cell.ErrDamaged) || errors.Is(err, local.ErrVersion)): // the bit may be the version's
		w.trace("disk: the bit is flipped back")
		m.unflip()
	case errors.Is(err, cell.ErrFull), w.kind == Shared && stepsDown(err):
	default:
		w.fail("machine %d does not start: %v", m.n, err)
	}
}

// verify goes through what has become certain. Only while one machine is up: a deposed one may still answer as of an
// older block.
func (w *world) verify(m *machine) {
	for _, c := range w.cs { // what was answered before a crash and not collected yet
		if c.out != nil && c.out.m != m {
			c.collect()
		}
	}
	if err := w.audit.advance(m.cell().Head(), w.clock.bound, m.read); err != nil {
		w.fail("%v", err)
		return
	}
	for _, m := range w.ms {
		if err := m.checkFollowed(w.audit); err != nil && m.standby != nil {
			w.fail("%v", err)
		}
	}
	w.trace("all is well through block %d", w.audit.head)
}

func (w *world) crash(m *machine) {
	w.report.Crashes++
	w.trace("machine %d crashes", m.n)
	m.crash()
}

// heal ends all faults, has every request answered, starts once more and checks everything.
func (w *world) heal() {
	w.healing, w.log.faults, w.log.full = true, 0, false
	w.jump(-time.Duration(max(0, w.clock.offset)))
	w.acceptClock()
	w.settle()
	for w.log.landLate() && w.err == nil {
	}
	if m := w.leader(); m != nil && w.err == nil {
		w.verify(m)
		w.crash(m)
		w.settle()
		w.finalCheck(w.leader())
	}
}

// settle runs until nobody has anything left to do.
func (w *world) settle() {
	for round := 0; w.err == nil; round++ {
		for _, m := range w.ms {
			m.heal()
			if m.st != nil && m.deposed {
				w.trace("machine %d goes", m.n)
				m.down()
			}
		}
		switch m := w.ms[0]; {
		case w.leader() != nil:
		case m.standby != nil:
			w.lead(m)
		default:
			w.start(m)
		}
		busy := false
		for _, c := range w.cs {
			c.step()
			busy = busy || c.out != nil || len(c.again) > 0
		}
		if m := w.leader(); m != nil {
			for n := 0; m.st.Sequence() || m.st.Append() || m.st.Follow() || m.st.WriteIDs() || m.st.WriteSnapshot(); n++ {
				if busy = true; n == 1000 {
					w.fail("machine %d works on and on", m.n)
					return
				}
			}
		}
		w.lookAround()
		if !busy && w.leader() != nil {
			return
		}
		if round > 10_000 {
			w.fail("it does not come to rest: %s", w.waiting())
		}
	}
}

func (w *world) waiting() string {
	s := ""
	for _, c := range w.cs {
		s += fmt.Sprintf("%s waits: %v, again: %d. ", c, c.out != nil, len(c.again))
	}
	return s
}

// finalCheck compares all balances, all transfers and the index with the model.
func (w *world) finalCheck(m *machine) {
	if m == nil || w.err != nil {
		return
	}
	w.verify(m)
	c := w.cs[0]
	c.look(m)
	c.out.look.Request.Results = nil
	w.settle()
	w.verify(m)
	for _, err := range []error{w.audit.intact(m.read), w.audit.intents(w.load.ops), m.checkFollower(w.audit)} {
		if err != nil {
			w.fail("%v", err)
		}
	}
}

func (w *world) shutDown() {
	for _, m := range w.ms {
		m.down()
		if m.disk != nil {
			_ = m.closeStore() // the run is over: what it left was checked before
		}
	}
}

var _ index.Records = (*cell.Cell)(nil)

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5EED)) } //nolint:gosec // a seed has to replay
