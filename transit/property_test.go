package transit_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// world is two cells that pay each other, with a network that loses, repeats and delays, and drivers that forget. All
// that may happen next is chosen by pick.
type world struct {
	sides   [2]*side
	net     []message
	replies map[money.U128]journal.Status // of holds, by reserve; lost in a crash
	told    map[money.U128]bool           // confirmed, by reserve; lost in a crash
	asked   []asked
	freezes [2][]uint64
	next    uint64
	pick    func(n int) int

	careless bool // plant: commits without having heard from the peer
	hasty    bool // plant: settles without having heard from the peer
}

// message is one that was sent, and may arrive any number of times, at any time.
type message struct {
	to      int
	event   transit.Event
	reserve money.U128
	confirm bool
	posted  money.U128
}

type asked struct {
	home int
	t    journal.Transfer
}

func newWorld(pick func(int) int) *world {
	return &world{
		sides:   [2]*side{newSide(1, 2, 11, 12), newSide(2, 1, 21, 22)},
		replies: map[money.U128]journal.Status{}, told: map[money.U128]bool{}, next: 1000, pick: pick,
	}
}

func (w *world) id() money.U128 { w.next++; return money.From(w.next) }

// step does one thing that may happen.
func (w *world) step() error {
	h := w.pick(2)
	switch w.pick(12) {
	case 0, 1:
		w.start()
	case 2, 3, 4:
		return w.drive(h, false)
	case 5, 6, 7:
		if len(w.net) > 0 {
			return w.deliver(&w.net[w.pick(len(w.net))], w.pick(4) > 0)
		}
	case 8:
		w.end(h)
	case 9:
		w.freeze(h)
	case 10:
		w.sides[h].clock += uint64(w.pick(3)) * 1_000_000_000
	case 11:
		clear(w.replies)
		clear(w.told)
		return w.sides[h].replay(w.pick(2) == 0)
	}
	return nil
}

// start asks for a transfer, or for one again as if nobody knew of it.
func (w *world) start() {
	a := asked{home: w.pick(2), t: journal.Transfer{ID: w.id(), Amount: money.From(uint64(w.pick(4))), Asset: 1, Code: 3, UserData64: w.next}}
	a.t.Debit, a.t.Credit = money.From([2][2]uint64{{11, 12}, {21, 22}}[a.home][w.pick(2)]), money.From([2][2]uint64{{21, 22}, {11, 12}}[a.home][w.pick(2)])
	if w.pick(2) == 0 {
		a.t.Flags, a.t.Timeout = journal.TransferPending, uint32(w.pick(3))
	}
	if len(w.asked) > 0 && w.pick(3) == 0 {
		a = w.asked[w.pick(len(w.asked))]
	}
	w.asked = append(w.asked, a)
	w.sides[a.home].steps(w.attempt(a).Reserved())
}

func (w *world) attempt(a asked) *transit.Attempt {
	return &transit.Attempt{
		Asked: a.t, Metadata: []journal.Meta{journal.Int("n", int64(a.t.UserData64))}, Asset: cny,
		Home: w.sides[a.home].id, Peer: w.sides[1-a.home].id, Reserve: w.id(),
	}
}

