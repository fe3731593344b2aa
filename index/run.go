package index

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ingestRuns writes sealed buffers, oldest first, until the index closes. A run that failed is tried again when there
// is a reason to: another is full, Add or Flush waits, a compaction has made room.
func (x *Index) ingestRuns() {
	defer close(x.done)
	for {
		select {
		case <-x.stop:
			return
		case <-x.wake:
		}
		for more := true; more && !x.stopped(); {
			more = x.ingestOldest()
			x.sublevels.Store(int64(x.db.Metrics().Levels[0].Sublevels))
		}
	}
}

// ingestOldest writes the oldest sealed buffer and reports whether there may be more to do.
func (x *Index) ingestOldest() bool {
	x.mu.RLock()
	var b *buffer
	if len(x.sealed) > 0 {
		b = x.sealed[0]
	}
	x.mu.RUnlock()
	if b == nil {
		return false
	}
	err := x.ingest(b)
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.announce()
	if err != nil {
		x.failures++
		x.failure = fmt.Errorf("write blocks %d to %d into the index: %w", b.first, b.through.seq, damage(err))
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			if failure := x.failure; x.noSpace.Swap(&failure) != nil {
				return false // it was said
			}
		}
		x.log.Error("index", "error", x.failure)
		return false
	}
	if x.noSpace.Swap(nil) != nil {
		x.log.Info("the index finds space again")
	}
	x.sealed = append([]*buffer(nil), x.sealed[1:]...)
	x.durable.Store(b.through.seq)
	return true
}

// waited reports whether runs queue up.
func (x *Index) waited() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.sealed) > 1
}

// ingest writes a buffer as one sorted table and hands it to Pebble, durably and all or nothing.
func (x *Index) ingest(b *buffer) error {
	if err := x.checkSpace(b.bytes()); err != nil {
		return err
	}
	path := x.fs.PathJoin(x.dir, runName)
	// Create makes a new file even where a crash left the name as a second link to a table that was ingested.
	file, err := x.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	file = vfs.NewSyncingFile(x.pace.file(file, x.waited), vfs.SyncingFileOptions{BytesPerSync: 1 << 20})
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(file), x.opts.MakeWriterOptions(0, x.db.TableFormat()))
	err = (&run{b: b, w: w, rest: func() { x.pace.pause(x.waited()) }}).write()
	if e := w.Close(); err == nil { // syncs the file
		err = e
	}
	if err != nil {
		return err
	}
	return x.db.Ingest(context.Background(), []string{path})
}

// run writes a buffer's keys in ascending order.
type run struct {
	b      *buffer
	w      *sstable.Writer
	key    [maxKey]byte
	chain  []uint32
	failed error
	rest   func() // called now and then in the middle of long work
}

func (r *run) write() error {
	lists := make([]listKey, 0, len(r.b.data))
	for k := range r.b.data {
		lists = append(lists, k)
	}
	slices.SortFunc(lists, listKey.compare)
	r.writeAddresses()
	lists = r.writeLists(lists, tagAccount)
	r.writeAccounts()
	r.writeMarks(tagMark, r.b.marks)
	r.writeMarks(tagExpiryMark, r.b.expiries)
	r.writeBookings()
	lists = r.writeLists(lists, tagPoint)
	r.set([]byte{tagPoint}, r.b.through.append(nil))
	r.writeLists(lists, 0xFF)
	return r.failed
}

// writeLists writes the lists before a tag and returns the others.
func (r *run) writeLists(lists []listKey, before byte) (rest []listKey) {
	for len(lists) > 0 && lists[0].tag < before {
		r.writeList(lists[0], r.b.data[lists[0]])
		lists = lists[1:]
	}
	return lists
}

func (r *run) writeMarks(tag byte, marks []mark) {
	for _, m := range marks {
		var value [markValue]byte
		r.set(be.AppendUint64(append(r.key[:0], tag), m.first), m.append(value[:0]))
	}
}

// writeList writes a list that is linked from its newest value on, in ascending order.
func (r *run) writeList(k listKey, head uint32) {
	prefix := k.prefix(r.key[:0])
	entries := &r.b.entries
	r.chain = r.chain[:0]
	for at := head; at != 0; at = entries.at(at).prev {
		r.chain = append(r.chain, at)
	}
	for i := len(r.chain) - 1; i >= 0; i-- {
		e := entries.at(r.chain[i])
		r.set(k.appendValue(prefix, e.value), r.b.arena.at(e.aside))
	}
}

// yieldEvery is after how many entries long work lets others on: a few tenths of a millisecond.
const yieldEvery = 512

// posting is an entry of an account's list on its way to the disk.
type posting struct {
	account, aside uint32
	value          uint64
}

// writeAccounts writes the lists of all accounts. The entries are sorted first: following hundreds of thousands of
// links costs more, because each is a cache miss.
func (r *run) writeAccounts() {
	postings := make([]posting, 0, r.b.entries.last)
	for n, page := range r.b.entries.pages {
		for i, account := range page.owners[:min(len(page.owners), int(r.b.entries.last)+1-n<<entryBits)] {
			if account != 0 {
				postings = append(postings, posting{account, page.entries[i].aside, page.entries[i].value})
			}
		}
		if n%(pauseSteps>>entryBits) == pauseSteps>>entryBits-1 {
			r.rest()
		}
	}
	key := append(r.key[:0], tagAccount)
	for i, p := range sortByAccount(postings, r.rest) {
		if i%yieldEvery == 0 {
			runtime.Gosched()
		}
		r.set(be.AppendUint64(be.AppendUint32(key, p.account), p.value), r.b.arena.at(p.aside))
	}
}

// sortByAccount sorts by account number, of equal ones keeps the order, and returns p or a copy.
func sortByAccount(p []posting, rest func()) []posting {
	const digit = 11
	var all uint32
	for i := range p {
		all |= p[i].account
	}
	other := make([]posting, len(p))
	for shift := 0; all>>shift != 0; shift += digit {
		var starts [1<<digit + 1]int
		for i := range p {
			if i%pauseSteps == pauseSteps-1 {
				rest()
			}
			starts[p[i].account>>shift&(1<<digit-1)+1]++
		}
		for d := 1; d < len(starts); d++ {
			starts[d] += starts[d-1]
		}
		for i := range p {
			if i%pauseSteps == pauseSteps-1 {
				rest()
			}
			at := &starts[p[i].account>>shift&(1<<digit-1)]
			other[*at] = p[i]
			*at++
		}
		p, other = other, p
	}
	return p
}

func (r *run) set(key, value []byte) {
	if r.failed == nil {
		r.failed = r.w.Set(key, value)
	}
}
