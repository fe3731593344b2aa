package shed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// bench drives a limiter in virtual time: a service of a fixed number of workers, each request taking serviceTime.
type bench struct {
	l     *shed.Limiter
	began time.Time
	slots chan struct{}
	// Every halt, all places stop working for a moment, as those of a process that the machine does not run; 0: never.
	halt time.Duration
	// For late of every lateEvery, answers come lateBy after they were made: whoever passes them on is starved, and the
	// service is as able as ever. 0: never.
	late, lateEvery time.Duration
	// slower is how many times longer a request takes the service.
	slower int
}

const (
	serviceTime = 10 * time.Millisecond
	halted      = 60 * time.Millisecond
	lateBy      = 40 * time.Millisecond
)

func newBench(workers int) *bench {
	b := &bench{l: shed.New(1000, shed.QueueWait), began: time.Now(), slots: make(chan struct{}, workers)}
	return b
}

func (b *bench) now() uint64 { return uint64(time.Since(b.began)) + 1 }

func after(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// call makes one request and tells whether it was served.
func (b *bench) call(level shed.Level) bool {
	t, ok := b.l.Acquire(level, b.now, after)
	if !ok {
		return false
	}
	b.slots <- struct{}{} // the service's own queue
	took := serviceTime * time.Duration(max(1, b.slower))
	if b.halt > 0 {
		if into := time.Since(b.began) % b.halt; into < halted {
			took += halted - into
		}
	}
	<-time.After(took)
	<-b.slots
	if b.late > 0 && time.Since(b.began)%b.lateEvery >= b.lateEvery-b.late {
		<-time.After(lateBy)
	}
	b.l.Release(t, b.now(), true)
	return true
}

// tally counts how calls went.
type tally struct{ served, refused int }

// offer makes calls of a class at a steady rate for span, and returns how they went.
func (b *bench) offer(class shed.Class, perSecond int, span time.Duration) <-chan tally {
	result := make(chan tally, 1)
	go func() {
		n := int(span.Seconds() * float64(perSecond))
		answers := make(chan bool, n)
		for i := range n {
			go func() { answers <- b.call(shed.At(class, uint8(i*37%shed.Users))) }()
			<-time.After(time.Second / time.Duration(perSecond))
		}
		var t tally
		for range n {
			if <-answers {
				t.served++
			} else {
				t.refused++
			}
		}
		result <- t
	}()
	return result
}

func TestBelowTheLimitNothingIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10) // 1,000 a second
		if got := <-b.offer(shed.Query, 500, 5*time.Second); got.refused > 0 {
			t.Errorf("%+v at half of the load", got)
		}
	})
}

// TestABusyMachineIsNotAnOverloadedService: answers that take 0.2 ms at best and 4 ms now and then, because somebody
// else uses the processor, are no reason to refuse one of 64 callers.
func TestABusyMachineIsNotAnOverloadedService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(1)
		answers := make(chan bool)
		const callers, calls = 64, 2000
		for range callers {
			go func() {
				for i := range calls {
					ticket, ok := b.l.Acquire(shed.At(shed.Query, uint8(i%shed.Users)), b.now, after)
					if ok {
						took := 200 * time.Microsecond
						if i/100%2 == 1 {
							took = 4 * time.Millisecond
						}
						<-time.After(took)
						b.l.Release(ticket, b.now(), true)
					}
					answers <- ok
				}
			}()
		}
		refused := 0
		for range callers * calls {
			if !<-answers {
				refused++
			}
		}
		if refused > 0 {
			t.Errorf("%d refused, %+v", refused, b.l.State())
		}
	})
}

func TestOverloadShedsByPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity, seconds = 1000, 10
		b := newBench(10)
		span := seconds * time.Second
		settle := b.offer(shed.Settle, 300, span)
		pay := b.offer(shed.Pay, 500, span)
		query := b.offer(shed.Query, 10*capacity, span)
		s, p, q := <-settle, <-pay, <-query
		t.Logf("settle %+v, pay %+v, query %+v; %+v", s, p, q, b.l.State())
		if s.refused > 0 {
			t.Errorf("settle calls were refused: %+v", s)
		}
		if p.refused*20 > p.served {
			t.Errorf("pay calls were refused although they fit beside settle: %+v", p)
		}
		if good := s.served + p.served + q.served; good < capacity*seconds*8/10 {
			t.Errorf("goodput %d of %d at ten times the load", good, capacity*seconds)
		}
		if b.l.State().Shed == 0 {
			t.Error("nothing was refused at once, though requests waited for longer than 20 ms")
		}
	})
}

