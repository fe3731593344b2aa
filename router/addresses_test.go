package router_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

// TestAPlaceholderThatIsTaken: a caller's account that has the id of an address's placeholder keeps that address from being
// claimed, and none of the others of the call.
func TestAPlaceholderThatIsTaken(t *testing.T) {
	w := newWorld(t, 1)
	c, _ := w.cells[1].current()
	w.open(c, journal.Account{ID: router.Placeholder("m:1"), UserData128: money.From(7), Asset: 1, Code: 1})
	claims := []router.Claim{{Address: "m:1", Account: money.From(7), Asset: 1}, {Address: "m:2", Account: money.From(7), Asset: 1}}
	if taken, err := router.ClaimAddresses(t.Context(), c, claims); err != nil || !taken[0] || taken[1] {
		t.Errorf("%v, %v", taken, err)
	}
}
