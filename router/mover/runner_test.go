package mover_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
)

// TestBucketsMoveUnderLoad moves buckets to another cell and back while payments are made in them.
func TestBucketsMoveUnderLoad(t *testing.T) {
	w := newTown(t, 2)
	w.open(5, 3, 7, 700)
	stop := w.busy()
	for round := range 3 {
		to, list := uint64(2), []uint16{3, 7}
		if round == 1 {
			to, list = 1, []uint16{3, 700}
		}
		w.await(300)
		if err := w.moveTo(to, list...); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if faults := w.wrong(); len(faults) > 0 {
		t.Errorf("%d faults:\n%s", len(faults), strings.Join(faults[:min(10, len(faults))], "\n"))
	}
	p, ok := w.cells[1].runs().Progress()
	if !ok || p.State != mover.Done || len(p.Moved) == 0 || p.Moved[0].Accounts != 5 || p.IDs == 0 || p.BlocksRead == 0 {
		t.Errorf("progress %+v, %v", p, ok)
	}
}

// TestCrashesOfTheGiver cuts the giver's leader off at each of its actions, before and after it has taken effect; the next
// leader goes on.
func TestCrashesOfTheGiver(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n, burned := 1, true; burned; n++ {
			w := newTown(t, 2)
			w.open(3, 3)
			stop := w.busy()
			w.await(50)
			w.fuse.set(n, after)
			err := w.moveTo(2, 3)
			if err != nil {
				t.Fatalf("action %d, after %v: %v", n, after, err)
			}
			if err := stop(); err != nil {
				t.Fatalf("action %d, after %v: %v", n, after, err)
			}
			w.fuse.mu.Lock()
			burned = w.fuse.left == 0
			w.fuse.mu.Unlock()
			w.fuse.set(0, false)
			if faults := w.wrong(); len(faults) > 0 {
				t.Fatalf("action %d, after %v: %d faults:\n%s", n, after, len(faults), strings.Join(faults[:min(10, len(faults))], "\n"))
			}
			if n > 60 {
				t.Fatal("a move never ends")
			}
		}
	}
}

// TestCrashesOfTheTaker has another node lead the taker around each record that it gets, and loses and doubles answers.
func TestCrashesOfTheTaker(t *testing.T) {
	w := newTown(t, 2)
	w.open(4, 3, 7)
	stop := w.busy()
	calls := 0
	w.wire = func(to uint64, _ *router.Record, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		switch calls++; calls % 5 {
		case 0:
			w.cells[to].takeover()
		case 1:
			if _, err := deliver(); err != nil {
				return nil, err
			}
			w.cells[to].takeover()
			return nil, errors.New("the answer is lost")
		case 2:
			return nil, errors.New("it does not arrive")
		case 3:
			if _, err := deliver(); err != nil {
				return nil, err
			}
		}
		return deliver()
	}
	w.await(100)
	for _, b := range []uint16{3, 7} {
		if err := w.moveTo(2, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if faults := w.wrong(); len(faults) > 0 {
		t.Errorf("%d faults:\n%s", len(faults), strings.Join(faults[:min(10, len(faults))], "\n"))
	}
}

// TestARetriedIDAfterABucketMove plants the fault that nothing is carried: what is sent again is then done again, or not
// known, and it must show.
func TestARetriedIDAfterABucketMove(t *testing.T) {
	w := newTown(t, 2)
	w.open(3, 3)
	stop := w.busy()
	w.await(100)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	w.wire = func(_ uint64, r *router.Record, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		if r.Kind != journal.KindCarry {
			return deliver()
		}
		statuses := make([]journal.Status, len(r.Events)/journal.RecordSize)
		for i := range statuses {
			statuses[i] = journal.ControlCreated
			if c, _, _ := journal.CarriedOf(r.Attachments[i].Data); c.Standing == journal.StandingArrives {
				return deliver()
			}
		}
		return statuses, nil
	}
	if err := w.moveTo(2, 3); err != nil {
		t.Fatal(err)
	}
	w.wire = nil
	faults := w.wrong()
	if len(faults) == 0 {
		t.Error("nothing was carried, and nobody noticed")
	}
}
