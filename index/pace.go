package index

import (
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pace holds back work in the background while questions are asked. It has to sleep: a scheduler that always finds work
// to run looks at the network every 10 ms only, so work that merely lets others on keeps questions waiting before they
// have begun. And work that takes what processor time there is makes a queue of those behind it.
type pace struct {
	began time.Time
	asked atomic.Int64 // when the last question came, ns since began; 0: none yet
}

const (
	pauseEvery = 64 << 10 // bytes written between two pauses: 1 ms of a processor
	pauseSteps = 1 << 16  // the same in entries that are sorted
	pauseTime  = time.Millisecond
	askedLast  = 100 * time.Millisecond // for how long after a question work is held back
)

func newPace() *pace { return &pace{began: time.Now()} }

// ask notes that there is a question.
func (p *pace) ask() { p.asked.Store(max(1, int64(time.Since(p.began)))) }

// asking reports whether there was one just now.
func (p *pace) asking() bool {
	last := p.asked.Load()
	return last > 0 && int64(time.Since(p.began))-last < int64(askedLast)
}

// pause is called in the middle of long work, which cannot wait where it is behind.
func (p *pace) pause(behind bool) {
	if !behind && p.asking() {
		time.Sleep(pauseTime)
	}
}

// file pauses those who write it.
func (p *pace) file(f vfs.File, behind func() bool) vfs.File {
	return &pacedFile{File: f, pace: p, behind: behind}
}

type pacedFile struct {
	vfs.File
	pace    *pace
	behind  func() bool
	written int // since the last pause
}

func (f *pacedFile) Write(b []byte) (int, error) {
	if f.written += len(b); f.written >= pauseEvery {
		f.written = 0
		f.pace.pause(f.behind())
	}
	return f.File.Write(b)
}

// pacedFS is the disk on which compactions pause.
type pacedFS struct {
	vfs.FS
	pace   *pace
	behind func() bool
}

// compactionWrites is what Pebble calls the writes of its compactions.
const compactionWrites vfs.DiskWriteCategory = "pebble-compaction"

func (p *pacedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := p.FS.Create(name, category)
	if err != nil || category != compactionWrites {
		return f, err
	}
	return p.pace.file(f, p.behind), nil
}
