package ledger_test

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// What the town does with transfers across cells, like a driver at each of them that remembers nothing.

// events applies the events of a request.
func (c *cellRig) events(kind journal.Kind, list []transit.Event) []journal.Result {
	if len(list) == 0 {
		return nil
	}
	events, attached := requestOf(list)
	return c.applyAttached(kind, journal.Actor{1}, events, attached)
}

// askEvents is events of transfers, unless they touch a bucket that moves.
func (c *cellRig) askEvents(list ...transit.Event) (results []journal.Result, refused bool) {
	events, attached := requestOf(list)
	return c.ask(journal.KindTransfers, events, attached)
}

func requestOf(list []transit.Event) (events []byte, attached []journal.Attachment) {
	var records []journal.Transfer
	for i, e := range list {
		records = append(records, e.Transfer)
		if e.Attached != nil {
			attached = append(attached, journal.Attachment{Event: i, Data: e.Attached})
		}
	}
	return journal.Bytes(records), attached
}

// places returns where an id may stand in the journal, the last place first.
func (r *rig) places(id money.U128) []journal.Position {
	list := r.state.Candidates(id, nil)
	if n, ok := r.state.SettledCandidates(id); ok {
		list = append(list, r.ids.answer(n, &ledger.Facts{})...)
	}
	slices.Sort(list)
	slices.Reverse(list)
	return slices.Compact(list)
}

// kept returns the transfer of an id as it is now, nil where there is none.
func (r *rig) kept(id money.U128) *ledger.Fact {
	r.seal()
	for _, p := range r.places(id) {
		if f, err := r.fact(p); err == nil && f.Asked.ID == id && f.Status == journal.Created {
			return &f
		}
	}
	return nil
}

// crossing tells whether a transfer is one across cells, as its home has it.
func (w *town) crossing(c *cellRig, id money.U128) (x journal.Transit, ok bool) {
	if f := c.kept(id); f != nil {
		x, _ = journal.TransitOf(f.Attachment)
	}
	return x, x.Step == journal.TransitTransfer
}

// across makes a transfer between two cells, or asks for one again. Buckets move on meanwhile.
func (w *town) across(cell int, t journal.Transfer) bool {
	if transit.CheckTransfer(&t) != nil || w.limited[t.Debit] { // a limit may refuse at home after the peer has counted
		return false
	}
	c, peer := w.cells[cell], w.owner[journal.Bucket(t.Credit)]
	a := &transit.Attempt{Asked: t, Asset: townAsset, Home: cellID(cell), Peer: cellID(peer), Reserve: journal.MakeOwn(money.From(w.nextID))}
	w.nextID++
	if c.kept(t.ID) != nil {
		return w.compare(c, t, a.Transfer())
	}
	got, refused := c.askEvents(a.Reserved())
	if refused {
		w.seen["refused"]++
		return false
	}
	if got[0].Status != journal.Created {
		return w.failed(&t, got[0].Status)
	}
	w.between()
	held, refused := w.cells[peer].askEvents(a.Hold(1))
	w.between()
	status := journal.Status(0)
	if !refused {
		status = held[0].Status
	}
	if !refused && transit.Held(status) {
		d, s := transit.Decided(w.decide(c, a.Commit()))
		if d == transit.Made {
			if want := w.one.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{t})); want[0].Status != journal.Created {
				w.Fatalf("%+v across cells: created, alone it is %s", t, want[0].Status.Name(journal.KindTransfers))
			}
			w.seen["across"]++
			if w.pick(0, 1) == 0 {
				for range w.pick(0, 60) {
					w.step()
				}
			}
			return true
		}
		status = s
	}
	if d, s := transit.Decided(w.decide(c, a.Abort(status))); d != transit.Made {
		w.Fatalf("abort: %v, %s", d, s.Name(journal.KindTransfers))
	}
	return !refused && w.failed(&t, status)
}

// decide sends a decision, which nothing may hold up.
func (w *town) decide(c *cellRig, list []transit.Event) []journal.Result {
	results, refused := c.askEvents(list...)
	if refused {
		w.Fatalf("a decision about %v is refused", list[0].Transfer.PendingID)
	}
	return results
}

// failed holds a refusal against what the one ledger says, which may have found another reason first.
func (w *town) failed(t *journal.Transfer, status journal.Status) bool {
	want := w.one.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes([]journal.Transfer{*t}))[0].Status
	if want == journal.Created || want.Transient() != status.Transient() || (want == journal.TransferIdAlreadyFailed) != (status == journal.TransferIdAlreadyFailed) {
		w.Fatalf("%+v across cells: %s, alone it is %s", *t, status.Name(journal.KindTransfers), want.Name(journal.KindTransfers))
	}
	return true
}

