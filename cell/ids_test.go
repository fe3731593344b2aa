package cell_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/store/local"
)

const firstID, lastID = 1000, 1600 // of the transfers that manyIDs makes

// newIDBank has accounts 1 and 2, generations of 50 ids, and a snapshot after every 300 events.
func newIDBank(t *testing.T, ids func(cell.IDFiles) cell.IDFiles) *bank {
	t.Helper()
	b := newBank(t, func(o *cell.Options) {
		o.Generation, o.SnapshotEvents, o.Clock = 50, 300, clock.NewSystem()
	})
	if ids != nil {
		b.close()
		b.ids = ids
		b.open()
	}
	do(b, journal.KindAccounts, account(1), account(2))
	return b
}

func (b *bank) manyIDs() {
	for id := uint64(firstID); id < lastID; id += 20 {
		list := make([]journal.Transfer, 20)
		for i := range list {
			list[i] = transfer(id+uint64(i), 1, 2, 3)
		}
		list[7].Flags = journal.TransferPending
		do(b, journal.KindTransfers, list...)
	}
}

// wantAll checks that every id of manyIDs is known, and found with its amount.
func (b *bank) wantAll() {
	b.t.Helper()
	var ids []money.U128
	for id := uint64(firstID); id < lastID; id++ {
		ids = append(ids, money.From(id))
		again := transfer(id, 1, 2, 3)
		if id%20 == 7 {
			again.Flags = journal.TransferPending
		}
		b.want(do(b, journal.KindTransfers, again), "exists")
	}
	list, err := b.LookupTransfers(context.Background(), append(ids, money.From(lastID)))
	if err != nil || len(list) != len(ids) {
		b.t.Fatalf("%d of %d transfers are found, error %v", len(list), len(ids), err)
	}
	for i := range list {
		if list[i].ID != ids[i] || list[i].Amount != money.From(3) {
			b.t.Errorf("transfer %v is found as %+v", ids[i], list[i])
		}
	}
}

