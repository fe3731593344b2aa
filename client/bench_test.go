package client_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
)

// BenchmarkTransfers measures single transfers of many goroutines against a node
// in this process, with its journal synced: one call each, and shared requests.
func BenchmarkTransfers(b *testing.B) {
	address, token := bank(b)
	c, err := client.Dial(address, token)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	raw := func(ctx context.Context) error {
		id, err := c.NewID()
		if err != nil {
			return err
		}
		x := payment()
		x.Id = id.String()
		_, err = c.CreateTransfers(ctx, x)
		return err
	}
	shared := func(ctx context.Context) error {
		e := entry(0)
		e.Debit, e.Credit = money.From(1), money.From(2)
		_, err := c.Transfer(ctx, e)
		return err
	}
	for _, goroutines := range []int{1, 64, 512, 4096} {
		for name, call := range map[string]func(context.Context) error{"raw": raw, "shared": shared} {
			b.Run(fmt.Sprintf("%s/%d", name, goroutines), func(b *testing.B) {
				var left atomic.Int64
				left.Store(int64(b.N))
				var group sync.WaitGroup
				for range goroutines {
					group.Go(func() {
						for left.Add(-1) >= 0 {
							if err := call(b.Context()); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "transfers/s")
			})
		}
	}
}