// drive goes on with one of the attempts that are open at h; with all, so that they end.
func (w *world) drive(h int, all bool) error {
	list, err := w.sides[h].open()
	if err != nil || len(list) == 0 {
		return err
	}
	if !all {
		list = list[w.pick(len(list)):][:1]
	}
	for i := range list {
		r := &list[i]
		switch {
		case r.Todo == transit.Decide:
			err = w.decide(h, r, all)
		case r.Todo == transit.Finish:
			err = w.finish(h, r, all)
		case all:
			w.post(h, r.Asked.ID, journal.TransferVoid)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) decide(h int, r *transit.Resumed, wait bool) error {
	status, heard := w.replies[r.Reserve]
	if !heard || w.pick(4) == 0 {
		m := message{to: 1 - h, event: r.Hold(1), reserve: r.Reserve}
		w.net = append(w.net, m)
		if wait {
			if err := w.deliver(&m, true); err != nil {
				return err
			}
		}
		status, heard = w.replies[r.Reserve]
	}
	switch {
	case w.careless, heard && transit.Held(status) && w.pick(8) > 0:
		results := w.sides[h].steps(r.Commit()...)
		if d, refused := transit.Decided(results); d == transit.Refused && w.pick(2) == 0 {
			return w.abort(h, r, refused)
		}
	case heard && !transit.Held(status):
		return w.abort(h, r, status)
	case w.pick(4) == 0:
		return w.abort(h, r, 0)
	}
	return nil
}

func (w *world) abort(h int, r *transit.Resumed, status journal.Status) error {
	if d, s := transit.Decided(w.sides[h].steps(r.Abort(status)...)); d == transit.Refused {
		return fmt.Errorf("an abort was refused: %s", s.Name(journal.KindTransfers))
	}
	return nil
}

func (w *world) finish(h int, r *transit.Resumed, wait bool) error {
	if !w.told[r.Reserve] && !w.hasty {
		m := message{to: 1 - h, event: r.Confirm(r.Posted, true), reserve: r.Reserve, confirm: true, posted: r.Posted}
		w.net = append(w.net, m)
		if !wait {
			return nil
		}
		if err := w.deliver(&m, true); err != nil {
			return err
		}
	}
	if got := w.sides[h].steps(r.Settle(r.Posted))[0].Status; got != journal.Created {
		return fmt.Errorf("settling with %v: %s", r.Posted, got.Name(journal.KindTransfers))
	}
	return nil
}

// deliver hands a message to the other cell; the answer may be lost.
func (w *world) deliver(m *message, answered bool) error {
	status := w.sides[m.to].steps(m.event)[0].Status
	if m.confirm {
		if got := transit.Confirmed(status, m.posted); got != transit.Done {
			return fmt.Errorf("a confirmation with %v: %s", m.posted, status.Name(journal.KindTransfers))
		}
		w.told[m.reserve] = w.told[m.reserve] || answered
	} else if answered {
		w.replies[m.reserve] = status
	}
	return nil
}

// end posts or voids a transfer, whether it is pending or not.
func (w *world) end(h int) {
	if len(w.asked) == 0 {
		return
	}
	a := w.asked[w.pick(len(w.asked))]
	w.post(a.home, a.t.ID, [2]journal.TransferFlags{journal.TransferPost, journal.TransferVoid}[w.pick(2)])
}

func (w *world) post(h int, id money.U128, flags journal.TransferFlags) {
	p, ok := w.sides[h].state.OpenPending(id)
	if !ok {
		return
	}
	x, _ := journal.TransitOf(w.sides[h].fact(p.Position).Attachment)
	t := journal.Transfer{ID: w.id(), PendingID: id, Flags: flags, Credit: x.Credit}
	if flags == journal.TransferPost {
		t.Amount = money.From(uint64(w.pick(int(p.Amount.Lo) + 1)))
	}
	w.sides[h].steps(transit.End(&t, journal.Details{}, x, cny))
}

// freeze freezes an account or the cell, or lifts a freeze.
func (w *world) freeze(h int) {
	s := w.sides[h]
	if n := len(w.freezes[h]); n > 0 && w.pick(2) == 0 {
		s.do(journal.KindUnfreeze, journal.Bytes([]journal.Unfreeze{{ID: w.id(), FreezeID: money.From(w.freezes[h][n-1])}}), nil)
		w.freezes[h] = w.freezes[h][:n-1]
		return
	}
	f := journal.Freeze{ID: w.id(), Selector: journal.SelectCell, Mode: journal.FreezeMode(1 + w.pick(3))}
	if w.pick(3) > 0 {
		f.Selector, f.Account = journal.SelectAccount, money.From(uint64(11+10*h+w.pick(2)))
	}
	s.do(journal.KindFreeze, journal.Bytes([]journal.Freeze{f}), nil)
	w.freezes[h] = append(w.freezes[h], w.next)
}

// settle drives all that is open to its end, and lets every message arrive once more, late.
func (w *world) settle() error {
	for h, s := range w.sides {
		for len(w.freezes[h]) > 0 && w.pick(2) == 0 { // or not: nothing that was decided waits for it
			w.freezes[h] = w.freezes[h][:len(w.freezes[h])-1]
		}
		s.clock += 10_000_000_000
		s.do(0, nil, nil)
	}
	for range 100 {
		for h := range w.sides {
			if err := w.drive(h, true); err != nil {
				return err
			}
		}
	}
	before := w.balances()
	for i := range w.net {
		if err := w.deliver(&w.net[len(w.net)-1-i], true); err != nil {
			return err
		}
	}
	if now := w.balances(); !slices.Equal(now, before) {
		return fmt.Errorf("late messages moved money: the accounts were %+v, now %+v", before, now)
	}
	return nil
}

func (w *world) balances() (list []journal.Account) {
	for _, s := range w.sides {
		for n := uint32(1); uint64(n) <= s.state.Counts().Accounts; n++ {
			list = append(list, s.state.AccountByNumber(n))
		}
	}
	return list
}

func (w *world) confirmed() (list [2]map[money.U128]movement) {
	for h, s := range w.sides {
		list[h] = s.moved(func(x *journal.Transit, t *journal.Transfer) bool {
			return x.Step == journal.TransitConfirm && t.Flags.Has(journal.TransferPost)
		})
	}
	return list
}

// check: nothing is in transit, both cells agree on what they owe each other, and each transfer moved the same on both
// sides, at most once.
func (w *world) check() error {
	var y [2]journal.Account
	for h, s := range w.sides {
		x, _ := s.state.Account(transit.InTransit(cny))
		y[h], _ = s.state.Account(transit.Clearing(cny, w.sides[1-h].id))
		if !x.DebitsPending.IsZero() || !x.CreditsPending.IsZero() || x.DebitsPosted != x.CreditsPosted {
			return fmt.Errorf("cell %d has in transit: %+v", s.id, x)
		}
		if n := s.state.Counts().Pending; n != 0 {
			return fmt.Errorf("cell %d: %d reservations are open", s.id, n)
		}
	}
	if y[0].DebitsPosted != y[1].CreditsPosted || y[0].CreditsPosted != y[1].DebitsPosted {
		return fmt.Errorf("clearing: %+v and %+v", y[0], y[1])
	}
	in := w.confirmed()
	for h, s := range w.sides {
		out := s.moved(func(x *journal.Transit, t *journal.Transfer) bool {
			return x.Step == journal.TransitTransfer && x.Flags == 0 || x.Step == journal.TransitEnd && t.Flags.Has(journal.TransferPost)
		})
		if !maps.Equal(out, in[1-h]) {
			return fmt.Errorf("cell %d moved %v, the other %v", s.id, out, in[1-h])
		}
		for id, m := range out {
			if m.times != 1 {
				return fmt.Errorf("transfer %v moved %d times", id, m.times)
			}
		}
		if err := s.replay(false); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) run(steps int) error {
	for range steps {
		if err := w.step(); err != nil {
			return err
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	return w.check()
}

// TestWhateverHappensMoneyArrivesOnceOrNotAtAll: any interleaving of the steps of many transfers in both directions, with
// repeated, late and lost messages, lost answers, freezes, expiries, and drivers and cells that start anew in between.
func TestWhateverHappensMoneyArrivesOnceOrNotAtAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "n") })
		if err := w.run(rapid.IntRange(0, 150).Draw(t, "steps")); err != nil {
			t.Fatal(err)
		}
	})
}

