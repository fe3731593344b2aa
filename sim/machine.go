package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
)

const cellID = 7

// machine runs one cell, stands by, stands still, or is down.
type machine struct {
	w       *world
	n       int
	run     int           // counts the starts
	st      *cell.Stepper // nil: it is down, or stands by
	deposed bool          // another machine has taken over

	follower  *follower
	standby   *cell.Standby // Shared, like what follows; nil: it does not stand by
	aside     *cell.Stepper // the standby's
	link      *link
	snapshots *snapshots
	ids       *idFiles

	disk    *Disk // Local and Indexed, like what follows
	store   *local.Store
	flipped func() // takes a flipped bit back
	lazily  bool   // it is in a file that a start does not read, and that is written once
	files   *vfs.MemFS
	index   *index.Index // Indexed
}

func newMachine(w *world, n int) *machine {
	m := &machine{w: w, n: n, follower: &follower{lags: w.opts.Plant.LaggingIndex}, snapshots: newSnapshots(), ids: newIDFiles(), link: &link{Log: w.log}}
	if w.kind != Shared {
		m.disk = NewDisk()
		m.disk.dropSyncs = w.opts.Plant.DropSyncs
	}
	if w.kind == Indexed {
		m.files = vfs.NewCrashableMem()
	}
	m.follower.catchUp = func() {
		for m.st != nil && m.st.Follow() {
		}
	}
	return m
}

func (m *machine) cell() *cell.Cell { return m.st.Cell() }

func (m *machine) did(part string, did bool) {
	if did {
		m.w.trace("machine %d: %s", m.n, part)
	}
}

// failing reports whether its disk has let it down, so that the process has to exit.
func (m *machine) failing() bool {
	if m.disk == nil {
		return false
	}
	return m.disk.isDead() || m.st != nil && errors.Is(m.cell().Err(), local.ErrSyncFailed)
}

// options are those of a cell over what is there.
func (m *machine) options() (o cell.Options, err error) {
	w := m.w
	m.run++
	m.deposed = false
	o = cell.Options{ID: cellID, Clock: w.clock, HashKey: [2]uint64{w.opts.Seed, 9}, SnapshotEvents: 8, Follower: m.follower, Generation: 1 + w.rng.IntN(12)}
	o.Incarnation = w.incarnation()
	if m.disk == nil {
		o.Log, o.Snapshots, o.IDs, o.Shared = m.link, m.snapshots, m.ids, !w.opts.Plant.UnsharedReads
	} else if err = m.openStore(&o); err != nil {
		return o, err
	}
	o.IDs = countedIDs{o.IDs, &w.report, w.opts.Plant.ForgottenIDs}
	o.Logger = slog.New(startLog{w})
	o.OnBlock = func(b *journal.Block, _ int) {
		if b.Header.Time > w.clock.bound {
			w.fail("block %d has time %d, the clock was believed up to %d", b.Header.Seq, b.Header.Time, w.clock.bound)
		}
	}
	return o, nil
}

func (w *world) incarnation() (b [16]byte) {
	for i := range b {
		b[i] = byte(w.rng.IntN(256)) //nolint:gosec // below 256
	}
	return b
}

func (w *world) sizes() cell.Sizes { return cell.Sizes{Eager: 1 + w.rng.IntN(3), Piece: 300} }

// open starts the cell.
func (m *machine) open() error {
	o, err := m.options()
	if err != nil {
		return err
	}
	st, err := cell.OpenStepped(m.w.ctx, o, m.w.sizes())
	if err != nil {
		m.follower.crash() // its process has ended
		return errors.Join(err, m.closeStore())
	}
	m.st = st
	return nil
}

// standBy begins to follow the journal.
func (m *machine) standBy() error {
	o, err := m.options()
	if err == nil {
		m.standby, m.aside, err = cell.OpenStandbyStepped(m.w.ctx, o, m.w.sizes())
	}
	if err != nil {
		m.down()
	}
	return err
}

// lead takes the journal over from what the standby has. Whatever comes of it, it stands by no more.
func (m *machine) lead() (err error) {
	if err = m.standby.LeadStepped(m.w.ctx, m.w.incarnation(), m.w.clock.Wall()); err != nil {
		m.down()
		return err
	}
	m.st, m.standby, m.aside = m.aside, nil, nil
	return nil
}

// catchUp takes what was confirmed since. Nothing of it may ever be gone again, whatever happens to the database.
func (m *machine) catchUp() {
	w := m.w
	blocks, err := m.standby.Follow(w.ctx)
	w.report.Followed += blocks
	if blocks > 0 || err != nil {
		w.trace("machine %d: follows to block %d: %v", m.n, m.standby.Head(), err)
	}
	switch head := m.standby.Head(); {
	case head > uint64(w.log.replicated): //nolint:gosec // a length
		w.fail("machine %d follows block %d, which only the primary has", m.n, head)
	case errors.Is(err, cell.ErrHalfway):
		m.down()
	case err != nil && !errors.Is(err, errCut):
		w.fail("machine %d does not follow: %v", m.n, err)
	}
}

func (m *machine) openStore(o *cell.Options) (err error) {
	floor := m.follower.Durable()
	if m.files != nil {
		if m.index, err = index.Open("index", index.Options{FS: m.files}); err != nil {
			return err
		}
		o.Follower, floor = m.index, m.index.Durable()
	}
	m.disk.Opening()
	m.store, err = local.Open("bank", local.Options{FS: m.disk, Cell: cellID, SegmentSize: 16 << 10, Floor: floor})
	if err != nil {
		m.store = nil
		return errors.Join(err, m.closeStore())
	}
	m.disk.Opened()
	m.w.trace("machine %d: journal %+v", m.n, m.store.Recovery())
	o.Log, o.Snapshots, o.IDs = plainLog{m.store}, m.store.Snapshots(), m.store.IDs()
	return nil
}

