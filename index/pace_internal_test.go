package index

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// write writes 4 MiB to a new file in a paced folder, and returns how long that took.
func writePaced(t *testing.T, p *pace, category vfs.DiskWriteCategory, behind bool) time.Duration {
	t.Helper()
	f, err := (&pacedFS{vfs.NewMem(), p, func() bool { return behind }}).Create("f", category)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 1024 {
		if _, err := f.Write(make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	if s, err := f.Stat(); err != nil || s.Size() != 4<<20 {
		t.Fatalf("the file has %v (%v)", s, err)
	}
	return took
}

func TestCompactionsPauseForQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace()
		if took := writePaced(t, p, compactionWrites, false); took != 0 {
			t.Errorf("nobody asks, and a compaction paused for %v", took)
		}
		p.ask()
		if took := writePaced(t, p, vfs.WriteCategoryUnspecified, false); took != 0 {
			t.Errorf("a write that is no compaction's paused for %v", took)
		}
		if took := writePaced(t, p, compactionWrites, true); took != 0 {
			t.Errorf("a compaction that is behind paused for %v", took)
		}
		if took := writePaced(t, p, compactionWrites, false); took != 4<<20/pauseEvery*pauseTime {
			t.Errorf("a compaction of 4 MiB paused for %v", took)
		}
		if p.ask(); !p.asking() {
			t.Error("a question does not count")
		}
		if <-time.After(askedLast); p.asking() {
			t.Error("a question counts for ever")
		}
	})
}
