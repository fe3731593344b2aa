package mover_test

import (
	"context"
	"errors"
	mrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
)

// phase is where a bucket stands in a cell.
func (m *member) phase(bucket uint16) (p ledger.Phase) {
	c, _ := m.current()
	err := c.Read(context.Background(), func(s *ledger.State) {
		for _, b := range s.Buckets() {
			if b.Bucket == bucket {
				p = b.Phase
			}
		}
	})
	if err != nil {
		m.w.t.Error(err)
	}
	return p
}

// ended waits for the end of the newest move of a cell.
func (w *town) ended(r *mover.Runner) (p mover.Progress) {
	w.t.Helper()
	for late := time.After(5 * time.Second); ; {
		if p, _ = r.Progress(); p.Ended != 0 {
			return p
		}
		select {
		case <-late:
			w.t.Fatalf("a move does not end: %+v", p)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestTheTakerIsSilentAfterTheClose: a bucket of which nothing was given is opened again.
func TestTheTakerIsSilentAfterTheClose(t *testing.T) {
	for _, paid := range []bool{true, false} { // with an id that was not carried before the close, or none
		w := newTown(t, 2)
		w.open(3, 3)
		if paid {
			w.maps.hold = func() { // after what there was is carried, before the close
				if w.cells[1].phase(3) != 0 {
					return
				}
				if err := w.pay(mrand.New(mrand.NewPCG(1, 1)), 3, new([]money.U128)); err != nil {
					t.Error(err)
				}
			}
		}
		closed := func() bool { return w.cells[1].phase(3) == ledger.Closing }
		w.wire = func(_ uint64, _ *router.Record, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
			if closed() {
				return nil, errors.New("it does not answer")
			}
			return deliver()
		}
		w.deaf = func(uint64) bool { return closed() }
		r := w.cells[1].runs()
		if _, err := r.Start(context.Background(), journal.Actor{7}, 2, []uint16{3}); err != nil {
			t.Fatal(err)
		}
		p := w.ended(r)
		if phase := w.cells[1].phase(3); p.Err == nil || phase != ledger.Settled {
			t.Errorf("paid %v: the move ended with %v, the bucket is %s", paid, p.Err, mover.PhaseName(phase))
		}
	}
}

// TestALeaderThatWasDeposedSwitchesNothing: it stopped before it wrote the map, and by the time that it goes on, the bucket
// has moved and come back.
func TestALeaderThatWasDeposedSwitchesNothing(t *testing.T) {
	w := newTown(t, 2)
	w.open(2, 3)
	stopped, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.maps.hold = func() {
		if w.cells[1].phase(3) == ledger.Given {
			once.Do(func() {
				close(stopped)
				<-goOn
			})
		}
	}
	deposed, _ := w.cells[1].current()
	r := w.cells[1].runs()
	if _, err := r.Start(context.Background(), journal.Actor{7}, 2, []uint16{3}); err != nil {
		t.Fatal(err)
	}
	<-stopped
	w.maps.hold = nil
	w.cells[1].lead()
	for _, to := range []uint64{2, 1} {
		if err := w.moveTo(to, 3); err != nil {
			t.Fatal(err)
		}
	}
	version, _, _ := w.maps.Load(context.Background())
	close(goOn)
	for try := 0; try < 200 && w.maps.owner(3) == 1; try++ {
		<-time.After(time.Millisecond)
	}
	r.Stand()
	deposed.Close()
	if now, _, _ := w.maps.Load(context.Background()); now != version || w.maps.owner(3) != 1 {
		t.Errorf("version %d of the map gives the bucket to cell %d, and cell 1 has it", now, w.maps.owner(3))
	}
}

// TestTheTakerLooksForWhatCame: whenever the giver's leader dies, and though its next one has nothing to go on with.
func TestTheTakerLooksForWhatCame(t *testing.T) {
	for n, burned := 1, true; burned; n++ {
		w := newTown(t, 2)
		w.open(2, 3)
		pending := journal.Transfer{
			ID: money.From(1 << 40), Debit: w.accounts[3][0], Credit: w.accounts[3][1], Amount: money.From(5), Asset: 1, Code: 1, Flags: journal.TransferPending,
		}
		if s, err := w.ask(3, pending); err != nil || s != journal.Created {
			t.Fatal(s, err)
		}
		w.fuse.set(n, true)
		r := w.cells[1].runs()
		if _, err := r.Start(context.Background(), journal.Actor{7}, 2, []uint16{3}); err != nil {
			t.Fatal(err)
		}
		for p, _ := r.Progress(); p.Ended == 0 && !w.fuse.isBurnt(); p, _ = r.Progress() {
			<-time.After(time.Millisecond)
		}
		if burned = w.fuse.isBurnt(); burned {
			r.Stand()
			w.fuse.set(0, false)
			w.cells[1].lead()
		}
		if err := w.moveTo(2, 3); err != nil {
			t.Fatal(err)
		}
		w.cells[2].mu.Lock()
		if w.cells[2].told == 0 {
			t.Errorf("after action %d nobody has told the taker to look", n)
		}
		w.cells[2].mu.Unlock()
	}
}

// TestAnAccountThatHasToStay: its bucket is opened again, and not given in part.
func TestAnAccountThatHasToStay(t *testing.T) {
	for name, plant := range map[string]func(w *town, account money.U128) (journal.Kind, []byte){
		"limits": func(_ *town, account money.U128) (journal.Kind, []byte) { // one each day, for some years
			list := make([]journal.Limit, 2000)
			for i := range list {
				list[i] = journal.Limit{ID: money.From(uint64(5000 + i)), Account: account, Side: journal.FreezeDebit, DayCount: 9}
			}
			return journal.KindLimits, journal.Bytes(list)
		},
		"freeze of its code": func(*town, money.U128) (journal.Kind, []byte) {
			return journal.KindFreeze, journal.Bytes([]journal.Freeze{{ID: money.From(1 << 41), Selector: journal.SelectCode, Code: 1, Mode: journal.FreezeDebit}})
		},
		"freeze of the cell": func(*town, money.U128) (journal.Kind, []byte) {
			return journal.KindFreeze, journal.Bytes([]journal.Freeze{{ID: money.From(1 << 41), Selector: journal.SelectCell, Mode: journal.FreezeDebit}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, 2)
			w.open(2, 3)
			kind, events := plant(w, w.accounts[3][1])
			c, _ := w.cells[1].current()
			q := &cell.Request{Kind: kind, Events: events, Results: make([]journal.Result, len(events)/journal.RecordSize)}
			if err := c.Do(context.Background(), q); err != nil || q.Results[0].Status != journal.ControlCreated {
				t.Fatal(q.Results[0].Status, err)
			}
			r := w.cells[1].runs()
			if _, err := r.Start(context.Background(), journal.Actor{7}, 2, []uint16{3}); err != nil {
				t.Fatal(err)
			}
			p := w.ended(r)
			if phase := w.cells[1].phase(3); !errors.Is(p.Err, ledger.ErrStays) || phase != ledger.Settled {
				t.Errorf("the move ended with %v, the bucket is %s", p.Err, mover.PhaseName(phase))
			}
		})
	}
}
