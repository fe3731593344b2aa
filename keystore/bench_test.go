package keystore_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/keystore"
)

// TestMillionSubjects measures one million subjects on the real disk: time to make them, memory, time to open, to erase
// one, and to seal for ones that exist. A sample of it runs always; STERLING_SOAK=1 runs all.
func TestMillionSubjects(t *testing.T) {
	n := 20_000
	if os.Getenv("STERLING_SOAK") != "" {
		n = 1_000_000
	}
	keys := t.TempDir()
	o := keystore.Options{Dir: keys, Master: master(t, 1), Clock: clock.NewSystem()}
	s, err := keystore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(from, count int) []keystore.Value {
		values := make([]keystore.Value, count)
		for i := range values {
			values[i] = value(fmt.Sprint("customer-", from+i), 1, "name", "somebody")
		}
		return values
	}
	step := func(what string, per int, f func()) {
		began := time.Now()
		f()
		d := time.Since(began)
		t.Logf("%-34s %10v, %v each", what, d.Round(time.Millisecond), (d / time.Duration(per)).Round(10*time.Nanosecond))
	}
	step(fmt.Sprintf("make %d keys, 5,000 a call", n), n, func() {
		for from := 0; from < n; from += 5000 {
			seal(t, s, batch(from, 5000)...)
		}
	})
	step("seal 20,000 for known subjects", 20_000, func() {
		for from := 0; from < 20_000; from += 5000 {
			seal(t, s, batch(from, 5000)...)
		}
	})
	step("make 20 keys, one a call", 20, func() {
		for i := range 20 {
			seal(t, s, batch(n+i, 1)...)
		}
	})
	step("erase 20, one a call", 20, func() {
		for i := range 20 {
			erase(t, s, fmt.Sprint("customer-", i*n/20))
		}
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := heap()
	step("open", n, func() {
		if s, err = keystore.Open(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("memory: %d MB", (heap()-before)>>20)
	if got := s.Stats(); got.Subjects != n || got.Erased != 20 {
		t.Fatalf("stats: %+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
