package monitor

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/watch"
)

// someGroup is a group with an input of every kind.
func someGroup(list []watch.Observation) []byte {
	b := appendBlocks([]byte{groupVersion}, 3, 9)
	var encoded []byte
	for i := range list {
		encoded, _ = appendObservation(encoded, &list[i])
	}
	b = appendObserve(b, "orders", len(list), encoded)
	b = appendTick(b, 1<<60, 9, 1<<60-1)
	b = appendCompare(b, 9, []watch.AccountBalance{{Account: watch.ID{1}, Asset: 2, DebitsPosted: watch.Amount{Lo: 3, Hi: 4}, CreditsPending: watch.Amount{Lo: 5}}})
	b = appendDecide(b, &watch.Decision{Break: watch.ID{7}, Group: true, State: watch.Accepted, Who: "ann", Why: "a promotion"})
	b = appendFrozen(b, watch.ID{8}, "account_not_found")
	s := settings{Flows: []watch.Definition{{Name: "a", Text: "flow: a"}}, StopLoss: watch.StopLoss{DryRun: true}}
	return appendSettings(b, s.encode())
}

func someObservation() watch.Observation {
	return watch.Observation{
		Seq: 5, Kind: watch.Receipt, Outcome: watch.Failed, Time: 1 << 60, Through: 1 << 59, Flow: "card-payment", Key: watch.ID{1, 15: 2}, KeyText: "k",
		ID: watch.ID{3}, IDText: "i", Amount: watch.Amount{Lo: 9, Hi: 1}, Minus: true, Asset: "CNY/2", Debit: watch.ID{4}, Credit: watch.ID{5},
		OfKey: watch.ID{6}, Terms: []watch.Term{{Name: "fee", Value: -1}, {Name: "rate_ppb", Value: 1 << 62}}, Text: "as it was written",
	}
}

// TestGroup: what is written is what is read.
func TestGroup(t *testing.T) {
	list := []watch.Observation{someObservation(), {Seq: 6, Kind: watch.Heartbeat}}
	var kinds []inputKind
	err := readGroup(someGroup(list), func(in *input) error {
		kinds = append(kinds, in.kind)
		var want any
		var got any
		switch in.kind {
		case inputBlocks:
			want, got = [2]uint64{3, 9}, [2]uint64{in.first, in.last}
		case inputObserve:
			want, got = list, in.observations
		case inputTick:
			want, got = [3]uint64{1 << 60, 9, 1<<60 - 1}, [3]uint64{in.now, in.head, in.horizon}
		case inputCompare:
			want, got = watch.AccountBalance{Account: watch.ID{1}, Asset: 2, DebitsPosted: watch.Amount{Lo: 3, Hi: 4}, CreditsPending: watch.Amount{Lo: 5}}, in.accounts[0]
		case inputDecide:
			want, got = watch.Decision{Break: watch.ID{7}, Group: true, State: watch.Accepted, Who: "ann", Why: "a promotion"}, in.decision
		case inputFrozen:
			want, got = "account_not_found", in.failure
		case inputSettings:
			want, got = true, in.settings.StopLoss.DryRun
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("kind %d: %s", in.kind, d)
		}
		return nil
	})
	if err != nil || len(kinds) != 7 {
		t.Errorf("%v, kinds %v", err, kinds)
	}
}

// TestCutGroup: a group that was cut short or has another version is an error, never other inputs.
func TestCutGroup(t *testing.T) {
	whole := someGroup([]watch.Observation{someObservation()})
	ends := map[int]bool{1: true}
	for n := range whole {
		err := readGroup(whole[:n], func(*input) error { return nil })
		if err != nil && !errors.Is(err, errLog) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if err == nil {
			ends[n] = true
		}
	}
	if len(ends) != 7 { // before each input
		t.Errorf("it can be cut at %v", ends)
	}
	stop := errors.New("stop")
	if err := readGroup(whole, func(*input) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("apply's error: %v", err)
	}
}

func FuzzReadGroup(f *testing.F) {
	f.Add(someGroup(nil))
	f.Add(someGroup([]watch.Observation{someObservation(), {}}))
	f.Add([]byte{groupVersion, byte(inputObserve), 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		again := []byte{groupVersion}
		observations := 0
		err := readGroup(b, func(in *input) error {
			observations += len(in.observations)
			if in.kind == inputTick {
				again = appendTick(again, in.now, in.head, in.horizon)
			}
			return nil
		})
		if err != nil && !errors.Is(err, errLog) {
			t.Errorf("%v", err)
		}
		if observations*smallestObservation > len(b) {
			t.Errorf("%d observations of %d bytes", observations, len(b))
		}
		if err := readGroup(again, func(*input) error { return nil }); err != nil {
			t.Errorf("ticks again: %v", err)
		}
	})
}