func (m *machine) closeStore() (err error) {
	if m.store != nil {
		err = m.store.Close()
		m.store = nil
	}
	if m.index != nil {
		err = errors.Join(err, m.index.Close())
		m.index = nil
	}
	return err
}

// down stops the cell as if its process was killed: what it had sent to the disk or the log stays.
func (m *machine) down() {
	m.st, m.standby, m.aside, m.deposed = nil, nil, nil, false
	m.follower.crash()
}

// crash cuts the power.
func (m *machine) crash() {
	w := m.w
	m.down()
	if m.disk == nil {
		if w.rng.IntN(4) == 0 {
			w.trace("machine %d: snapshot %d is damaged", m.n, m.snapshots.damage(w.rng))
		}
		if w.rng.IntN(4) == 0 {
			w.trace("machine %d: generation %d of ids is gone", m.n, m.ids.lose(w.rng))
		}
		return
	}
	if m.flipped != nil && m.lazily {
		m.unflip() // nobody has looked there yet, and it would be forgotten
	}
	after := m.disk.Crash(w.rng, []int{0, 30, 50, 90, 100}[w.rng.IntN(5)])
	after.dropSyncs = w.opts.Plant.DropSyncs
	if m.files != nil {
		m.files = m.files.CrashClone(vfs.CrashCloneCfg{})
	}
	_ = m.closeStore() // its disk is gone
	m.disk, m.flipped = after, nil
	if !w.healing && w.rng.IntN(4) == 0 {
		suffix := []string{".seg", ".seg", ".snap", ".gen"}[w.rng.IntN(4)]
		var what string
		if what, m.flipped = after.Flip(w.rng, suffix); m.flipped != nil {
			m.lazily = suffix == ".gen"
			w.trace("disk: a bit flips in %s", what)
		}
	}
}

func (m *machine) unflip() {
	m.flipped()
	m.flipped = nil
}

// heal ends the faults of its disk and of its link.
func (m *machine) heal() {
	m.link.cut = false
	if m.disk != nil {
		m.disk.heal()
	}
}

// read returns a block's bytes, for the auditor.
func (m *machine) read(seq uint64) ([]byte, error) {
	if m.disk == nil {
		return m.w.log.Read(m.w.ctx, seq, nil)
	}
	return m.store.Read(m.w.ctx, seq, nil)
}

// checkFollower compares what the follower has with the journal, once it has caught up.
func (m *machine) checkFollower(a *auditor) error {
	if m.index != nil {
		return m.checkIndex(a)
	}
	if len(m.follower.blocks) != len(a.hashes) {
		return fmt.Errorf("the follower has %d blocks, the journal %d", len(m.follower.blocks), len(a.hashes))
	}
	n := 0
	for i := range m.follower.blocks {
		if m.follower.blocks[i].hash != a.hashes[i] {
			return fmt.Errorf("the follower has another block %d", i+1)
		}
		n += len(m.follower.blocks[i].times)
	}
	if n != len(a.m.sequence) {
		return fmt.Errorf("the follower has %d transfers, the journal %d", n, len(a.m.sequence))
	}
	return nil
}

// checkFollowed compares what a standby has followed with the journal.
func (m *machine) checkFollowed(a *auditor) error {
	for i := range min(len(m.follower.blocks), len(a.hashes)) {
		if m.follower.blocks[i].hash != a.hashes[i] {
			return fmt.Errorf("machine %d has followed another block %d", m.n, i+1)
		}
	}
	return nil
}

// checkIndex asks the index for the transfers of every account.
func (m *machine) checkIndex(a *auditor) error {
	q := index.NewQueries(m.index, m.cell())
	for i, id := range a.m.order {
		var want []uint64
		for _, t := range a.m.sequence {
			if x := a.m.transfers[t]; x.debit == id || x.credit == id {
				want = append(want, t)
			}
		}
		page, err := q.AccountTransfers(context.Background(), uint32(i)+1, index.AccountFilter{AccountID: money.From(id), Limit: journal.MaxEvents})
		if err != nil {
			return err
		}
		var got []uint64
		for k := range page.Rows {
			got = append(got, key(page.Rows[k].ID))
			if err := sameTransfer(&page.Rows[k], a.m.transfers[got[k]]); err != nil {
				return fmt.Errorf("the index: %w", err)
			}
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("the index has transfers %v of account %d, the journal %v", got, id, want)
		}
	}
	return nil
}

// plainLog hides the store's Room: what that answers depends on how far a goroutine is with the next segment, and a
// seed has to replay. The cell then meets a full disk in Append.
type plainLog struct{ cell.Log }

// startLog puts what a cell logs into the trace, and counts the starts from a snapshot.
type startLog struct{ w *world }

// Enabled implements slog.Handler.
func (startLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l startLog) Handle(_ context.Context, r slog.Record) error {
	switch r.Message {
	case "snapshot loaded":
		l.w.report.Snapshot++
	case "snapshot left out":
		l.w.report.LeftOut++
	}
	if r.Message != "append again" { // the log's own line tells more
		l.w.trace("cell: %s", r.Message)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (l startLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l startLog) WithGroup(string) slog.Handler { return l }
