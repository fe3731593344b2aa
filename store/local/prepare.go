package local

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
)

const (
	preparedName = "journal-next.tmp"
	fillStep     = 256 << 10 // bytes of zeros written at a time
	fillAhead    = 8 << 20   // bytes that may be filled before the active segment has any
	fillBehind   = 4 << 20   // bytes that may be written and not yet durable: what an append may have to wait for
)

var errStopped = errors.New("the preparation of a segment was stopped")

// preparer makes the next segment file ahead of its use, in a goroutine of its own: it reserves the space, so that a
// full disk shows here and never in the middle of an append, and writes zeros over it, because a block over written
// sectors needs one disk write where one over reserved ones needs the file system's journal too (half the time). It
// keeps pace with the appends, so that zeros never queue up before a block; and where the disk is too slow for both,
// the zeros give way: a segment that is reserved but not filled up reads as zeros all the same.
type preparer struct {
	fs     vfs.FS
	path   string
	budget atomic.Int64 // bytes that may have been filled by now
	hurry  atomic.Bool  // an append waits: what is reserved will do
	wake   chan struct{}
	work   chan int64 // sizes asked for
	done   chan prepared
	stop   chan struct{}
	ended  chan struct{}

	asked bool // work was given and not taken; belongs to the caller

	ready   atomic.Bool           // a file is there to be taken
	failure atomic.Pointer[error] // why the last preparation went wrong; nil once one goes well
}

type prepared struct {
	file vfs.File
	size int64
	err  error
}

func newPreparer(fs vfs.FS, path string) *preparer {
	p := &preparer{
		fs: fs, path: path, wake: make(chan struct{}, 1), work: make(chan int64, 1), done: make(chan prepared, 1),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go p.run()
	return p
}

func (p *preparer) run() {
	defer close(p.ended)
	for {
		select {
		case <-p.stop:
			return
		case size := <-p.work:
			file, err := p.make(size)
			if err != nil {
				p.failure.Store(&err)
			} else {
				p.failure.Store(nil)
			}
			p.ready.Store(err == nil)
			p.done <- prepared{file: file, size: size, err: err}
		}
	}
}

// ask starts the preparation of the next segment; if somebody waits for it, what is reserved will do.
func (p *preparer) ask(size int64, hurry bool) {
	p.budget.Store(fillAhead)
	p.hurry.Store(hurry)
	p.asked = true
	p.work <- size
}

// allow lets the preparation go on to n bytes.
func (p *preparer) allow(n int64) {
	p.budget.Store(n)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take waits for a prepared file of at least size bytes; one that is filled, if there is time for it. A preparation
// that went wrong is tried once more: the reason may be gone.
func (p *preparer) take(size int64, filled bool) (vfs.File, int64, error) {
	if p.asked {
		if r := p.wait(filled); r.err == nil && r.size >= size {
			return r.file, r.size, nil
		} else if r.err == nil {
			p.discard(r.file)
		}
	}
	p.ask(size, !filled)
	r := p.wait(filled)
	return r.file, r.size, r.err
}

func (p *preparer) wait(filled bool) prepared {
	p.hurry.Store(!filled)
	p.allow(math.MaxInt64)
	p.asked = false
	r := <-p.done
	p.ready.Store(false)
	return r
}

// retry starts a preparation that went wrong once more; one that is under way or done is left alone.
func (p *preparer) retry(size int64) {
	if p.asked {
		select {
		case r := <-p.done:
			if r.err == nil {
				p.done <- r
				return
			}
		default:
			return
		}
	}
	p.ask(size, false)
	p.allow(math.MaxInt64)
}

func (p *preparer) close() {
	close(p.stop)
	<-p.ended
	select {
	case r := <-p.done:
		if r.err == nil {
			p.discard(r.file)
		}
	default:
	}
}

// discard drops a file that is not needed; what stays behind goes when the folder is opened next.
func (p *preparer) discard(file vfs.File) {
	_ = file.Close()
	_ = p.fs.Remove(p.path)
}

func (p *preparer) make(size int64) (vfs.File, error) {
	file, err := p.fs.Create(p.path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("create segment: %w", full(err))
	}
	if err := p.fill(file, size); err != nil {
		p.discard(file)
		return nil, fmt.Errorf("prepare segment %s of %d bytes: %w", p.path, size, full(err))
	}
	return file, nil
}

func (p *preparer) fill(file vfs.File, size int64) error {
	// Where the file system can't reserve, only writing the zeros does, and nobody's hurry changes that.
	reserved := true
	if err := file.Preallocate(0, size); unsupported(err) {
		reserved = false
	} else if err != nil {
		return err
	}
	if _, err := file.WriteAt(make([]byte, sectorSize), size-sectorSize); err != nil { // gives it its size
		return err
	}
	zeros := make([]byte, min(fillStep, size))
	for at, durable := int64(0), int64(0); at < size && !(reserved && p.hurry.Load()); {
		if err := p.pause(at); err != nil {
			return err
		}
		n, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
		if at-durable < fillBehind { // starts the disk without waiting for it: appends flush at the same time
			_, err = file.SyncTo(at)
		} else {
			err, durable = file.SyncData(), at
		}
		if err != nil {
			return syncFailed(err)
		}
	}
	if err := file.Sync(); err != nil { // so that giving it its name later has little to wait for
		return syncFailed(err)
	}
	return nil
}

// pause waits until more than at bytes may have been filled.
func (p *preparer) pause(at int64) error {
	for {
		select {
		case <-p.stop:
			return errStopped
		default:
		}
		if at < p.budget.Load() {
			return nil
		}
		select {
		case <-p.wake:
		case <-p.stop:
		}
	}
}

// syncFailed marks a failed sync of a file without any block in it: a full disk may show only here.
func syncFailed(err error) error {
	if mapped := full(err); errors.Is(mapped, cell.ErrFull) {
		return mapped
	}
	return fmt.Errorf("%w: %w", ErrSyncFailed, err)
}
