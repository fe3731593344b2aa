package celltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
)

// LogHarness is an empty log of cell 1, fresh for each case.
type LogHarness struct {
	// Log and Other are two ways to the same log, as two contending leaders have them; the same one where the store
	// allows only one.
	Log, Other cell.Log
	// Reopen loses everything that isn't durable and opens the log again; both ways are dead then.
	Reopen func() (cell.Log, error)
}

// LogCase is one rule of the contract. Run returns what broke it.
type LogCase struct {
	Name string
	Run  func(ctx context.Context, h LogHarness) error
}

// Logs runs every case as a subtest, each on a log that open makes.
func Logs(t *testing.T, open func(t *testing.T) LogHarness) {
	t.Helper()
	for _, c := range LogCases() {
		t.Run(c.Name, func(t *testing.T) {
			if err := c.Run(t.Context(), open(t)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// LogCases are the rules. A test of a test runs them one by one.
func LogCases() []LogCase {
	return []LogCase{
		{"an empty log has no head and no blocks", emptyLog},
		{"what was appended is read back", readBack},
		{"a taken sequence number conflicts", takenConflicts},
		{"another predecessor conflicts", predecessorConflicts},
		{"a gap is refused", gapRefused},
		{"the last block again is no conflict", sameBytesAgain},
		{"a deposed leader's late appends conflict", deposedLeader},
		{"of two contenders one wins every number", contenders},
		{"records are read by offset", readRecords},
		{"reads go on during appends", readsDuringAppends},
		{"blocks of every size", everySize},
		{"a cancelled append leaves no doubt", cancelled},
		{"what was acknowledged survives", survives},
	}
}

var (
	leader = Writer{Cell: 1, Epoch: 1, Incarnation: 0xa1}
	rival  = Writer{Cell: 1, Epoch: 2, Incarnation: 0xb2}
)

func appendAll(ctx context.Context, l cell.Log, blocks []*journal.Block) error {
	for _, b := range blocks {
		if err := l.Append(ctx, b); err != nil {
			return err
		}
	}
	return nil
}

func wantHead(ctx context.Context, l cell.Log, seq uint64, hash journal.Hash) error {
	got, gotHash, err := l.Head(ctx)
	if err != nil {
		return fmt.Errorf("head: %w", err)
	}
	if got != seq || gotHash != hash {
		return fmt.Errorf("the head is block %d with hash %v, want block %d with %v", got, gotHash, seq, hash)
	}
	return nil
}

func wantBlock(ctx context.Context, l cell.Log, b *journal.Block) error {
	got, err := l.Read(ctx, b.Header.Seq, nil)
	if err != nil {
		return fmt.Errorf("read block %d: %w", b.Header.Seq, err)
	}
	if !bytes.Equal(got, b.Raw) {
		return fmt.Errorf("block %d has %d other bytes than the %d appended", b.Header.Seq, len(got), len(b.Raw))
	}
	return nil
}

func wantError(err, want error, what string) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got error %w, want %w", what, err, want)
	}
	return nil
}

func emptyLog(ctx context.Context, h LogHarness) error {
	if err := wantHead(ctx, h.Log, 0, journal.Hash{}); err != nil {
		return err
	}
	for _, seq := range []uint64{0, 1, 1 << 40} {
		_, err := h.Log.Read(ctx, seq, nil)
		if err := wantError(err, cell.ErrNotFound, fmt.Sprintf("read block %d", seq)); err != nil {
			return err
		}
		if err := wantError(h.Log.ReadAt(ctx, seq, make([]byte, 1), 0), cell.ErrNotFound, "read a byte"); err != nil {
			return err
		}
	}
	return nil
}

func readBack(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 300, 1, 0, 3, 7, 200, 1, 1)
	buf := make([]byte, 0, 128)
	for _, b := range blocks {
		if err := h.Log.Append(ctx, b); err != nil {
			return err
		}
		if err := wantHead(ctx, h.Log, b.Header.Seq, b.Hash); err != nil {
			return err
		}
		if err := wantBlock(ctx, h.Log, b); err != nil {
			return err
		}
	}
	for _, b := range blocks { // with a buffer that is used again and may be too small
		var err error
		if buf, err = h.Other.Read(ctx, b.Header.Seq, buf); err != nil || !bytes.Equal(buf, b.Raw) {
			return fmt.Errorf("read block %d into a used buffer: %d bytes, error %w", b.Header.Seq, len(buf), err)
		}
	}
	_, err := h.Log.Read(ctx, 301, nil)
	return wantError(err, cell.ErrNotFound, "read past the head")
}

func takenConflicts(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 3, 2)
	if err := appendAll(ctx, h.Log, blocks); err != nil {
		return err
	}
	for _, mine := range []*journal.Block{rival.Block(1, journal.Hash{}, 1), rival.Block(2, blocks[0].Hash, 1), rival.Block(3, blocks[1].Hash, 1)} {
		if err := wantError(h.Other.Append(ctx, mine), cell.ErrConflict, fmt.Sprintf("append another block %d", mine.Header.Seq)); err != nil {
			return err
		}
	}
	for _, b := range blocks {
		if err := wantBlock(ctx, h.Log, b); err != nil {
			return err
		}
	}
	return wantHead(ctx, h.Log, 3, blocks[2].Hash)
}

func predecessorConflicts(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 2, 1)
	if err := appendAll(ctx, h.Log, blocks); err != nil {
		return err
	}
	for _, prev := range []journal.Hash{{}, blocks[0].Hash, rival.Block(2, blocks[0].Hash, 1).Hash} {
		if err := wantError(h.Log.Append(ctx, leader.Block(3, prev, 1)), cell.ErrConflict, "append on "+prev.String()); err != nil {
			return err
		}
	}
	if err := wantHead(ctx, h.Log, 2, blocks[1].Hash); err != nil {
		return err
	}
	_, err := h.Log.Read(ctx, 3, nil)
	return wantError(err, cell.ErrNotFound, "read the refused block")
}

