package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// MaxDuration is how long one backup may take until its manifest is written. A longer one ends with ErrTooSlow, and the
// next one goes on from its objects. With keepOrphans it makes sure that no backup removes what another one is about to
// name.
const MaxDuration = 12 * time.Hour

// Objects that no manifest names are removed once they are older than keepOrphans. A backup names no object that was
// written more than reuseWithin before it began: it writes it again.
const (
	keepOrphans = 48 * time.Hour
	reuseWithin = 12 * time.Hour
)

// Blocks is a journal that is backed up; every cell.Log is one.
type Blocks interface {
	Head(ctx context.Context) (seq uint64, hash journal.Hash, err error)
	Read(ctx context.Context, seq uint64, dst []byte) ([]byte, error)
}

// Extra is something that lies beside the backups and is overwritten by each, so that there is only its last version:
// keys that may have to be forgotten, for instance. Name is of lower-case letters, digits, "-", "_", "." and "/".
type Extra struct {
	Name string
	Data []byte
	// Source gives the data at the moment that it is written, in the place of Data: it calls put once. nil: Data it is.
	Source func(ctx context.Context, put func(ctx context.Context, r io.Reader, size int64) error) error
}

// Options of Run. Cell, Clock and Random are required.
type Options struct {
	Cell    uint64
	Through uint64 // last block that may be copied; 0: the journal's head
	Full    bool   // begin with block 1, whatever the repository has
	Extras  []Extra
	Clock   clock.Clock
	Random  io.Reader
	Rate    int64 // bytes per second that are read at most; 0: no bound
	RunSize int64 // bytes of blocks in an object, 2 to 64 MiB; 0: 32 MiB
	// Progress is told how many blocks of how many are stored; may be nil.
	Progress func(done, total uint64)
}

// Result is what Run did.
type Result struct {
	// Manifest is the backup that reaches the head now; where New is false, one that was there before.
	Manifest *Manifest
	New      bool
	Objects  int   // new ones
	Reused   int   // found as a backup that was cut short had left them
	Bytes    int64 // of all objects of this backup, as stored
	Removed  int   // leftovers of backups that were cut short long ago
	Untidy   error // why leftovers were not removed; the backup is good all the same
	// Skipped are backups in the repository that can't be used, and so were not built upon.
	Skipped []error
}

// Run copies the blocks that the repository does not have yet. The journal may be written to meanwhile: what is
// appended after Run began is left to the next backup. Every block is checked before it is stored. A Run that was cut
// short leaves no manifest; the next one uses its objects. Errors: ErrDiverged, ErrTooSlow, journal.ErrFormat for a
// damaged journal, the journal's and the repository's.
func Run(ctx context.Context, source Blocks, r Repository, o Options) (*Result, error) {
	if o.RunSize == 0 {
		o.RunSize = defaultRun
	}
	if o.RunSize < minRun || o.RunSize > maxRaw/2 {
		return nil, fmt.Errorf("back up: objects of %d bytes: want %d to %d", o.RunSize, minRun, maxRaw/2)
	}
	for _, x := range o.Extras {
		if !validName(x.Name) || len(x.Data) > maxExtra {
			return nil, fmt.Errorf("back up: the extra %q has %d bytes: want a plain name and at most %d", x.Name, len(x.Data), maxExtra)
		}
	}
	w := &writer{source: source, repository: r, o: o, result: new(Result), began: o.Clock.Mono()}
	if err := w.run(ctx); err != nil {
		return nil, fmt.Errorf("back up cell %d: %w", o.Cell, err)
	}
	return w.result, nil
}

// writer is one backup on its way.
type writer struct {
	source     Blocks
	repository Repository
	o          Options
	result     *Result
	began      uint64 // clock.Mono
	read       int64  // bytes, for the rate

	catalog  *catalog
	stored   map[string]Entry // runs that are there
	manifest *Manifest
	prev     journal.Hash
	buf      []byte
}

func (w *writer) run(ctx context.Context) error {
	head, err := w.head(ctx)
	if err != nil {
		return err
	}
	now := w.now()
	if err := w.survey(ctx); err != nil {
		return err
	}
	if err := w.sameHistory(ctx, head); err != nil {
		return err
	}
	base := w.base()
	if err := w.putExtras(ctx); err != nil {
		return err
	}
	if base != nil && base.LastSeq == head {
		w.result.Manifest = base.Manifest
		w.result.Untidy = w.tidy(ctx)
		return nil
	}
	if err := w.begin(base, head, now); err != nil {
		return err
	}
	if err := w.copyBlocks(ctx); err != nil {
		return err
	}
	if err := w.commit(ctx); err != nil {
		return err
	}
	w.result.Untidy = w.tidy(ctx)
	return nil
}

