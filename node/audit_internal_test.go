package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// shifted is the machine's clock, set ahead or back.
type shifted struct {
	clock.Clock
	wall, mono time.Duration
}

func (s *shifted) Wall() uint64 { return s.Clock.Wall() + uint64(s.wall) }
func (s *shifted) Mono() uint64 { return s.Clock.Mono() + uint64(s.mono) }

// stating is an auditor that is stepped by hand.
type stating struct {
	*auditor
	t     *testing.T
	clock *shifted
	log   bytes.Buffer
	now   audit.Statement
	err   error
	chain []*journal.Block
}

func newStating(t *testing.T, dir string, key *audit.Key) *stating {
	t.Helper()
	s := &stating{t: t, clock: &shifted{Clock: clock.NewSystem()}, chain: blocksOf(t, 9)}
	s.auditor = &auditor{
		dir: filepath.Join(dir, "log"), cell: 1, key: key, clock: s.clock, logger: slog.New(slog.NewTextHandler(&s.log, nil)),
		statement: func(context.Context) (audit.Statement, error) { return s.now, s.err },
		header: func(_ context.Context, seq uint64) (journal.Header, error) {
			if seq > uint64(len(s.chain)) {
				return journal.Header{}, errors.New("there is no such block")
			}
			return s.chain[seq-1].Header, nil
		},
	}
	t.Cleanup(func() {
		if err := s.closeLog(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// blocksOf is the beginning of a journal.
func blocksOf(t *testing.T, n uint64) (list []*journal.Block) {
	t.Helper()
	h := journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1}
	for seq := uint64(1); seq <= n; seq++ {
		b := journal.NewBuilder()
		b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, journal.RecordSize))
		h.Seq, h.Time = seq, 1_000*seq
		k, err := journal.Decode(bytes.Clone(b.Seal(h).Raw))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, k)
		h.Prev = k.Hash
	}
	return list
}

// at is what is stated after a block.
func (s *stating) at(seq uint64) {
	k := s.chain[seq-1]
	s.now, s.err = audit.Statement{Cell: 1, Seq: seq, Hash: k.Hash, Time: k.Header.Time, Events: seq}, nil
}

// entries steps once, and expects the log to have so many entries then.
func (s *stating) entries(want uint64) {
	s.t.Helper()
	s.step(s.t.Context())
	c, err := s.Published()
	if err != nil || c.Size != want {
		s.t.Fatalf("%d entries, %v, %q, want %d", c.Size, err, s.Failure(), want)
	}
}

func (s *stating) fails(words string) {
	s.t.Helper()
	s.step(s.t.Context())
	if !strings.Contains(s.Failure(), words) {
		s.t.Fatalf("failure %q, want %q", s.Failure(), words)
	}
}

