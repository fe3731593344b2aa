package shed_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/shed"
)

// TestManyCallersOfAnOverloadedService: each proxy has a share of the overload only, and what one holds back others send.
// All of them hold back all the same: the service's own queue stays short.
func TestManyCallersOfAnOverloadedService(t *testing.T) {
	for _, proxies := range []int{2, 4, 16} {
		synctest.Test(t, func(t *testing.T) {
			const capacity, span = 1000, 20 * time.Second
			first := newBench(10)
			var results []<-chan tally
			var all []*bench
			for range proxies {
				b := &bench{l: shed.New(1000, shed.QueueWait), began: first.began, slots: first.slots}
				all = append(all, b)
				results = append(results, b.offer(shed.Settle, capacity/5/proxies, span), b.offer(shed.Query, 4*capacity/proxies, span))
			}
			longest := int64(0)
			for range int(span / (100 * time.Millisecond)) {
				<-time.After(100 * time.Millisecond)
				inFlight := int64(0)
				for _, b := range all {
					inFlight += b.l.State().InFlight
				}
				if time.Since(first.began) > 5*time.Second {
					longest = max(longest, inFlight)
				}
			}
			var good, settled, refused int
			for i, result := range results {
				r := <-result
				good += r.served
				if i%2 == 0 {
					settled, refused = settled+r.served, refused+r.refused
				}
			}
			limits := int64(0)
			for _, b := range all {
				limits += b.l.State().Limit
			}
			t.Logf("%d proxies: goodput %d of %d, settled %d, refused %d, in flight %d, limits %d", proxies, good, capacity*int(span.Seconds()), settled, refused, longest, limits)
			if longest > 500 {
				t.Errorf("%d requests at a service that takes 10 at a time: the last waits for half a second", longest)
			}
		})
	}
}