func (w *writer) now() time.Time { return time.Unix(0, int64(w.o.Clock.Wall())).UTC() } //nolint:gosec // until 2262

func (w *writer) head(ctx context.Context) (uint64, error) {
	head, _, err := w.source.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("find the journal's head: %w", err)
	}
	if w.o.Through > 0 {
		head = min(head, w.o.Through)
	}
	if head == 0 {
		return 0, errors.New("the journal has no blocks")
	}
	return head, nil
}

// survey reads what the repository has.
func (w *writer) survey(ctx context.Context) (err error) {
	if w.catalog, err = load(ctx, w.repository, w.o.Cell); err != nil {
		return err
	}
	prefix := blocksPrefix(w.o.Cell)
	entries, err := w.repository.List(ctx, prefix)
	if err != nil {
		return fmt.Errorf("list %s: %w", prefix, err)
	}
	w.stored = make(map[string]Entry, len(entries))
	for _, e := range entries {
		w.stored[e.Name] = e
	}
	return nil
}

// sameHistory refuses a repository with any backup that is not of this journal.
func (w *writer) sameHistory(ctx context.Context, head uint64) error {
	for _, m := range w.catalog.order {
		if m.LastSeq > head {
			return fmt.Errorf("%w: backup %s reaches block %d, the journal ends with block %d; was it restored to an earlier point? use another repository",
				ErrDiverged, m.ID, m.LastSeq, head)
		}
		_, hash, err := w.block(ctx, m.LastSeq)
		if err != nil {
			return err
		}
		if Digest(hash) != m.LastHash {
			return fmt.Errorf("%w: in backup %s block %d has hash %v, in the journal %v; use another repository",
				ErrDiverged, m.ID, m.LastSeq, journal.Hash(m.LastHash), hash)
		}
	}
	return nil
}

// block reads and checks one block; the header and bytes are valid until the next call.
func (w *writer) block(ctx context.Context, seq uint64) (*journal.Block, journal.Hash, error) {
	raw, err := w.source.Read(ctx, seq, w.buf)
	if err != nil {
		return nil, journal.Hash{}, fmt.Errorf("read block %d: %w", seq, err)
	}
	w.buf = raw
	k, err := journal.Decode(raw)
	if err != nil {
		return nil, journal.Hash{}, fmt.Errorf("read block %d: %w", seq, err)
	}
	if k.Header.Seq != seq || k.Header.Cell != w.o.Cell {
		return nil, journal.Hash{}, fmt.Errorf("read block %d: %w: it is block %d of cell %d", seq, journal.ErrFormat, k.Header.Seq, k.Header.Cell)
	}
	return k, k.Hash, nil
}

// base is the backup to go on from: the one that reaches furthest among those that are whole as far as a listing tells.
func (w *writer) base() *listed {
	for _, f := range w.catalog.faults {
		w.result.Skipped = append(w.result.Skipped, f.err)
	}
	whole := map[string]bool{}
	usable := func(m *listed) bool {
		err := w.whole(m, whole)
		if err != nil {
			w.result.Skipped = append(w.result.Skipped, err)
		}
		return err == nil
	}
	best := w.catalog.newest(usable)
	if w.o.Full {
		return nil
	}
	return best
}

// whole checks that all manifests and objects which a backup stands on are there.
func (w *writer) whole(m *listed, known map[string]bool) error {
	chain, err := w.catalog.chain(m)
	if err != nil {
		return err
	}
	for _, m := range chain {
		if known[m.ID] {
			continue
		}
		for i := range m.Objects {
			o := &m.Objects[i]
			if e, ok := w.stored[o.Name]; !ok {
				return &ObjectError{Object: o.Name, Reason: "backup " + m.ID + " has it", Err: ErrMissing}
			} else if e.Bytes != o.Bytes {
				return damaged(o.Name, "it has %d bytes, backup %s says %d", e.Bytes, m.ID, o.Bytes)
			}
		}
		known[m.ID] = true
	}
	return nil
}

// begin fills in what is known of the manifest.
func (w *writer) begin(base *listed, head uint64, now time.Time) error {
	id, err := newID(now, w.o.Random)
	if err != nil {
		return err
	}
	m := &Manifest{Version: FormatVersion, ID: id, Cell: w.o.Cell, Time: now, Kind: Full, FirstSeq: 1, LastSeq: head}
	if base != nil {
		m.Kind, m.Parent, m.ParentHash = Incremental, base.ID, &base.hash
		m.FirstSeq, m.PrevHash = base.LastSeq+1, base.LastHash
	}
	for _, x := range w.o.Extras {
		m.Extras = append(m.Extras, x.Name)
	}
	w.manifest, w.prev = m, journal.Hash(m.PrevHash)
	return nil
}