func newAuditKey(t *testing.T) *audit.Key {
	t.Helper()
	key, err := audit.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuditorStatesChangesAndEveryMinute(t *testing.T) {
	s := newStating(t, t.TempDir(), newAuditKey(t))
	s.at(1)
	s.entries(1)
	s.entries(1)
	s.now.SafeThrough = 5 // only time has passed
	s.entries(1)
	s.clock.wall = restate
	s.entries(2)
	s.at(2)
	s.now.SafeThrough = 5
	s.clock.wall = 0 // set back: it is stated all the same, and not as earlier
	s.entries(3)
	if last, _ := s.open().Last(); last.Seq != 2 || last.SafeThrough != 5 {
		t.Errorf("%+v", last)
	}
	if s.Failure() != "" || s.failures != 0 {
		t.Errorf("failure %q, %d of them", s.Failure(), s.failures)
	}
}

func TestAuditorTellsFailuresOnceAndGoesOn(t *testing.T) {
	dir := t.TempDir()
	s := newStating(t, dir, newAuditKey(t))
	s.at(3)
	s.entries(1)
	s.err = errors.New("watch is not there")
	s.fails("what to state: watch is not there")
	s.fails("what to state: watch is not there")
	if n := strings.Count(s.log.String(), "watch is not there"); n != 1 {
		t.Errorf("told %d times:\n%s", n, s.log.String())
	}
	s.at(2)
	s.fails("it has to catch up")
	s.at(4)
	s.now.Totals = []audit.Total{{Asset: "CNY/2", Transfers: 1}}
	s.now.Totals[0].DebitsPosted.Lo = 1
	s.fails("CNY/2 does not balance")
	s.at(4)
	s.entries(2)

	// The folder goes away and comes back: it is opened again after a while.
	if err := os.Rename(filepath.Join(dir, "log"), filepath.Join(dir, "away")); err != nil {
		t.Fatal(err)
	}
	s.at(5)
	s.fails("transparency log")
	if _, err := s.Published(); !errors.Is(err, audit.ErrLog) {
		t.Errorf("published: %v", err)
	}
	if err := os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	s.fails("transparency log")
	s.clock.mono = reopenAfter
	s.entries(3)
	if s.Failure() != "" {
		t.Errorf("failure %q", s.Failure())
	}
}

func TestAuditorRefusesAnotherJournal(t *testing.T) {
	dir, key := t.TempDir(), newAuditKey(t)
	s := newStating(t, dir, key)
	s.at(5)
	s.entries(1)
	if err := s.closeLog(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.chain[4].Header.Events++
	s.fails("was signed as")
	s = newStating(t, dir, key)
	s.chain = s.chain[:4]
	s.fails("block 5 was signed, and can't be read now")
}

// blockList is a journal in memory, handed out two blocks at a time.
type blockList [][]byte

func (b blockList) Blocks(_ context.Context, from uint64) ([][]byte, error) {
	return b[min(from-1, uint64(len(b))):min(from+1, uint64(len(b)))], nil
}

func TestVerifyAuditComparesBlocks(t *testing.T) {
	dir, key := t.TempDir(), newAuditKey(t)
	s := newStating(t, dir, key)
	for i, seq := range []uint64{2, 3, 7} {
		s.at(seq)
		s.entries(uint64(i) + 1)
	}
	var good blockList
	for _, k := range s.chain {
		good = append(good, k.Raw)
	}
	verify := func(blocks blockList, since *audit.State) (*AuditReport, error) {
		return VerifyAudit(t.Context(), AuditOptions{
			VerifyOptions: audit.VerifyOptions{Files: audit.Folder{Dir: filepath.Join(dir, "log")}, Trusted: audit.Trusted{Key: key.Public()}, Since: since},
			Blocks:        blocks,
		})
	}
	r, err := verify(good, nil)
	if err != nil || r.Blocks != 7 || r.Block != 7 {
		t.Fatalf("%+v, %v", r, err)
	}
	s.at(9)
	s.entries(4)
	if r, err := verify(good, r.State); err != nil || r.Blocks != 2 {
		t.Errorf("since then: %+v, %v", r, err)
	}
	resealed := func(seq uint64, change func(*journal.Header)) []byte {
		b := journal.NewBuilder()
		b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, journal.RecordSize))
		h := s.chain[seq-1].Header
		change(&h)
		return bytes.Clone(b.Seal(h).Raw)
	}
	for name, c := range map[string]struct {
		seq   uint64
		raw   []byte
		block uint64 // at which it is noticed
		words string
	}{
		"altered byte":    {4, append(bytes.Clone(good[3][:len(good[3])-1]), 1), 4, "does not match its hash"},
		"cut":             {4, good[3][:100], 4, "a header has"},
		"another epoch":   {3, resealed(3, func(h *journal.Header) { h.Epoch = 9 }), 3, "entry 1 says"},
		"between two":     {5, resealed(5, func(h *journal.Header) { h.Epoch = 9 }), 6, "follows a block"},
		"another cell":    {1, resealed(1, func(h *journal.Header) { h.Cell = 2 }), 1, "of cell 2"},
		"another in turn": {6, good[6], 6, "it is block 7"},
		"time goes back":  {6, resealed(6, func(h *journal.Header) { h.Time = 1 }), 6, "is before that of block 5"},
	} {
		bad := append(blockList(nil), good...)
		bad[c.seq-1] = c.raw
		_, err := verify(bad, nil)
		fault := (*audit.ProofError)(nil)
		if !errors.As(err, &fault) || fault.Where != fmt.Sprintf("block %d", c.block) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want block %d: %s", name, err, c.block, c.words)
		}
	}
	if _, err := verify(good[:6], nil); !errors.Is(err, audit.ErrUnproven) || !strings.Contains(err.Error(), "the journal ends before it") {
		t.Errorf("a journal cut short: %v", err)
	}
}