func gapRefused(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 4, 1)
	if err := h.Log.Append(ctx, blocks[1]); err == nil {
		return errors.New("block 2 was appended to an empty log")
	}
	if err := h.Log.Append(ctx, blocks[0]); err != nil {
		return err
	}
	for _, b := range blocks[2:] {
		if err := h.Log.Append(ctx, b); err == nil {
			return fmt.Errorf("block %d was appended after block 1", b.Header.Seq)
		}
	}
	if err := wantHead(ctx, h.Log, 1, blocks[0].Hash); err != nil {
		return err
	}
	return appendAll(ctx, h.Log, blocks[1:])
}

func sameBytesAgain(ctx context.Context, h LogHarness) error {
	for _, b := range leader.Chain(0, journal.Hash{}, 3, 5, 0) {
		for range 3 {
			if err := h.Log.Append(ctx, b); err != nil {
				return fmt.Errorf("the same block again: %w", err)
			}
		}
		if err := wantHead(ctx, h.Log, b.Header.Seq, b.Hash); err != nil {
			return err
		}
		if err := wantBlock(ctx, h.Log, b); err != nil {
			return err
		}
	}
	return nil
}

// deposedLeader is money-core §1: the old leader had blocks 3 and 4 under way when the new one took number 3. Number 4
// is free when its block 4 arrives; only the predecessor tells.
func deposedLeader(ctx context.Context, h LogHarness) error {
	old := leader.Chain(0, journal.Hash{}, 4, 2)
	if err := appendAll(ctx, h.Log, old[:2]); err != nil {
		return err
	}
	epoch := rival.Block(3, old[1].Hash, 0)
	if err := h.Other.Append(ctx, epoch); err != nil {
		return fmt.Errorf("take over: %w", err)
	}
	for _, late := range []*journal.Block{old[3], old[2], old[3]} {
		if err := wantError(h.Log.Append(ctx, late), cell.ErrConflict, fmt.Sprintf("the old leader's block %d", late.Header.Seq)); err != nil {
			return err
		}
	}
	next := rival.Block(4, epoch.Hash, 1)
	if err := h.Other.Append(ctx, next); err != nil {
		return fmt.Errorf("the new leader's next block: %w", err)
	}
	for _, b := range []*journal.Block{old[0], old[1], epoch, next} {
		if err := wantBlock(ctx, h.Log, b); err != nil {
			return err
		}
	}
	return wantHead(ctx, h.Log, 4, next.Hash)
}

// contenders lets two leaders race for every number.
func contenders(ctx context.Context, h LogHarness) error {
	var prev journal.Hash
	for seq := uint64(1); seq <= 50; seq++ {
		blocks := []*journal.Block{leader.Block(seq, prev, 1), rival.Block(seq, prev, 2)}
		results := make([]error, 2)
		var wait sync.WaitGroup
		for i, log := range []cell.Log{h.Log, h.Other} {
			wait.Go(func() {
				for {
					results[i] = log.Append(ctx, blocks[i])
					if !errors.Is(results[i], cell.ErrOutcomeUnknown) {
						return
					}
				}
			})
		}
		wait.Wait()
		winner := 0
		if results[0] != nil {
			winner = 1
		}
		if results[winner] != nil || !errors.Is(results[1-winner], cell.ErrConflict) {
			return fmt.Errorf("two contenders for block %d got %w and %w; want nil and a conflict", seq, results[0], results[1])
		}
		prev = blocks[winner].Hash
		if err := wantHead(ctx, h.Log, seq, prev); err != nil {
			return err
		}
		if err := wantBlock(ctx, h.Other, blocks[winner]); err != nil {
			return err
		}
	}
	return nil
}

