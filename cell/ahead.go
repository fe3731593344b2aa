package cell

import (
	"context"
	"io"
	"sync"

	"github.com/sterlingrun/sterling/journal"
)

// blockReader reads and decodes blocks ahead of who uses them: reading, checksums and hashes of several blocks at a
// time, which are handed out in order.
type blockReader struct {
	blocks  [readers]chan readBlock // block number n of the run comes from reader n % readers
	buffers chan []byte
	count   int // blocks handed out
	running sync.WaitGroup
}

type readBlock struct {
	block *journal.Block
	err   error
}

const (
	readers        = 2
	readAheadOfOne = 3 // blocks that a reader has ready
)

// bulkLog is a Log that reads many blocks in few round trips, as one in a database does: seq and those after it, in
// order, up to maxBlocks and maxBytes, but one at least; none where seq is not there. raw is valid during fn only.
type bulkLog interface {
	ReadFrom(ctx context.Context, seq uint64, maxBlocks, maxBytes int, fn func(seq uint64, raw []byte) error) error
}

const (
	bulkFrom   = 8 // blocks that are worth reading in bulk
	bulkBlocks = 1024
	bulkBytes  = 8 << 20
)

func startReader(ctx context.Context, log Log, from, to uint64) *blockReader {
	const most = readers * (readAheadOfOne + 2) // ready, being read, and being used
	r := &blockReader{buffers: make(chan []byte, most)}
	for range most {
		r.buffers <- nil
	}
	for i := range r.blocks {
		r.blocks[i] = make(chan readBlock, readAheadOfOne)
	}
	if bulk, ok := log.(bulkLog); ok && to-from >= bulkFrom {
		r.running.Go(func() { r.readBulk(ctx, bulk, from, to) })
		return r
	}
	for i := range r.blocks {
		r.running.Go(func() { r.read(ctx, log, r.blocks[i], from+uint64(i), to) }) //nolint:gosec // small
	}
	return r
}

// read reads every block that is one reader's.
func (r *blockReader) read(ctx context.Context, log Log, into chan<- readBlock, from, to uint64) {
	for seq := from; seq <= to; seq += readers {
		var b []byte
		select {
		case b = <-r.buffers:
		case <-ctx.Done():
			return
		}
		block, err := readOne(ctx, log, seq, b)
		select {
		case into <- readBlock{block, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// readBulk reads all blocks for all readers.
func (r *blockReader) readBulk(ctx context.Context, log bulkLog, from, to uint64) {
	next := from
	give := func(b readBlock) error {
		select {
		case r.blocks[(next-from)%readers] <- b:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	take := func(seq uint64, raw []byte) error {
		var b []byte
		select {
		case b = <-r.buffers:
		case <-ctx.Done():
			return ctx.Err()
		}
		block, err := journal.Decode(append(b[:0], raw...))
		if err != nil {
			return err
		}
		if err = give(readBlock{block: block}); err == nil {
			next = seq + 1
		}
		return err
	}
	for next <= to {
		before := next
		err := log.ReadFrom(ctx, next, int(min(bulkBlocks, to-next+1)), bulkBytes, take)
		if err == nil && next == before {
			err = ErrNotFound
		}
		if err != nil {
			_ = give(readBlock{err: err}) // whoever waits for it has gone where that can't be had
			return
		}
	}
}

func readOne(ctx context.Context, log Log, seq uint64, buf []byte) (*journal.Block, error) {
	b, err := log.Read(ctx, seq, buf)
	if err != nil {
		return nil, err
	}
	return journal.Decode(b)
}

func (r *blockReader) next(ctx context.Context) (*journal.Block, error) {
	select {
	case b := <-r.blocks[r.count%readers]:
		r.count++
		return b.block, b.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// recycle gives a block's buffer back.
func (r *blockReader) recycle(k *journal.Block) { r.buffers <- k.Raw[:0] }

func (r *blockReader) wait() { r.running.Wait() }

// aheadReader reads a file ahead of who takes it apart: the disk, checksums and the hash in one goroutine, the state
// that is made of it in another.
type aheadReader struct {
	pieces  chan piece
	spare   chan []byte
	stop    chan struct{}
	now     piece
	buf     []byte // of now, whole
	running sync.WaitGroup
}

type piece struct {
	data []byte // what is left of it
	err  error  // after data
}

const (
	pieceSize   = 1 << 20
	piecesAhead = 4
)

// readAhead begins to read from r. Whoever calls it ends the reader before r is closed.
func readAhead(r io.Reader) *aheadReader {
	a := &aheadReader{pieces: make(chan piece, piecesAhead), spare: make(chan []byte, piecesAhead+2), stop: make(chan struct{})}
	a.running.Go(func() {
		for {
			var b []byte
			select {
			case b = <-a.spare:
			default:
				b = make([]byte, pieceSize)
			}
			n, err := fill(r, b)
			select {
			case a.pieces <- piece{b[:n], err}:
			case <-a.stop:
				return
			}
			if err != nil {
				return
			}
		}
	})
	return a
}

// fill reads until b is full or r has an error, its end included.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}

// Read implements io.Reader. After an error it returns that error again.
func (a *aheadReader) Read(p []byte) (int, error) {
	for len(a.now.data) == 0 {
		if a.now.err != nil {
			return 0, a.now.err
		}
		if a.buf != nil {
			a.spare <- a.buf
		}
		a.now = <-a.pieces
		a.buf = a.now.data[:cap(a.now.data)]
	}
	n := copy(p, a.now.data)
	a.now.data = a.now.data[n:]
	return n, nil
}

// end waits until nothing is read any more.
func (a *aheadReader) end() {
	close(a.stop)
	a.running.Wait()
}