func FuzzReadHead(f *testing.F) {
	f.Add([]byte("STERLWCP\x01\x00\x00\x00\x02\x00\x00\x00{}"), int64(18))
	f.Add([]byte("STERLWCP\x01\x00\x00\x00\xff\xff\xff\xff{}"), int64(1<<40))
	f.Fuzz(func(t *testing.T, b []byte, _ int64) {
		_, err := readHead(bytes.NewReader(b), int64(len(b)))
		if err != nil && !errors.Is(err, errCheckpoint) {
			t.Errorf("%v", err)
		}
	})
}

// TestWindow compares a source's window with a list of all that was taken.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSource()
		s.through = rapid.Uint64Range(0, 3).Draw(t, "begin") * (window - 2) // near the ring's ends, too
		begin := s.through
		taken := map[uint64]uint64{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			seq := s.through + rapid.SampledFrom([]uint64{1, 1, 1, 2, 3, 5, window - 1, window, window + 1}).Draw(t, "ahead")
			if back := rapid.Uint64Range(0, 8).Draw(t, "back"); back > 5 && seq > back && seq-back > begin {
				seq -= back
			}
			hash := rapid.Uint64Range(1, 3).Draw(t, "content")
			old, known := taken[seq]
			want := takeIt
			switch {
			case seq > s.through+window:
				want = tooFar
			case known && old == hash:
				want = leaveIt
			case known:
				want = differs
			}
			if got := s.judge(seq, hash); got != want {
				t.Fatalf("%d after %d: %d, want %d", seq, s.through, got, want)
			}
			if want != takeIt {
				continue
			}
			s.took(seq, hash)
			taken[seq] = hash
			through := begin
			for taken[through+1] != 0 {
				through++
			}
			if s.through != through {
				t.Fatalf("through %d, want %d", s.through, through)
			}
		}
	})
}

// TestALongWindow goes round the ring: what is old is forgotten, and never taken for something new.
func TestALongWindow(t *testing.T) {
	s := newSource()
	for seq := uint64(1); seq <= 5*window; seq++ {
		if got := s.judge(seq, seq); got != takeIt {
			t.Fatalf("%d is taken for what came before: %d", seq, got)
		}
		s.took(seq, seq)
		for _, back := range []uint64{1, window - 1, window, 2 * window} {
			if back < seq {
				if got := s.judge(seq-back, 1<<40); got == takeIt || back < window && got != differs {
					t.Fatalf("%d before %d: %d", back, seq, got)
				}
			}
		}
	}
	if s.through != 5*window {
		t.Errorf("through %d", s.through)
	}
}

// TestBloom: what was added is never denied, however often the filter grew; what was not is, mostly.
func TestBloom(t *testing.T) {
	b := newBloom()
	key := func(n uint64) uint64 {
		return bloomHash("flow", watch.ID{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
	}
	if !b.perhaps(key(1)) {
		t.Error("a filter that is not whole denies something")
	}
	b.whole.Store(true)
	const n = 3 << 20
	for i := range uint64(n) {
		b.add(key(i))
	}
	if got := len(*b.layers.Load()); got != 2 {
		t.Errorf("%d layers", got)
	}
	wrong := 0
	for i := range uint64(n) {
		if !b.perhaps(key(i)) {
			t.Fatalf("key %d is denied", i)
		}
		if i < n/8 && b.perhaps(key(n+i)) {
			wrong++
		}
	}
	if wrong > n/8/50 {
		t.Errorf("%d of %d others may be there", wrong, n/8)
	}
	for len(*b.layers.Load()) < bloomLayers { // the bound, without filling it
		b.grow(len(*b.layers.Load()))
	}
	if b.grow(bloomLayers); !b.lost.Load() || !b.perhaps(key(n+1)) {
		t.Error("a filter that is too full denies something")
	}
}

// TestTail: blocks in order, within its bound, whatever is asked for.
func TestTail(t *testing.T) {
	var l tail
	l.add(1, []byte{1})
	if l.take(1) != nil {
		t.Error("it keeps blocks before it was started")
	}
	l.start(true)
	for seq := byte(1); seq <= 5; seq++ {
		l.add(uint64(seq), []byte{seq})
	}
	if got := l.take(3); len(got) != 1 || got[0] != 3 {
		t.Errorf("block 3: %v", got)
	}
	if l.take(2) != nil || l.take(6) != nil {
		t.Error("blocks that are not there")
	}
	l.start(true)
	large := make([]byte, tailBytes/4)
	for seq := range uint64(10) {
		l.add(seq, large)
	}
	if l.bytes > tailBytes || l.take(5) != nil || l.take(6) == nil {
		t.Errorf("%d bytes", l.bytes)
	}
	l.add(20, large) // after a gap: those before are of no use
	if l.take(9) != nil || l.take(20) == nil {
		t.Error("a gap")
	}
}
