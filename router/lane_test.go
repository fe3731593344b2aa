package router_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/router"
)

// TestABucketThatMovesHoldsUpNoOther: transfers to a bucket that is on its way, for as long as that takes, are confirmed
// later than those to other buckets of the same cell.
func TestABucketThatMovesHoldsUpNoOther(t *testing.T) {
	w := newWorld(t, 2)
	debit, leaves, stays := w.account(1, 0), w.account(2, 0), w.account(2, 0)
	var mu sync.Mutex
	confirms, moves := 0, true
	w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		mu.Lock()
		defer mu.Unlock()
		first, _ := journal.TransitOf(s.List[0].Details)
		if first.Step != journal.TransitConfirm {
			return deliver()
		}
		confirms++
		touches := slices.ContainsFunc(s.List, func(step router.Step) bool {
			x, _ := journal.TransitOf(step.Details)
			return x.Credit == leaves
		})
		if moves && (touches || confirms <= 2) { // the first ones are lost, so that all are sent at once
			return nil, fmt.Errorf("by cell 2: %w", cell.ErrMoving)
		}
		return deliver()
	}
	w.must(transfer(1, debit, leaves, 1), transfer(2, debit, stays, 2), transfer(3, debit, leaves, 4), transfer(4, debit, stays, 8))
	for late := time.Now().Add(5 * time.Second); ; {
		if posted, _, _ := w.balance(stays); posted == 10 {
			break
		}
		if time.Now().After(late) {
			t.Error("transfers to an account that does not move are not confirmed")
			break
		}
	}
	mu.Lock()
	moves = false
	mu.Unlock()
	w.quiet(0)
	w.expect(leaves, 5, 0, 0)
	w.expect(stays, 10, 0, 0)
}