// between lets a bucket move on, and a cell crash.
func (w *town) between() {
	for range w.pick(0, 1) * w.pick(0, 25) {
		w.step()
	}
	if w.pick(0, 9) == 0 {
		w.crash(w.cells[w.pick(0, townCells-1)])
	}
}

// endAcross sends a post or void of a transfer across cells. A credit account that is in another cell is not looked at:
// so what would be refused for it alone is not sent.
func (w *town) endAcross(c *cellRig, t *journal.Transfer, x *journal.Transit) bool {
	if transit.CheckEnd(t) != nil {
		return false
	}
	for _, f := range w.one.state.Freezes(true) {
		if f.Account == x.Credit && t.Flags.Has(journal.TransferPost) {
			return false
		}
	}
	if a, _ := w.one.state.Account(x.Credit); t.Flags.Has(journal.TransferPost) && a.Flags.Has(journal.AccountClosed) && !w.asked[x.Transfer].Flags.Has(journal.TransferClosingCredit) {
		return false
	}
	plain := transit.Event{Transfer: *t}
	if _, open := c.state.OpenPending(x.Transfer); open && len(c.state.Buckets()) > 0 {
		if _, refused := c.askEvents(plain); !refused {
			w.Fatalf("%+v, which does not know that it ends a transfer across cells, is not refused", *t)
		}
	}
	done := w.compare(c, *t, transit.End(t, journal.Details{}, *x, townAsset))
	if done {
		w.seen["ended across"]++
	}
	return done
}

// drive tells peers how transfers ended, and settles, as far as no bucket is in the way; some steps twice.
func (w *town) drive() {
	for _, r := range append(w.rigs(), w.one) {
		r.begin() // what is due has expired
	}
	for i, c := range w.cells {
		for _, p := range openOf(c.state) {
			if !p.Flags.Has(journal.TransferHold) {
				continue
			}
			f := c.factOf(p.Position)
			r, err := transit.Resume(cellID(i), townAsset, &transit.Open{Record: f.Asked, Attached: f.Attachment, Ended: p.Ended, Posted: p.Posted})
			if err == nil && r.Todo == transit.Finish {
				w.finish(i, &r)
			}
		}
	}
}

func (w *town) finish(i int, r *transit.Resumed) {
	home, away := w.cells[i], w.owner[journal.Bucket(r.Asked.Credit)]
	home.begin()
	for range w.pick(1, 2) {
		got, refused := w.cells[away].askEvents(r.Confirm(r.Posted, true))
		if refused {
			return
		}
		if transit.Confirmed(got[0].Status, r.Posted) != transit.Done {
			w.Fatalf("confirmation with %v in cell %d: %s", r.Posted, away, got[0].Status.Name(journal.KindTransfers))
		}
	}
	got, refused := home.askEvents(r.Settle(r.Posted))
	if refused { // it arrived, and its bucket has not yet
		return
	}
	if got[0].Status != journal.Created {
		w.Fatalf("settlement with %v in cell %d: %s", r.Posted, i, got[0].Status.Name(journal.KindTransfers))
	}
	if away == i {
		w.seen["both ends in one cell"]++
	}
	if r.Status == journal.Created && r.Posted.IsZero() {
		w.seen["expired across"]++ // or voided
	}
}

// waiting returns the accounts that are promised money from the bucket that moves: that what is promised has expired is
// known once the bucket has arrived.
func (w *town) waiting() map[money.U128]bool {
	list := map[money.U128]bool{}
	for _, c := range w.cells {
		for _, p := range openOf(c.state) {
			if len(w.moving) == 0 || !p.Flags.Has(journal.TransferHold) {
				continue
			}
			f := c.factOf(p.Position)
			if x, _ := journal.TransitOf(f.Attachment); w.moves(journal.Bucket(x.Debit)) {
				list[x.Credit] = true
			}
		}
	}
	return list
}

// factOf reads an event that may be in the block being built.
func (c *cellRig) factOf(p journal.Position) ledger.Fact {
	f, err := c.fact(p)
	if err != nil {
		c.seal()
		if f, err = c.fact(p); err != nil {
			panic(fmt.Sprint(p, err))
		}
		c.begin()
	}
	return f
}

// endAll voids what is open: nothing may be left then.
func (w *town) endAll() {
	for _, p := range openOf(w.one.state) {
		t := journal.Transfer{ID: money.U128{Hi: 5, Lo: w.nextID}, PendingID: p.ID, Flags: journal.TransferVoid} // an id that nothing has fenced
		w.nextID++
		w.home[t.ID] = w.home[p.ID]
		w.send(t)
	}
	w.drive()
	for i, c := range w.cells {
		if list := openOf(c.state); len(list) > 0 {
			w.Fatalf("cell %d has %+v open", i, list)
		}
	}
}
