package trail_test

import (
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// TestAlertBounds: an alert is about a line before it, and counts; a record of format 1 has none.
func TestAlertBounds(t *testing.T) {
	build := func(format int, of, counted uint64) []byte {
		var c trail.Chain
		text := c.Append(nil, 1, trail.KindBegin, trail.Body(trail.Begin{Format: format}))
		text = c.Append(text, 1, trail.KindAlert, trail.Body(trail.Alert{Rule: "r", Action: "kill", Of: of}))
		return c.Append(text, 1, trail.KindEnd, trail.Body(trail.End{Alerts: counted}))
	}
	if r, err := verify(build(2, 0, 1)); err != nil || r.Alerts != 1 || !r.Complete() {
		t.Errorf("%+v, %v", r, err)
	}
	for what, text := range map[string][]byte{
		"about itself": build(2, 1, 1), "not counted": build(2, 0, 0), "format 1": build(1, 0, 1), "format 3": build(3, 0, 1),
	} {
		if _, err := verify(text); !errors.Is(err, trail.ErrTampered) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
