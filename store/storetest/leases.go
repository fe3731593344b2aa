package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
)

// Leases checks the lease of a cell through two stores of two nodes. Nobody may have had it before.
func Leases(t *testing.T, here, there cell.Leases) {
	t.Helper()
	ctx := t.Context()
	a, b := [16]byte{1}, [16]byte{2, 15: 9}
	take := func(s cell.Leases, holder [16]byte, ttl time.Duration) cell.Lease {
		t.Helper()
		l, err := s.Lease(ctx, cell.LeaseRequest{Holder: holder, Address: fmt.Sprintf("host%d:1", holder[0]), TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l, err := here.Leader(ctx); err != nil || l.Holder != [16]byte{} || l.Remaining != 0 || l.Held || l.Now.Year() < 2026 {
		t.Fatalf("nobody's lease: %+v, error %v", l, err)
	}
	if l := take(here, a, time.Minute); !l.Held || l.Holder != a || l.Address != "host1:1" || l.Remaining <= 50*time.Second || l.Remaining > time.Minute {
		t.Fatalf("the first lease: %+v", l)
	}
	if l := take(there, b, time.Minute); l.Held || l.Holder != a || l.Address != "host1:1" {
		t.Fatalf("a second holder: %+v", l)
	}
	if l := take(here, a, 10*time.Minute); !l.Held || l.Remaining <= 9*time.Minute {
		t.Fatalf("renewed: %+v", l)
	}
	if err := there.Release(ctx, b); err != nil {
		t.Fatal(err)
	}
	if l, err := there.Leader(ctx); err != nil || l.Holder != a || l.Held {
		t.Fatalf("after another's release: %+v, error %v", l, err)
	}
	if err := here.Release(ctx, a); err != nil {
		t.Fatal(err)
	}
	if l := take(there, b, 100*time.Millisecond); !l.Held || l.Holder != b {
		t.Fatalf("after the release: %+v", l)
	}
	for l := take(here, a, time.Minute); !l.Held; l = take(here, a, time.Minute) { // it ends by itself
		if l.Holder != b && l.Holder != [16]byte{} {
			t.Fatalf("waiting for b's lease to end: %+v", l)
		}
	}
	for _, r := range []cell.LeaseRequest{
		{TTL: time.Second},
		{Holder: a, TTL: 99 * time.Millisecond},
		{Holder: a, TTL: 11 * time.Minute},
		{Holder: a, TTL: time.Second, Address: strings.Repeat("x", 256)},
	} {
		if _, err := here.Lease(ctx, r); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

// Contention lets a holder for each store ask at once, again and again. A held lease must be one holder's only: whoever
// holds it gives it up before anyone else can have it.
func Contention(t *testing.T, stores []cell.Leases, rounds int) {
	t.Helper()
	holding := make(chan struct{}, 1) // full while somebody holds the lease
	failures := make(chan error, len(stores))
	for i, s := range stores {
		go func() { failures <- contend(t, s, [16]byte{byte(i + 1)}, rounds, holding) }() //nolint:gosec // a few stores
	}
	for range stores {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
}

func contend(t *testing.T, s cell.Leases, holder [16]byte, rounds int, holding chan struct{}) error {
	for held := 0; held < rounds; {
		l, err := s.Lease(t.Context(), cell.LeaseRequest{Holder: holder, Address: "a:1", TTL: time.Minute})
		if err != nil {
			return err
		}
		if !l.Held {
			continue
		}
		held++
		select {
		case holding <- struct{}{}:
		default:
			return fmt.Errorf("holder %d was given a lease that another has", holder[0])
		}
		<-holding
		if err := s.Release(t.Context(), holder); err != nil {
			return err
		}
	}
	return nil
}