// TestPlantedDrivers: a driver that does not wait for its peer is found out.
func TestPlantedDrivers(t *testing.T) {
	for name, plant := range map[string]func(*world){
		"commits without having heard from the peer": func(w *world) { w.careless = true },
		"settles without having heard from the peer": func(w *world) { w.hasty = true },
	} {
		found := false
		for seed := uint64(0); seed < 200 && !found; seed++ {
			w := newWorld(rand.New(rand.NewPCG(seed, 1)).IntN)
			plant(w)
			found = w.run(100) != nil
		}
		if !found {
			t.Errorf("a driver that %s goes unnoticed", name)
		}
	}
}

// TestTheWorldReachesEverything: a property of runs in which nothing happens would hold, too.
func TestTheWorldReachesEverything(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(50) {
		w := newWorld(rand.New(rand.NewPCG(seed, 2)).IntN)
		if err := w.run(150); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, s := range w.sides {
			s.each(func(x *journal.Transit, f *ledger.Fact) {
				name := fmt.Sprintf("step %d %s", x.Step, f.Status.Name(journal.KindTransfers))
				if x.Step == journal.TransitMarker && f.Status == journal.Created {
					name = "decided " + x.Status.Name(journal.KindTransfers)
				}
				seen[name]++
			})
		}
	}
	for _, name := range []string{
		"step 1 created", "step 1 debit_account_frozen", "step 2 created", "decided created", "decided status 0", "decided credit_account_frozen",
		"decided id_already_failed", "decided exists_with_different_metadata", "step 5 created", "step 5 debit_account_frozen",
		"step 6 created", "step 6 pending_transfer_not_found", "step 7 created", "step 8 created",
	} {
		if seen[name] == 0 {
			t.Errorf("no run has a %s, they have %v", name, seen)
		}
	}
}
