package feed

import (
	"sync"

	"github.com/sterlingrun/sterling/journal"
)

// tailBytes bounds the recent blocks kept in memory, as they stand in the journal; as events they take about as much
// again.
const tailBytes = 16 << 20

// tail keeps the last blocks while there are subscribers, so that those at the head never read the disk. All of them
// share one copy of a block, and one decoding.
type tail struct {
	mu     sync.Mutex
	blocks map[uint64]*recent
	order  []uint64 // ascending
	bytes  int
}

// recent is a block that was just written. Its page is made by the first who wants it.
type recent struct {
	block *journal.Block
	mu    sync.Mutex // held while the page is made
	page  *page
}

func (t *tail) add(b *journal.Block) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.blocks == nil {
		t.blocks = map[uint64]*recent{}
	}
	seq := b.Header.Seq
	t.blocks[seq] = &recent{block: b}
	t.order = append(t.order, seq)
	t.bytes += len(b.Raw)
	for t.bytes > tailBytes {
		t.drop()
	}
}

// drop forgets the oldest block. mu is held.
func (t *tail) drop() {
	seq := t.order[0]
	t.bytes -= len(t.blocks[seq].block.Raw)
	delete(t.blocks, seq)
	t.order = t.order[1:]
}

// clear forgets all blocks: nobody subscribes any more.
func (t *tail) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocks, t.order, t.bytes = nil, nil, 0
}

func (t *tail) find(seq uint64) *recent {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.blocks[seq]
}

// block returns a recent block, or nil.
func (t *tail) block(seq uint64) *journal.Block {
	if r := t.find(seq); r != nil {
		return r.block
	}
	return nil
}
