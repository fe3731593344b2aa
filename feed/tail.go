package feed

import (
	"sync"

	"github.com/sterlingrun/sterling/journal"
)

// tailBytes bounds the recent blocks kept in memory, as they stand in the journal.
const (
	tailBytes = 16 << 20
	pageBytes = 512 // of a page beside its block, about
)

// tail keeps the last blocks while there are subscribers, so that those at the head never read the disk. All of them
// share one copy of a block.
type tail struct {
	mu    sync.Mutex
	pages map[uint64]*page
	order []uint64 // ascending
	bytes int
}

func (t *tail) add(p *page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pages == nil {
		t.pages = map[uint64]*page{}
	}
	seq := p.block.Header.Seq
	t.pages[seq] = p
	t.order = append(t.order, seq)
	t.bytes += len(p.block.Raw) + pageBytes
	for t.bytes > tailBytes {
		t.drop()
	}
}

// drop forgets the oldest block. mu is held.
func (t *tail) drop() {
	seq := t.order[0]
	p := t.pages[seq]
	t.bytes -= len(p.block.Raw) + pageBytes
	p.shared.drop()
	delete(t.pages, seq)
	t.order = t.order[1:]
}

// clear forgets all blocks: nobody subscribes any more.
func (t *tail) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.pages {
		p.shared.drop()
	}
	t.pages, t.order, t.bytes = nil, nil, 0
}

func (t *tail) find(seq uint64) *page {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pages[seq]
}

// block returns a recent block, or nil.
func (t *tail) block(seq uint64) *journal.Block {
	if p := t.find(seq); p != nil {
		return p.block
	}
	return nil
}
