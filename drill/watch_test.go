package drill_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// A flow with more patience than crashes take, so that only what is booked twice is wrong.
const drilledFlow = `
flow: payment
title: Payments
transfers: code == 5
key: user_data_128
order: {source: orders, deadline: 10m}
legs:
  - {name: payment, when: user_data_32 == 1, from: order.debit, to: order.credit, amount: order.amount}
`

// watched returns the flags of a node with the flow.
func watched(t *testing.T) []string {
	t.Helper()
	flows := t.TempDir()
	if err := os.WriteFile(filepath.Join(flows, "payment.yaml"), []byte(drilledFlow), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "sterling.yaml")
	if err := os.WriteFile(config, []byte("snapshot_events: 10000\nwatch: {flows: "+flows+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--config", config}
}

// every is how many payments there are for one that is booked twice.
const every = 7

// orderAndPay tells of an order and books it, the n-th; some twice. It returns the first error: the process is gone.
func orderAndPay(ctx context.Context, c *client.Client, began time.Time, n uint64) error {
	key := strconv.FormatUint(1_000_000+n, 10)
	_, err := c.Watch().ObserveBatch(ctx, &watchv1.ObserveBatchRequest{Batch: &watchv1.ObserveRequest{
		Source: "orders", FirstSeq: n, Observations: []*watchv1.Observation{{
			Kind: watchv1.ObservationKind_OBSERVATION_KIND_INSTRUCTION, Time: uint64(began.UnixNano()) + n, Key: key, Id: key,
			Amount: "5", Asset: asset, DebitAccountId: "1", CreditAccountId: "2",
		}},
	}})
	if err != nil {
		return err
	}
	list := []*client.Transfer{{Id: key, DebitAccountId: "1", CreditAccountId: "2", Amount: new("5"), Asset: asset, Code: 5, UserData_128: key, UserData_32: 1}}
	if n%every == 0 {
		again := &client.Transfer{Id: "9" + key, DebitAccountId: "1", CreditAccountId: "2", Amount: new("5"), Asset: asset, Code: 5, UserData_128: key, UserData_32: 1}
		list = append(list, again)
	}
	_, err = c.CreateTransfers(ctx, list...)
	return err
}

// TestWatchCrash kills a server while orders and payments come. Whoever sends begins again with what was not answered.
// At the end the watch must have found each payment that was booked twice, once, and nothing else.
func TestWatchCrash(t *testing.T) {
	rounds, began := 4, time.Now()
	if os.Getenv("STERLING_SOAK") == "1" {
		rounds = 60
	}
	random := rand.New(rand.NewPCG(7, 7))
	dir, flags := filepath.Join(t.TempDir(), "data"), watched(t)
	p := start(t, dir, flags...)
	openAccounts(t, p.dial())
	next := uint64(1) // the first that is not answered
	for range rounds {
		c, gone, ended := p.dial(), p.ended, make(chan struct{})
		go func() {
			defer close(ended)
			for {
				select {
				case <-gone:
					return
				default:
				}
				if orderAndPay(t.Context(), c, began, next) == nil {
					next++
				}
			}
		}()
		<-time.After(300*time.Millisecond + time.Duration(random.Int64N(int64(500*time.Millisecond))))
		p.kill()
		<-ended
		p = start(t, dir, flags...)
	}
	c := p.dial()
	await(t, "what was not answered is sent again", func() bool { return orderAndPay(t.Context(), c, began, next) == nil })
	want := int(next / every)
	var open []*watchv1.Break
	await(t, "all that was booked twice is found", func() bool {
		r, err := c.Watch().ListBreaks(t.Context(), &watchv1.ListBreaksRequest{Limit: 1000})
		open = r.GetBreaks()
		return err == nil && len(open) >= want
	})
	keys := map[string]bool{}
	for _, b := range open {
		one, err := c.Watch().GetBreak(t.Context(), &watchv1.GetBreakRequest{Id: b.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if b.GetClass() != "duplicate_post" || keys[b.GetKey()] || len(one.GetFound().GetHistory()) != 1 {
			t.Errorf("%v", one)
		}
		keys[b.GetKey()] = true
	}
	if len(open) != want {
		t.Errorf("%d breaks among %d payments, want %d", len(open), next, want)
	}
	t.Logf("%d payments, %d breaks", next, len(open))
	if strings.Contains(p.log.String(), "finds something else") {
		t.Error(p.log.String())
	}
	p.stop()
	verify(t, dir)
}
