package control_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"

	"github.com/sterlingrun/sterling/clock"
)

// BenchmarkPolicyEnforced takes the time from the text of a new policy to the first call that a grpc-go server judges by
// it: parsed, compiled, validated, on the first node, on all. Beside that server and its client there are others to tell.
func BenchmarkPolicyEnforced(b *testing.B) {
	for _, others := range []int{0, 64} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			r := newRig(b, clock.NewSystem())
			l := listen(b)
			texts := []string{config(l.Addr().String(), allowAPI), config(l.Addr().String())}
			r.apply(texts[0])
			r.serve("ledger", l, accepted)
			client := r.dial("api", "ledger")
			for i := range others {
				d, _ := r.connect(node("api", fmt.Sprint(i)), "envoy")
				d.agreeable()
			}
			if got := check(b, client); got != codes.OK {
				b.Fatal(got)
			}
			var took []time.Duration
			for i := 1; b.Loop(); i++ {
				start := time.Now()
				done := r.rollout(texts[i%2])
				eventually(b, "enforced", func() bool { return (check(b, client) == codes.OK) == (i%2 == 0) })
				took = append(took, time.Since(start))
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(took)
			ms := func(p int) float64 { return took[(len(took)-1)*p/100].Seconds() * 1000 }
			b.ReportMetric(ms(50), "p50-ms")
			b.ReportMetric(ms(99), "p99-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// agreeable subscribes to all routes and accepts whatever comes, until the stream ends.
func (d *dataPlane) agreeable() {
	d.t.Helper()
	d.ask(routes)
	first := d.next()
	go func() {
		for response := first; response != nil; response = <-d.got {
			_ = d.stream.Send(&discovery.DiscoveryRequest{TypeUrl: routes, ResponseNonce: response.Nonce, VersionInfo: response.VersionInfo})
		}
	}()
}