// awaitSnapshot returns once there is one.
func (b *bank) awaitSnapshot() {
	b.t.Helper()
	for list, err := b.store.Snapshots().List(); len(list) == 0; list, err = b.store.Snapshots().List() {
		if err != nil {
			b.t.Fatal(err)
		}
		if _, err := b.Sync(context.Background()); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bank) idFiles() []string {
	b.t.Helper()
	names, err := b.fs.List("bank/ids")
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

// TestIDsOnDisk: ids are known, and reservations can be ended, wherever they are; after a crash, too.
func TestIDsOnDisk(t *testing.T) {
	b := newIDBank(t, nil)
	b.manyIDs()
	b.wantAll()
	for _, restart := range []func(){func() {}, b.crash, func() { b.close(); b.open() }} {
		restart()
		b.wantAll()
	}
	id := uint64(5000)
	for pending := uint64(firstID + 7); pending < lastID; pending += 20 {
		id++
		post := journal.Transfer{ID: money.From(id), PendingID: money.From(pending), Amount: money.Max(), Flags: journal.TransferPost}
		b.want(do(b, journal.KindTransfers, post), "created")
	}
	b.crash()
	for pending := uint64(firstID + 7); pending < lastID; pending += 20 {
		id++
		void := journal.Transfer{ID: money.From(id), PendingID: money.From(pending), Flags: journal.TransferVoid}
		b.want(do(b, journal.KindTransfers, void), "pending_transfer_already_posted")
	}
	b.wantAll()
	if got := b.balance(2); got.CreditsPosted != money.From(3*(lastID-firstID)) || !got.CreditsPending.IsZero() {
		t.Errorf("credits %v posted, %v pending", got.CreditsPosted, got.CreditsPending)
	}
	if n := len(b.idFiles()); n < 10 {
		t.Errorf("%d generations were written", n)
	}
}

// TestSnapshotWhoseIDsAreGone: a start without one of the files, or with another file in its place, replays the journal
// instead, and makes the file anew.
func TestSnapshotWhoseIDsAreGone(t *testing.T) {
	for name, spoil := range map[string]func(fs *vfs.MemFS, path string) error{
		"removed": func(fs *vfs.MemFS, path string) error { return fs.Remove(path) },
		"head":    func(fs *vfs.MemFS, path string) error { return flip(fs, path, 40) },
		"end":     func(fs *vfs.MemFS, path string) error { return flip(fs, path, -4000) },
		"another": func(fs *vfs.MemFS, path string) error { return fs.Link("bank/ids/ids-0000000000000002.gen", path) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newIDBank(t, nil)
			b.manyIDs()
			b.awaitSnapshot()
			b.close()
			path := "bank/ids/" + b.idFiles()[0]
			if name == "another" {
				if err := b.fs.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			if err := spoil(b.fs, path); err != nil {
				t.Fatal(err)
			}
			log := &messages{}
			b.opts.Logger = log.logger()
			b.open()
			if !strings.Contains(log.String(), "snapshot left out") || strings.Contains(log.String(), "snapshot loaded") {
				t.Errorf("the cell logged: %s", log)
			}
			b.wantAll()
		})
	}
}

// flip changes a bit of a file; a negative offset counts from its end.
func flip(fs *vfs.MemFS, path string, at int64) error {
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if at < 0 {
		at += info.Size()
	}
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

// TestDamagedIDsStopTheCell: what can't be looked up may be known. The cell names the file and stops.
func TestDamagedIDsStopTheCell(t *testing.T) {
	b := newIDBank(t, nil)
	b.manyIDs()
	b.close()
	path := "bank/ids/" + b.idFiles()[0]
	if err := flip(b.fs, path, 4096+8); err != nil { // in the only page of entries
		t.Fatal(err)
	}
	b.open()
	tr := []journal.Transfer{transfer(firstID, 1, 2, 3)}
	r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
	err := b.Do(context.Background(), r)
	var damage *local.DamageError
	if !errors.As(err, &damage) || damage.File != path || damage.Offset != 4096 {
		t.Errorf("a transfer of an id in the damaged page: %v", err)
	}
	if err := b.Close(); !errors.As(err, &damage) {
		t.Errorf("the cell ended with %v", err)
	}
	if err := errors.Join(b.store.Close(), b.index.Close()); err != nil {
		t.Error(err)
	}
	if err := b.fs.Remove(path); err != nil { // what docs/formats.md says to do
		t.Fatal(err)
	}
	b.open()
	b.wantAll()
}

// heldIDs are files that can be written only when told.
type heldIDs struct {
	cell.IDFiles
	full  atomic.Bool
	gate  chan struct{} // nil: it is open
	tried chan struct{}
}

func (h *heldIDs) Write(g *ledger.Generation) (ledger.GenerationRef, []uint64, error) {
	if h.gate != nil {
		<-h.gate
	}
	if h.full.Load() {
		select {
		case h.tried <- struct{}{}:
		default:
		}
		return ledger.GenerationRef{}, nil, fmt.Errorf("write ids: %w", cell.ErrFull)
	}
	return h.IDFiles.Write(g)
}

// TestIDsOnAFullDisk: ids stay in memory as long as that is bounded; then writes are refused, until there is space.
func TestIDsOnAFullDisk(t *testing.T) {
	h := &heldIDs{tried: make(chan struct{}, 1)}
	b := newIDBank(t, func(inner cell.IDFiles) cell.IDFiles { h.IDFiles = inner; return h })
	h.full.Store(true)
	id, refused := uint64(firstID), false
	for ; id < firstID+1000 && !refused; id++ {
		tr := []journal.Transfer{transfer(id, 1, 2, 3)}
		r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
		if err := b.Do(context.Background(), r); err != nil {
			if !errors.Is(err, cell.ErrFull) {
				t.Fatal(err)
			}
			refused = true
		}
	}
	if n := id - firstID; !refused || n < 150 || !b.Stats().NoRoom {
		t.Errorf("after %d transfers: refused %v, stats %+v", n, refused, b.Stats())
	}
	<-h.tried
	b.close() // it does not wait for space
	b.open()  // on a disk that is still full
	if list, err := b.LookupTransfers(t.Context(), []money.U128{money.From(firstID)}); err != nil || len(list) != 1 {
		t.Errorf("the first transfer: %v, %v", list, err)
	}
	h.full.Store(false)
	for done := false; !done; {
		tr := []journal.Transfer{transfer(9999, 1, 2, 3)}
		r := &cell.Request{Kind: journal.KindTransfers, Events: journal.Bytes(tr), Results: make([]journal.Result, 1)}
		err := b.Do(context.Background(), r)
		if done = err == nil; err != nil && !errors.Is(err, cell.ErrFull) {
			t.Fatal(err)
		}
	}
	if got := b.balance(2).CreditsPosted; got != money.From(3*(id-1-firstID)+3) {
		t.Errorf("credits posted %v after %d transfers", got, id-firstID)
	}
}

// TestWritesWaitForIDs: a disk that is slow with files of ids slows writes down, and none is refused.
func TestWritesWaitForIDs(t *testing.T) {
	h := &heldIDs{gate: make(chan struct{})}
	b := newIDBank(t, func(inner cell.IDFiles) cell.IDFiles { h.IDFiles = inner; return h })
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.manyIDs()
	}()
	for range 3 { // the fourth can't be full before the first was written
		select {
		case <-done:
			t.Fatal("writes did not wait")
		case h.gate <- struct{}{}:
		}
	}
	close(h.gate)
	<-done
	b.wantAll()
}

// TestIDsThatWereAllInMemory: a snapshot with more ids than a generation takes is used, and its ids go to disk.
func TestIDsThatWereAllInMemory(t *testing.T) {
	b := newBank(t, func(o *cell.Options) { o.Generation, o.SnapshotEvents, o.Clock = 1_000_000, 500, clock.NewSystem() })
	do(b, journal.KindAccounts, account(1), account(2))
	b.manyIDs()
	b.awaitSnapshot()
	b.close()
	b.opts.Generation, b.opts.SnapshotEvents = 50, 300
	log := &messages{}
	b.opts.Logger = log.logger()
	b.open()
	if !strings.Contains(log.String(), "snapshot loaded") {
		t.Errorf("the snapshot was not used: %s", log)
	}
	b.wantAll()
	if n := len(b.idFiles()); n < 5 {
		t.Errorf("%d generations were written", n)
	}
	b.manyIDs()
	b.crash()
	b.wantAll()
}

// messages collects what a cell logs.
type messages struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (m *messages) Write(b []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.Write(b)
}

func (m *messages) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.text.String()
}

func (m *messages) logger() *slog.Logger { return slog.New(slog.NewTextHandler(m, nil)) }