// TestSettleIsNotRefusedWhileItFits: nearly all that the service can do is settle calls, and now and then it stops for a
// moment, so that all of them wait. Those that are less important make room for them.
func TestSettleIsNotRefusedWhileItFits(t *testing.T) {
	for _, share := range []int{40, 60, 85} {
		synctest.Test(t, func(t *testing.T) {
			const capacity, span = 1000, 30 * time.Second
			b := newBench(10)
			b.halt = 1700 * time.Millisecond
			settle := b.offer(shed.Settle, capacity*share/100, span)
			pay := b.offer(shed.Pay, capacity*85/100, span)
			query := b.offer(shed.Query, 8*capacity, span)
			s, p, q := <-settle, <-pay, <-query
			t.Logf("settle %+v, pay %+v, query %+v; %+v", s, p, q, b.l.State())
			if s.refused > 0 {
				t.Errorf("%d of %d settle calls were refused", s.refused, s.refused+s.served)
			}
			if good := s.served + p.served + q.served; good < capacity*int(span.Seconds())*8/10 {
				t.Errorf("goodput %d of %d", good, capacity*int(span.Seconds()))
			}
		})
	}
}

// TestLateAnswersAreNoOverload: answers that come late, in bursts or for long, from a service that does as much as ever
// are no reason to refuse what fits. Where there is overload besides, settle calls still come first.
func TestLateAnswersAreNoOverload(t *testing.T) {
	for _, c := range []struct{ late, every time.Duration }{{500 * time.Millisecond, 2 * time.Second}, {10 * time.Second, 20 * time.Second}} {
		for _, share := range []int{20, 40, 85} {
			for _, queries := range []int{0, 4} {
				synctest.Test(t, func(t *testing.T) {
					const capacity, span = 1000, 40 * time.Second
					b := newBench(10)
					b.late, b.lateEvery = c.late, c.every
					settle := b.offer(shed.Settle, capacity*share/100, span)
					var q tally
					if queries > 0 {
						q = <-b.offer(shed.Query, queries*capacity, span)
					}
					s := <-settle
					t.Logf("late for %v of %v, settle %d%%: %+v, query %+v; %+v", c.late, c.every, share, s, q, b.l.State())
					if queries == 0 && s.refused > 0 || s.refused*20 > s.served {
						t.Errorf("%d of %d settle calls were refused", s.refused, s.refused+s.served)
					}
					if good := s.served + q.served; queries > 0 && good < capacity*int(span.Seconds())*2/3 {
						t.Errorf("goodput %d of %d", good, capacity*int(span.Seconds()))
					}
				})
			}
		}
	}
}

// TestASlowerServiceIsOverloaded: where the service itself has become slower, the limit follows, and what is less
// important makes room.
func TestASlowerServiceIsOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity, slower, span = 1000, 5, 20 * time.Second
		b := newBench(10)
		<-b.offer(shed.Query, capacity/2, 5*time.Second)
		b.slower = slower
		settle := b.offer(shed.Settle, capacity/slower/2, span)
		q := <-b.offer(shed.Query, 4*capacity, span)
		s, state := <-settle, b.l.State()
		t.Logf("settle %+v, query %+v; %+v", s, q, state)
		if s.refused > 0 {
			t.Errorf("settle calls were refused: %+v", s)
		}
		if good := s.served + q.served; good < capacity/slower*int(span.Seconds())*8/10 {
			t.Errorf("goodput %d of %d", good, capacity/slower*int(span.Seconds()))
		}
		if state.Limit > 40 {
			t.Errorf("limit %d for a service that takes 10 at a time", state.Limit)
		}
	})
}

