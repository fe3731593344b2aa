package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ErrUnproven is wrapped by every error that says: what is there is not what was signed. Other errors of a
// verification say that it could not be done.
var ErrUnproven = errors.New("NOT PROVEN")

// ProofError says which proof failed, and where. It is ErrUnproven.
type ProofError struct {
	Proof string // what was to be proven: "checkpoint", "consistency", "inclusion", "signature", "chain", "totals", "blocks"
	Where string // "entry 17", "tile/0/000.p/5", "checkpoint", "block 12"
	Err   error
}

// Error implements error.
func (e *ProofError) Error() string {
	return fmt.Sprintf("%v: %s of %s: %v", ErrUnproven, e.Proof, e.Where, e.Err)
}

// Unwrap implements errors.Is for ErrUnproven and the cause.
func (e *ProofError) Unwrap() []error { return []error{ErrUnproven, e.Err} }

// VerifyOptions say what to verify, and by what.
type VerifyOptions struct {
	Files   Files
	Trusted Trusted
	// Since is what the last verification saw; nil: everything is verified.
	Since *State
	// Entry is told of every entry that is new since then, in order, once its signature and its place in the chain are
	// checked. Its error ends the verification. nil: nobody is.
	Entry func(index uint64, s *Statement) error
	// Heads is told of every new entry that states heads of records, likewise.
	Heads func(index uint64, h *Heads) error
	// Progress is told how many of the entries are checked. nil: nobody is.
	Progress func(done, total uint64)
}

// Report is what was proven.
type Report struct {
	Cell  uint64     `json:"cell"`
	Size  uint64     `json:"size"`           // entries of the log
	Root  string     `json:"root"`           // hexadecimal
	From  uint64     `json:"from"`           // entries before it were verified the last time
	First *Statement `json:"-"`              // of those that were verified now; nil: none
	Last  *Statement `json:"-"`              // of the log; nil: it is empty
	State *State     `json:"-"`              // for the next verification
	Block uint64     `json:"seq,omitempty"`  // of Last
	Hash  string     `json:"hash,omitempty"` // of that block

	Withdrawals uint64      `json:"withdrawals"`               // statements verified now whose SafeThrough is before an earlier one's
	Withdrawn   *Withdrawal `json:"last_withdrawal,omitempty"` // the last of them
}

// Withdrawal is a proof that was taken back: a break came to light late, or a flow joined whose witness is behind.
type Withdrawal struct {
	Entry uint64 `json:"entry"`
	Made  uint64 `json:"made"` // ns since 1970 UTC
	From  uint64 `json:"from"` // what had been safe through, ns since 1970 UTC
	To    uint64 `json:"to"`
}

