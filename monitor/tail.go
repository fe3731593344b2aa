package monitor

import "sync"

// tailBytes bounds the recent blocks in memory. At the head of the journal a monitor takes blocks from here; behind it
// reads them from the store.
const tailBytes = 16 << 20

// tail keeps copies of the newest blocks until the monitor has taken them. Adding never waits: where the monitor is too
// slow, the oldest give way.
type tail struct {
	mu     sync.Mutex
	active bool
	blocks []tailBlock // ascending and without gaps
	bytes  int
	spare  [][]byte // buffers to be used again
}

type tailBlock struct {
	seq uint64
	raw []byte
}

// start forgets what there is and begins to keep blocks, or stops to.
func (t *tail) start(active bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active, t.blocks, t.bytes, t.spare = active, nil, 0, nil
}

func (t *tail) add(seq uint64, raw []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return
	}
	if n := len(t.blocks); n > 0 && t.blocks[n-1].seq+1 != seq {
		t.drop(n)
	}
	for len(t.blocks) > 0 && t.bytes+len(raw) > tailBytes {
		t.drop(1)
	}
	var buf []byte
	if n := len(t.spare); n > 0 {
		buf, t.spare = t.spare[n-1], t.spare[:n-1]
	}
	t.blocks = append(t.blocks, tailBlock{seq, append(buf[:0], raw...)})
	t.bytes += len(raw)
}

// drop forgets the n oldest blocks. mu is held.
func (t *tail) drop(n int) {
	for _, b := range t.blocks[:n] {
		t.bytes -= len(b.raw)
		t.keep(b.raw)
	}
	t.blocks = append(t.blocks[:0], t.blocks[n:]...)
}

// keep sets a buffer aside, as long as all together are not too large. mu is held.
func (t *tail) keep(buf []byte) {
	const most = 16
	if len(t.spare) < most {
		t.spare = append(t.spare, buf)
	}
}

// take hands block seq over, and forgets those before it; nil where it is not there. The buffer is to be given back.
func (t *tail) take(seq uint64) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for n < len(t.blocks) && t.blocks[n].seq < seq {
		n++
	}
	t.drop(n)
	if len(t.blocks) == 0 || t.blocks[0].seq != seq {
		return nil
	}
	b := t.blocks[0]
	t.bytes -= len(b.raw)
	t.blocks = append(t.blocks[:0], t.blocks[1:]...)
	return b.raw
}

func (t *tail) giveBack(buf []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keep(buf)
}
