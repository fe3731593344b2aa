package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/journal"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1/watchv1connect"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/watch"
)

// BlockSource gives an auditor the journal: blocks from a sequence number on, as many as it likes and at least one
// where there is one.
type BlockSource interface {
	Blocks(ctx context.Context, from uint64) ([][]byte, error)
}

// AuditOptions say what VerifyAudit verifies.
type AuditOptions struct {
	audit.VerifyOptions
	Blocks BlockSource // nil: the log alone
	// Sums has the ledger recomputed from block 1 by watch, and its sums compared with those of every statement. It
	// needs Blocks, and no Since: a journal whose beginning is not read can't be added up.
	Sums bool
}

// AuditReport is what VerifyAudit has proven.
type AuditReport struct {
	*audit.Report
	Blocks uint64 `json:"blocks"` // whose chain was checked against the log
	Sums   uint64 `json:"sums"`   // statements whose sums were recomputed from the blocks
}

// VerifyAudit proves a transparency log, and with it that the journal is the one that was signed: its blocks are whole,
// follow each other by their hashes, and have the hashes that the log's statements name.
func VerifyAudit(ctx context.Context, o AuditOptions) (*AuditReport, error) {
	c := &blockChain{source: o.Blocks}
	if o.Blocks != nil {
		if o.Since != nil {
			c.after(o.Since)
		} else if o.Sums {
			c.recompute = true
		}
		outer := o.Entry
		o.Entry = func(index uint64, s *audit.Statement) error {
			if err := c.through(ctx, index, s); err != nil || outer == nil {
				return err
			}
			return outer(index, s)
		}
	}
	r, err := audit.VerifyLog(ctx, o.VerifyOptions)
	if err != nil {
		return nil, err
	}
	return &AuditReport{r, c.count, c.sums}, nil
}

// blockChain follows the journal beside the log.
type blockChain struct {
	source  BlockSource
	fetched [][]byte
	last    uint64 // sequence number of the last block that was taken
	hash    journal.Hash
	time    uint64
	count   uint64

	recompute bool
	books     *watch.Verifier // nil: not begun
	sums      uint64
}

// after goes on behind the block that the last verification ended with.
func (c *blockChain) after(since *audit.State) {
	if s, ok := since.Last(); ok && s.Seq > 0 {
		c.last, c.hash, c.time = s.Seq, s.Hash, s.Time
	}
}

// through takes blocks up to the one that a statement names, and compares the two.
func (c *blockChain) through(ctx context.Context, index uint64, s *audit.Statement) error {
	for c.last < s.Seq {
		if len(c.fetched) == 0 {
			list, err := c.source.Blocks(ctx, c.last+1)
			if err != nil {
				return fmt.Errorf("fetch block %d: %w", c.last+1, err)
			}
			if len(list) == 0 {
				return blockFault(c.last+1, fmt.Errorf("entry %d names block %d, and the journal ends before it", index, s.Seq))
			}
			c.fetched = list
		}
		if err := c.take(c.fetched[0], s.Cell); err != nil {
			return err
		}
		c.fetched = c.fetched[1:]
	}
	if s.Seq > 0 && (c.hash != s.Hash || c.time != s.Time) {
		return blockFault(s.Seq, fmt.Errorf("it is %x of time %d, entry %d says %x of time %d", c.hash, c.time, index, s.Hash, s.Time))
	}
	return c.compare(index, s)
}

// compare adds up what the journal has moved so far, and compares it with a statement that has sums.
func (c *blockChain) compare(index uint64, s *audit.Statement) error {
	if c.books == nil || len(s.Totals) == 0 {
		return nil
	}
	own, err := statedByWatch(&watch.Statement{Totals: c.books.Totals()}, c.books.AssetName)
	if err != nil {
		return blockFault(s.Seq, err)
	}
	if !slices.Equal(own.Totals, s.Totals) {
		return &audit.ProofError{
			Proof: "sums", Where: fmt.Sprintf("entry %d", index),
			Err: fmt.Errorf("the journal through block %d adds up to %v, the statement says %v", s.Seq, own.Totals, s.Totals),
		}
	}
	c.sums++
	return nil
}

// take checks a block and its place in the chain.
func (c *blockChain) take(raw []byte, cell uint64) error {
	seq := c.last + 1
	k, err := journal.Decode(raw)
	switch {
	case err != nil:
		return blockFault(seq, err)
	case k.Header.Seq != seq || k.Header.Cell != cell:
		return blockFault(seq, fmt.Errorf("it is block %d of cell %d", k.Header.Seq, k.Header.Cell))
	case k.Header.Prev != c.hash:
		return blockFault(seq, fmt.Errorf("it follows a block %x, and block %d is %x", k.Header.Prev, c.last, c.hash))
	case k.Header.Time < c.time:
		return blockFault(seq, fmt.Errorf("its time %d is before that of block %d, %d", k.Header.Time, c.last, c.time))
	}
	if c.recompute {
		if c.books == nil {
			c.books = watch.NewVerifier(cell)
		}
		if err := c.books.Block(raw); err != nil {
			return blockFault(seq, err)
		}
	}
	c.last, c.hash, c.time = seq, k.Hash, k.Header.Time
	c.count++
	return nil
}

func blockFault(seq uint64, err error) error {
	return &audit.ProofError{Proof: "blocks", Where: fmt.Sprintf("block %d", seq), Err: err}
}

// maxBlockPage bounds an answer of GetBlocks in bytes: 1 MiB of blocks, and one more.
const maxBlockPage = 4 << 20

// remoteBlocks reads the journal of a server.
type remoteBlocks struct {
	client watchv1connect.AuditServiceClient
}

// RemoteBlocks reads the journal of the server at base. The client authenticates as an auditor.
func RemoteBlocks(client *http.Client, base *url.URL) BlockSource {
	return remoteBlocks{watchv1connect.NewAuditServiceClient(client, base.String(), connect.WithReadMaxBytes(maxBlockPage))}
}

// Blocks implements BlockSource.
func (r remoteBlocks) Blocks(ctx context.Context, from uint64) ([][]byte, error) {
	response, err := r.client.GetBlocks(ctx, connect.NewRequest(&watchv1.GetBlocksRequest{FromSeq: from}))
	if err != nil {
		return nil, err
	}
	return response.Msg.GetBlocks(), nil
}

// FolderBlocks reads the journal of a data folder. Nothing may run on it; whoever opened it closes it.
type FolderBlocks struct{ store *local.Store }

// OpenFolderBlocks opens the journal of a data folder.
func OpenFolderBlocks(folder string, cell uint64) (*FolderBlocks, error) {
	store, err := local.Open(folder, local.Options{Cell: cell})
	if err != nil {
		return nil, err
	}
	return &FolderBlocks{store}, nil
}

// Blocks implements BlockSource.
func (f *FolderBlocks) Blocks(ctx context.Context, from uint64) ([][]byte, error) {
	head, _, err := f.store.Head(ctx)
	if err != nil || from > head {
		return nil, err
	}
	b, err := f.store.Read(ctx, from, nil)
	if damage := (*local.DamageError)(nil); errors.As(err, &damage) {
		return nil, blockFault(from, err)
	}
	return [][]byte{b}, err
}

// Close closes the folder.
func (f *FolderBlocks) Close() error { return f.store.Close() }