func readRecords(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 60, 1, 400, 3, 17)
	if err := appendAll(ctx, h.Log, blocks); err != nil {
		return err
	}
	var record [journal.RecordSize]byte
	for _, b := range blocks {
		for offset := 0; offset+len(record) <= len(b.Raw); offset += 128 {
			if err := h.Log.ReadAt(ctx, b.Header.Seq, record[:], offset); err != nil {
				return err
			}
			if !bytes.Equal(record[:], b.Raw[offset:offset+len(record)]) {
				return fmt.Errorf("128 bytes at offset %d of block %d are other ones", offset, b.Header.Seq)
			}
		}
		whole := make([]byte, len(b.Raw))
		if err := h.Log.ReadAt(ctx, b.Header.Seq, whole, 0); err != nil || !bytes.Equal(whole, b.Raw) {
			return fmt.Errorf("block %d read whole by offset: error %w", b.Header.Seq, err)
		}
		for _, offset := range []int{-1, len(b.Raw) - len(record) + 1, len(b.Raw), len(b.Raw) + 1<<20} {
			if err := h.Log.ReadAt(ctx, b.Header.Seq, record[:], offset); err == nil {
				return fmt.Errorf("128 bytes at offset %d of block %d, which has %d bytes, were read without an error", offset, b.Header.Seq, len(b.Raw))
			}
		}
	}
	return nil
}

func readsDuringAppends(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 200, 1, 40, 7)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failures := make(chan error, 4)
	done := make(chan struct{})
	var wait sync.WaitGroup
	for reader := range 4 {
		wait.Go(func() {
			for at := uint64(reader); ; at += 7 { //nolint:gosec // 0 to 3
				select {
				case <-done:
					return
				default:
				}
				if err := readSome(ctx, h.Other, blocks, at); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	err := appendAll(ctx, h.Log, blocks)
	close(done)
	wait.Wait()
	close(failures)
	return errors.Join(err, <-failures)
}

// readSome reads one of the blocks that the head says are there.
func readSome(ctx context.Context, l cell.Log, blocks []*journal.Block, at uint64) error {
	head, hash, err := l.Head(ctx)
	if err != nil || head == 0 {
		return err
	}
	if hash != blocks[head-1].Hash {
		return fmt.Errorf("the head %d has hash %v", head, hash)
	}
	b := blocks[at%head]
	if err := wantBlock(ctx, l, b); err != nil {
		return err
	}
	var header [journal.HeaderSize]byte
	if err := l.ReadAt(ctx, b.Header.Seq, header[:], 0); err != nil {
		return err
	}
	if !bytes.Equal(header[:], b.Raw[:journal.HeaderSize]) {
		return fmt.Errorf("the header of block %d is another one", b.Header.Seq)
	}
	return nil
}

func everySize(ctx context.Context, h LogHarness) error {
	sizes := []int{0, 1, 2, 5, 6, 1, 62, 63, 64, 1000, 0, journal.MaxEvents, 1, journal.MaxEvents, journal.MaxEvents}
	blocks := leader.Chain(0, journal.Hash{}, len(sizes), sizes...)
	if err := appendAll(ctx, h.Log, blocks); err != nil {
		return err
	}
	for _, b := range blocks {
		if err := wantBlock(ctx, h.Log, b); err != nil {
			return err
		}
	}
	return nil
}

// cancelled: an append with a dead context is allowed to work or to fail, but the same bytes again must settle it.
func cancelled(ctx context.Context, h LogHarness) error {
	dead, cancel := context.WithCancel(ctx)
	cancel()
	var prev journal.Hash
	for seq := uint64(1); seq <= 5; seq++ {
		b := leader.Block(seq, prev, 1)
		_ = h.Log.Append(dead, b) // whatever it says, the next one decides
		if err := h.Log.Append(ctx, b); err != nil {
			return fmt.Errorf("append again after a cancelled append: %w", err)
		}
		if err := wantHead(ctx, h.Log, seq, b.Hash); err != nil {
			return err
		}
		prev = b.Hash
	}
	return nil
}

func survives(ctx context.Context, h LogHarness) error {
	blocks := leader.Chain(0, journal.Hash{}, 120, 1, 30, 0)
	if err := appendAll(ctx, h.Log, blocks[:100]); err != nil {
		return err
	}
	log, err := h.Reopen()
	if err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	if err := wantHead(ctx, log, 100, blocks[99].Hash); err != nil {
		return err
	}
	if err := log.Append(ctx, blocks[99]); err != nil {
		return fmt.Errorf("the last block again, after opening again: %w", err)
	}
	if err := wantError(log.Append(ctx, rival.Block(101, blocks[98].Hash, 1)), cell.ErrConflict, "another predecessor after opening again"); err != nil {
		return err
	}
	if err := appendAll(ctx, log, blocks[100:]); err != nil {
		return err
	}
	for _, b := range blocks {
		if err := wantBlock(ctx, log, b); err != nil {
			return err
		}
	}
	return nil
}