// copyBlocks stores the manifest's blocks in objects.
func (w *writer) copyBlocks(ctx context.Context) error {
	m := w.manifest
	run, err := newRunWriter(m.Cell)
	if err != nil {
		return err
	}
	for seq := m.FirstSeq; seq <= m.LastSeq; seq++ {
		k, hash, err := w.block(ctx, seq)
		if err != nil {
			return err
		}
		if k.Header.Prev != w.prev {
			return fmt.Errorf("read block %d: %w: it follows %v, but the block before it is %v", seq, journal.ErrFormat, k.Header.Prev, w.prev)
		}
		w.prev, m.LastHash, m.LastTime = hash, Digest(hash), k.Header.Time
		if err := run.add(seq, k.Raw); err != nil {
			return err
		}
		w.read += int64(len(k.Raw))
		if run.raw >= w.o.RunSize || seq == m.LastSeq {
			if err := w.store(ctx, run); err != nil {
				return err
			}
			if w.o.Progress != nil {
				w.o.Progress(seq-m.FirstSeq+1, m.LastSeq-m.FirstSeq+1)
			}
		}
		if err := w.pace(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pace waits where more was read than the rate allows.
func (w *writer) pace(ctx context.Context) error {
	if w.o.Rate <= 0 {
		return nil
	}
	due := time.Duration(float64(w.read) / float64(w.o.Rate) * float64(time.Second))
	if ahead := due - w.elapsed(); ahead > 10*time.Millisecond {
		return clock.Sleep(ctx, w.o.Clock, ahead)
	}
	return nil
}

func (w *writer) elapsed() time.Duration {
	return time.Duration(w.o.Clock.Mono() - w.began) //nolint:gosec // centuries
}

// store puts one object, unless a backup that was cut short has left it there, whole and young enough.
func (w *writer) store(ctx context.Context, run *runWriter) error {
	if w.elapsed() > MaxDuration {
		return fmt.Errorf("%w: %v; the next one goes on from here", ErrTooSlow, MaxDuration)
	}
	o, b, err := run.finish()
	if err != nil {
		return err
	}
	w.manifest.Objects = append(w.manifest.Objects, o)
	w.result.Bytes += o.Bytes
	if e, ok := w.stored[o.Name]; ok && e.Bytes == o.Bytes && w.now().Sub(e.Modified) < reuseWithin {
		if there, err := w.repository.Get(ctx, o.Name, o.Bytes); err == nil && bytes.Equal(there, b) {
			w.result.Reused++
			return nil
		}
	}
	if err := w.repository.Put(ctx, o.Name, b); err != nil {
		return fmt.Errorf("put %s: %w", o.Name, err)
	}
	w.result.Objects++
	return nil
}

// commit writes the manifest: from then on the backup exists.
func (w *writer) commit(ctx context.Context) error {
	if w.elapsed() > MaxDuration {
		return fmt.Errorf("%w: %v; the next one goes on from here", ErrTooSlow, MaxDuration)
	}
	b, _, err := w.manifest.Encode()
	if err != nil {
		return err
	}
	name := manifestName(w.manifest.Cell, w.manifest.ID)
	if len(b) > maxManifest {
		return fmt.Errorf("put %s: it has %d bytes: at most %d", name, len(b), maxManifest)
	}
	if err := w.repository.Put(ctx, name, b); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	w.result.Manifest, w.result.New = w.manifest, true
	return nil
}

// tidy removes what backups that were cut short left behind long ago. With a manifest that can't be read nothing is
// removed: who knows what it names.
func (w *writer) tidy(ctx context.Context) error {
	if len(w.catalog.faults) > 0 {
		return nil
	}
	named := map[string]bool{}
	for _, m := range w.catalog.order {
		for i := range m.Objects {
			named[m.Objects[i].Name] = true
		}
	}
	if w.manifest != nil {
		for i := range w.manifest.Objects {
			named[w.manifest.Objects[i].Name] = true
		}
	}
	entries, err := w.repository.List(ctx, cellPrefix(w.o.Cell))
	if err != nil {
		return fmt.Errorf("list %s: %w", cellPrefix(w.o.Cell), err)
	}
	runs := blocksPrefix(w.o.Cell)
	for _, e := range entries {
		orphan := len(e.Name) > len(runs) && e.Name[:len(runs)] == runs && !named[e.Name]
		if !orphan && !e.Leftover || w.now().Sub(e.Modified) < keepOrphans {
			continue
		}
		if err := w.repository.Remove(ctx, e.Name); err != nil {
			return fmt.Errorf("remove %s: %w", e.Name, err)
		}
		w.result.Removed++
	}
	return nil
}