// VerifyLog proves a log by nothing but a public key: the checkpoint is signed, it goes on from the one seen before, every
// entry is in it and every tile belongs to it, every statement is signed, balances, and takes nothing back. Errors that
// are ErrUnproven are a *ProofError.
func VerifyLog(ctx context.Context, o VerifyOptions) (*Report, error) {
	c, err := ReadCheckpoint(ctx, o.Files, o.Trusted)
	if o.Since != nil && errors.Is(err, fs.ErrNotExist) {
		return nil, &ProofError{"consistency", "checkpoint", fmt.Errorf("the log is gone: %w", err)}
	}
	if err != nil {
		return nil, err
	}
	v := &verification{VerifyOptions: o, checkpoint: c}
	if o.Since != nil {
		v.old, v.lineage = o.Since.checkpoint, o.Since.lineage.clone()
		if err := v.checkGrowth(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := v.old.Size / tileWidth
	files := newAhead(ctx, o.Files, begin, c.Size)
	defer func() { cancel(); files.wait() }()
	v.reader = newReader(files, c.Size)
	if err := v.walk(ctx, begin*tileWidth); err != nil {
		return nil, err
	}
	return v.report(), nil
}

// ReadCheckpoint reads the log's checkpoint and checks its signature. Its errors are those of VerifyLog.
func ReadCheckpoint(ctx context.Context, files Files, t Trusted) (Checkpoint, error) {
	raw, err := files.File(ctx, file{checkpoint: true}.path(), maxNote)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("read the checkpoint: %w", err)
	}
	c, err := t.OpenCheckpoint(raw)
	if err != nil {
		return c, &ProofError{"signature", "checkpoint", err}
	}
	return c, nil
}

type verification struct {
	VerifyOptions
	checkpoint, old Checkpoint
	lineage         lineage
	reader          *reader
	first           *Statement
	withdrawals     uint64
	withdrawn       *Withdrawal
}

// checkGrowth compares the checkpoint with the one of the last time, as far as their sizes and roots go.
func (v *verification) checkGrowth() error {
	fault := func(format string, args ...any) error {
		return &ProofError{"consistency", "checkpoint", fmt.Errorf(format, args...)}
	}
	switch old, now := &v.old, &v.checkpoint; {
	case now.Cell != old.Cell:
		return fault("it is of cell %d, the last one was of cell %d", now.Cell, old.Cell)
	case now.Size < old.Size:
		return fault("the log was cut short: it has %d entries, and had %d", now.Size, old.Size)
	case now.Size == old.Size && now.Root != old.Root:
		return fault("the log was rewritten: its %d entries have root %x, and had %x", now.Size, now.Root, old.Root)
	}
	return nil
}

// walk reads the entries from begin on, and proves them one by one and all together.
func (v *verification) walk(ctx context.Context, begin uint64) error {
	grown, err := v.reader.rangeTo(ctx, begin)
	if err != nil {
		return missing("consistency", fmt.Sprintf("the tiles of the first %d entries", begin), err)
	}
	for i := begin; ; i++ {
		if i == v.old.Size && i > 0 {
			if root, err := rootOf(grown); err != nil || root != v.old.Root {
				return &ProofError{"consistency", fmt.Sprintf("the first %d entries", i), errors.Join(err, errors.New("the log was rewritten: they are not the ones of the last verification"))}
			}
		}
		if i == v.checkpoint.Size {
			break
		}
		if err := v.entry(ctx, grown, i); err != nil {
			return err
		}
		if v.Progress != nil {
			v.Progress(i+1-begin, v.checkpoint.Size-begin)
		}
	}
	root, err := rootOf(grown)
	if err == nil && root != v.checkpoint.Root {
		err = fmt.Errorf("the %d entries have the root %x, the signed checkpoint says %x", v.checkpoint.Size, root, v.checkpoint.Root)
	}
	if err != nil {
		return &ProofError{"inclusion", "checkpoint", err}
	}
	return nil
}

// entry proves one entry, as far as it can be proven alone, and that the tiles hold it.
func (v *verification) entry(ctx context.Context, grown *compact.Range, index uint64) error {
	where := fmt.Sprintf("entry %d", index)
	list, err := v.reader.entries(ctx, index/tileWidth)
	if err != nil {
		return missing("inclusion", where, err)
	}
	raw := list[index%tileWidth]
	if index >= v.old.Size {
		if err := v.statement(index, raw); err != nil {
			return err
		}
	}
	var fault error
	err = grown.Append(rfc6962.DefaultHasher.HashLeaf(raw), func(id compact.NodeID, hash []byte) {
		if id.Level%tileHeight != 0 || fault != nil {
			return
		}
		level := uint64(id.Level) / tileHeight
		at := tileOf(level, id.Index/tileWidth, v.checkpoint.Size).path()
		if node, err := v.reader.node(ctx, level, id.Index); err != nil {
			fault = missing("inclusion", at, err)
		} else if !bytes.Equal(node, hash) {
			fault = &ProofError{"inclusion", at, fmt.Errorf("its hash %d is not that of the entries below, through %s", id.Index%tileWidth, where)}
		}
	})
	if err != nil {
		return fmt.Errorf("add %s to the tree: %w", where, err)
	}
	return fault
}

// statement proves what an entry says.
func (v *verification) statement(index uint64, raw []byte) error {
	where := fmt.Sprintf("entry %d", index)
	e, err := ParseEntry(index, raw)
	if err != nil {
		return &ProofError{"signature", where, err}
	}
	if e.OfRecords() {
		return v.heads(&e, where)
	}
	s, err := e.Open(v.Trusted.Key)
	if err != nil {
		return &ProofError{"signature", where, err}
	}
	if s.Cell != v.checkpoint.Cell {
		return &ProofError{"chain", where, fmt.Errorf("it is of cell %d, the log is of cell %d", s.Cell, v.checkpoint.Cell)}
	}
	if before := v.lineage.last.SafeThrough; s.SafeThrough < before {
		v.withdrawals++
		v.withdrawn = &Withdrawal{Entry: index, Made: s.Made, From: before, To: s.SafeThrough}
	}
	if err := v.lineage.take(&s); err != nil {
		return &ProofError{"chain", where, err}
	}
	if err := s.Check(); err != nil {
		return &ProofError{"totals", where, err}
	}
	if v.first == nil {
		v.first = &s
	}
	if v.Entry == nil {
		return nil
	}
	return v.Entry(index, &s)
}

// heads proves an entry that is not about the ledger.
func (v *verification) heads(e *Entry, where string) error {
	h, err := e.OpenHeads(v.Trusted.Key)
	if err != nil {
		return &ProofError{"signature", where, err}
	}
	if h.Cell != v.checkpoint.Cell {
		return &ProofError{"chain", where, fmt.Errorf("it is of cell %d, the log is of cell %d", h.Cell, v.checkpoint.Cell)}
	}
	if v.Heads == nil {
		return nil
	}
	return v.Heads(e.Index, &h)
}

// missing turns what a checkpoint promised and is not there, or is no such file, into a failed proof. What could not be
// fetched stays an error of the world.
func missing(proof, where string, err error) error {
	if bad := (*fileError)(nil); errors.As(err, &bad) {
		return &ProofError{proof, bad.path, bad.err}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return &ProofError{proof, where, fmt.Errorf("the signed checkpoint has it, the log does not: %w", err)}
	}
	return fmt.Errorf("read %s: %w", where, err)
}

func (v *verification) report() *Report {
	c := v.checkpoint
	r := &Report{Cell: c.Cell, Size: c.Size, Root: fmt.Sprintf("%x", c.Root), From: v.old.Size, First: v.first, State: &State{c, v.lineage}, Withdrawals: v.withdrawals, Withdrawn: v.withdrawn}
	if v.lineage.heard {
		last := v.lineage.last
		r.Last, r.Block, r.Hash = &last, last.Seq, fmt.Sprintf("%x", last.Hash)
	}
	return r
}