// TestSettleCallsThatDoNotFitAreRefusedAtOnce: waiting in vain is worse.
func TestSettleCallsThatDoNotFitAreRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity, seconds = 1000, 20
		b := newBench(10)
		s := <-b.offer(shed.Settle, 3*capacity, seconds*time.Second)
		if s.served < capacity*seconds*8/10 {
			t.Errorf("goodput %d of %d", s.served, capacity*seconds)
		}
		if state := b.l.State(); state.Shed < uint64(s.refused)*8/10 {
			t.Errorf("%d of %d refused at once, %+v", state.Shed, s.refused, state)
		}
	})
}

func TestItRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(10)
		<-b.offer(shed.Query, 10_000, 5*time.Second)
		<-b.offer(shed.Query, 300, 20*time.Second)
		if got := <-b.offer(shed.Query, 300, 5*time.Second); got.refused > 0 {
			t.Errorf("after the overload: %+v, %+v", got, b.l.State())
		}
	})
}

func TestTheLimitFollowsTheService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(20)
		<-b.offer(shed.Pay, 4_000, 10*time.Second)
		// 20 workers take 20 at a time; what is above only waits inside the service.
		if got := b.l.State().Limit; got < 15 || got > 60 {
			t.Errorf("limit %d for a service that takes 20 at a time", got)
		}
	})
}

func TestPlacesAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(5)
		<-b.offer(shed.Query, 5_000, 3*time.Second)
		if s := b.l.State(); s.InFlight != 0 || s.Waiting != 0 {
			t.Errorf("after all calls: %+v", s)
		}
	})
}

func TestAFullQueueGivesUpTheLeastImportant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 256
		l := shed.New(4, shed.QueueWait) // four in flight
		b := &bench{l: l, began: time.Now()}
		var held []shed.Ticket
		for range 4 {
			ticket, ok := l.Acquire(shed.At(shed.Query, 0), b.now, after)
			if !ok {
				t.Fatal("refused below the limit")
			}
			held = append(held, ticket)
		}
		queries, settle := make(chan bool, queue), make(chan bool, 1)
		for range queue {
			go func() { _, ok := l.Acquire(shed.At(shed.Query, 0), b.now, after); queries <- ok }()
		}
		synctest.Wait()
		if _, ok := l.Acquire(shed.At(shed.Query, 0), b.now, after); ok {
			t.Error("a query waits in a full queue of queries")
		}
		go func() { _, ok := l.Acquire(shed.At(shed.Settle, 127), b.now, after); settle <- ok }()
		if <-queries {
			t.Error("the evicted query was served")
		}
		l.Release(held[0], b.now(), true)
		if !<-settle {
			t.Error("the settle call was refused before waiting queries")
		}
		synctest.Wait()
		if s := l.State(); s.Waiting != queue-1 {
			t.Errorf("%+v, want %d queries waiting", s, queue-1)
		}
		<-time.After(time.Second)
		for range queue - 1 {
			if <-queries {
				t.Error("a query was served after the longest wait")
			}
		}
	})
}

// TestWhatCountsAsOverload: calls that wait for 100 ms are too many where 20 ms is the most, and not where 150 ms is.
func TestWhatCountsAsOverload(t *testing.T) {
	for wait, sheds := range map[time.Duration]bool{shed.QueueWait: true, 150 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			b := &bench{l: shed.New(4, wait), began: time.Now(), slots: make(chan struct{}, 4)}
			answers := make(chan bool)
			const callers, calls = 44, 100 // four are served in 10 ms, so each waits for ten others
			for range callers {
				go func() {
					for i := range calls {
						answers <- b.call(shed.At(shed.Query, uint8(i%shed.Users)))
					}
				}()
			}
			for range callers * calls {
				<-answers
			}
			if got := b.l.State().Shed > 0; got != sheds {
				t.Errorf("%s: %+v", wait, b.l.State())
			}
		})
	}
}

func BenchmarkAcquire(b *testing.B) {
	l := shed.New(1000, shed.QueueWait)
	began := time.Now()
	now := func() uint64 { return uint64(time.Since(began)) + 1 }
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if t, ok := l.Acquire(shed.At(shed.Pay, 5), now, after); ok {
				l.Release(t, now(), true)
			}
		}
	})
}
