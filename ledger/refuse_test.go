package ledger_test

import (
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// TestWhatIsInTransitEndsWhileABucketCloses: nothing new begins in a bucket that closes, on either side; what had begun
// ends. Until then its account can't be given.
func TestWhatIsInTransitEndsWhileABucketCloses(t *testing.T) {
	cny := money.Asset{Code: "CNY", Scale: 2}
	home, peer := movingCell(t, cny, 1, 9), movingCell(t, cny, 2, 7)
	pay := func(id uint64) *transit.Attempt {
		x := journal.Transfer{ID: money.From(id), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1}
		return &transit.Attempt{Home: 7, Peer: 9, Asset: cny, Asked: x, Reserve: money.U128{Hi: 1, Lo: id}}
	}
	first, second := pay(100), pay(200)
	home.send(first.Reserved())
	peer.send(first.Hold(1))
	home.close(9)
	peer.close(7)
	home.refuse(second.Reserved())
	peer.refuse(second.Hold(1))
	peer.refuse(transit.Event{Transfer: journal.Transfer{ID: money.From(300), PendingID: money.From(301), Flags: journal.TransferVoid}})
	if s := home.give(); s != journal.ControlReservationsLeft {
		t.Errorf("an account with a transfer in transit: %s", s.Name(journal.KindGive))
	}
	home.send(first.Commit()...)
	peer.send(first.Confirm(money.From(5), true))
	peer.refuse(second.Confirm(money.U128{}, true)) // it would fence a hold that never came: the other cell does
	for _, c := range []*movingSide{home, peer} {
		if s := c.give(); s != journal.Created {
			t.Errorf("account %v: %s", c.account, s.Name(journal.KindGive))
		}
	}
	home.send(first.Settle(money.From(5))) // the marker does not move once its transfer has ended
	for _, c := range []*movingSide{home, peer} {
		if err := c.checkReplay(); err != nil {
			t.Error(err)
		}
	}
	if _, n := home.state.Account(money.From(1)); n != 0 {
		t.Errorf("account 1 has number %d in the cell it left", n)
	}
}

// movingSide is one side of a transfer across cells, and its account.
type movingSide struct {
	*rig
	t        *testing.T
	account  money.U128
	clearing money.U128
}

func movingCell(t *testing.T, asset money.Asset, account, other uint64) *movingSide {
	r := newRig([2]uint64{3, account})
	r.witness, r.deriver = nil, nil
	r.clock = 1_000_000_000
	c := &movingSide{r, t, money.From(account), transit.Clearing(asset, other)}
	r.apply(journal.KindAssets, journal.Actor{}, journal.Bytes([]journal.Asset{ledger.AssetRecord(asset)}))
	list := append(transit.Accounts(asset, 1, other), journal.Account{ID: c.account, Asset: 1, Code: 1})
	c.created(r.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(list)))
	return c
}

func (c *movingSide) created(results []journal.Result) {
	c.t.Helper()
	for i, r := range results {
		if r.Status != journal.Created {
			c.t.Fatalf("event %d: status %d", i, r.Status)
		}
	}
}

// ask returns whether a request is refused.
func (c *movingSide) ask(list []transit.Event) (events []byte, attached []journal.Attachment, refused bool) {
	var records []journal.Transfer
	for i, e := range list {
		records = append(records, e.Transfer)
		if e.Attached != nil {
			attached = append(attached, journal.Attachment{Event: i, Data: e.Attached})
		}
	}
	events = journal.Bytes(records)
	c.begin()
	c.state.Attach(attached)
	facts, err := c.fetch(c.state.Needs(journal.KindTransfers, events, nil), c.released, c.ids)
	if err != nil {
		c.t.Fatal(err)
	}
	_, refused = c.state.Refused(journal.KindTransfers, events, facts)
	return events, attached, refused
}

func (c *movingSide) send(list ...transit.Event) {
	c.t.Helper()
	events, attached, refused := c.ask(list)
	if refused {
		c.t.Fatalf("%+v is refused", list[0].Transfer)
	}
	results := c.applyAttached(journal.KindTransfers, journal.Actor{}, events, attached)
	if !list[0].Transfer.Flags.Has(journal.TransferFence) {
		c.created(results)
	}
}

func (c *movingSide) refuse(list ...transit.Event) {
	c.t.Helper()
	if _, _, refused := c.ask(list); !refused {
		c.t.Errorf("%+v is not refused", list[0].Transfer)
	}
}

func (c *movingSide) close(peer uint64) {
	m := journal.BucketMove{ID: money.From(900), Peer: peer, Version: 1, Bucket: journal.Bucket(c.account), Step: journal.BucketClose}
	c.created(c.apply(journal.KindBuckets, journal.Actor{}, journal.Bytes([]journal.BucketMove{m})))
}

func (c *movingSide) give() journal.Status {
	h := journal.Handover{Move: money.From(900), Account: c.account, Clearing: c.clearing}
	return c.apply(journal.KindGive, journal.Actor{}, journal.Bytes([]journal.Handover{h}))[0].Status
}

// TestNothingEndsWhileABucketArrives: a hold that arrived is confirmed once its bucket has.
func TestNothingEndsWhileABucketArrives(t *testing.T) {
	r := &cellRig{rig: handingRig(true)}
	for _, list := range handedOver(t) {
		x, _ := journal.TransitOf(list[0].Attached)
		if x.Step != journal.TransitHold {
			continue
		}
		if s := r.events(journal.KindCarry, list)[0].Status; s != journal.ControlCreated {
			t.Fatal(s.Name(journal.KindCarry))
		}
		a := &transit.Attempt{Asked: journal.Transfer{ID: x.Transfer, Debit: x.Debit, Credit: x.Credit, Flags: x.Flags}, Asset: townAsset, Home: x.Peer, Reserve: x.Reserve}
		if _, refused := r.askEvents(a.Confirm(money.From(7), true)); !refused {
			t.Error("a confirmation is not refused")
		}
		return
	}
	t.Error("no hold arrives")
}