// TestVerifyAuditAddsUp states the sums of a real journal, and then others.
func TestVerifyAuditAddsUp(t *testing.T) {
	b := journal.NewBuilder()
	var name [16]byte
	copy(name[:], "CNY")
	b.AddRequest(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{{Code: name, Scale: 2}}))
	b.AddRequest(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, {ID: money.From(2), Asset: 1, Code: 1}}))
	b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{
		{ID: money.From(3), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1234), Asset: 1, Code: 1},
	}))
	k, err := journal.Decode(bytes.Clone(b.Seal(journal.Header{Rules: 1, Kind: journal.BlockNormal, Cell: 1, Seq: 1, Time: 1000}).Raw))
	if err != nil {
		t.Fatal(err)
	}
	key := newAuditKey(t)
	verify := func(posted uint64) (*AuditReport, error) {
		dir := t.TempDir()
		s := newStating(t, dir, key)
		s.chain = []*journal.Block{k}
		s.at(1)
		s.now.Totals = []audit.Total{{Asset: "CNY/2", DebitsPosted: money.From(posted), CreditsPosted: money.From(posted), Transfers: 1}}
		s.entries(1)
		return VerifyAudit(t.Context(), AuditOptions{
			VerifyOptions: audit.VerifyOptions{Files: audit.Folder{Dir: filepath.Join(dir, "log")}, Trusted: audit.Trusted{Key: key.Public()}},
			Blocks:        blockList{k.Raw}, Sums: true,
		})
	}
	if r, err := verify(1234); err != nil || r.Sums != 1 {
		t.Errorf("the right sums: %+v, %v", r, err)
	}
	fault := (*audit.ProofError)(nil)
	if _, err := verify(1235); !errors.As(err, &fault) || fault.Proof != "sums" || fault.Where != "entry 0" {
		t.Errorf("a cent more on both sides: %v", err)
	}
}

func TestStatedByWatch(t *testing.T) {
	names := map[uint32]string{1: "USD/2", 2: "CNY/2"}
	name := func(n uint32) string { return names[n] }
	w := watch.Statement{
		Cell: 1, Seq: 2, Hash: [32]byte{3}, Time: 4, Through: 5, Events: 6,
		Totals: []watch.AssetTotal{
			{Asset: 1, DebitsPosted: watch.Amount{Lo: 1, Hi: 2}, CreditsPosted: watch.Amount{Lo: 3, Hi: 4}},
			{Asset: 2, DebitsPending: watch.Amount{Lo: 5}, CreditsPending: watch.Amount{Hi: 6}, Transfers: 7},
		},
		Sources: []watch.SourceState{{Name: "orders", Seq: 8, Digest: [32]byte{9}}, {Name: "bank", Seq: 10}},
	}
	got, err := statedByWatch(&w, name)
	want := audit.Statement{
		Cell: 1, Seq: 2, Hash: [32]byte{3}, Time: 4, SafeThrough: 5, Events: 6,
		Totals: []audit.Total{
			{Asset: "CNY/2", DebitsPending: money.From(5), CreditsPending: money.U128{Hi: 6}, Transfers: 7},
			{Asset: "USD/2", DebitsPosted: money.U128{Lo: 1, Hi: 2}, CreditsPosted: money.U128{Lo: 3, Hi: 4}},
		},
		Sources: []audit.Source{{Name: "bank", ThroughSeq: 10}, {Name: "orders", ThroughSeq: 8, Digest: [32]byte{9}}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := got.Encode(); err != nil {
		t.Error(err)
	}
	delete(names, 1)
	if _, err := statedByWatch(&w, name); err == nil {
		t.Error("an asset without a name is stated")
	}
}
