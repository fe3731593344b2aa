package ledger_test

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// attach gives events details, now and then: of reads an event's flags, where a repeated event had them.
func (g *gen) attach(n int, details func(i int) string, flag func(i int, on bool)) (list []journal.Attachment) {
	for i := range n {
		data := details(i)
		if data != "" {
			list = append(list, journal.Attachment{Event: i, Data: []byte(data)})
		}
		flag(i, (data != "") != g.chance(60))
	}
	return list
}

func (g *gen) metadata() (list []journal.Meta) {
	if g.chance(2) {
		return nil
	}
	for _, key := range []string{"k", "order"}[:g.pick(1, 2)] {
		list = append(list, journal.Int(key, int64(g.pick(0, 1))))
	}
	return list
}

// accountDetails are often the ones that the account has, or an address that another one has.
func (g *gen) accountDetails(a *journal.Account) string {
	if e, ok := g.m.accounts[a.ID]; ok && !g.chance(4) {
		return e.attached
	}
	if !g.chance(3) {
		return ""
	}
	d := journal.Details{Metadata: g.metadata(), Address: []string{"", "a", "shop:1", "shop:2"}[g.pick(0, 3)]}
	return string(d.Append(nil))
}

func (g *gen) transferDetails() string {
	if !g.chance(3) {
		return ""
	}
	d := journal.Details{Metadata: g.metadata()}
	if day := g.date(); g.chance(2) && day > 0 {
		d.BookingDate = journal.Date(day)
	}
	return string(d.Append(nil))
}

// date is a day near today, or near what is the most.
func (g *gen) date() int64 {
	day := g.m.day(g.m.time)
	switch g.pick(0, 5) {
	case 0:
		return max(0, day+int64(g.pick(365, 367)))
	case 1:
		return max(0, day-int64(g.pick(365, 367)))
	}
	return max(0, day+int64(g.pick(-4, 1)))
}

func (g *gen) controlID(from int) money.U128 {
	switch g.pick(0, 30) {
	case 0:
		return money.U128{}
	case 1:
		return money.Max()
	}
	return money.From(uint64(from + g.pick(1, 12)))
}

func (g *gen) actor() journal.Actor { return journal.Actor{byte(g.pick(1, 3))} }

// genTransaction draws a transaction, or repeats one, perhaps with something else about it.
func (g *gen) genTransaction() ([]journal.Transfer, []journal.Attachment) {
	var events []journal.Transfer
	var list []journal.Attachment
	if len(g.transactions) > 0 && g.chance(4) {
		was := g.transactions[g.pick(0, len(g.transactions)-1)]
		events, list = slices.Clone(was.events), was.attached
	} else {
		events = make([]journal.Transfer, 1+g.pick(1, 4))
		events[0] = journal.Transfer{ID: g.transferID(), Flags: journal.TransferHead, Code: uint16(g.pick(0, 2))}
		if g.chance(3) {
			events[0].Flags |= journal.TransferCycles
		}
		for i := 1; i < len(events); i++ {
			events[i] = g.transfer()
		}
		list = g.attach(len(events), func(int) string { return g.transferDetails() }, func(i int, on bool) { setFlag(&events[i], on) })
	}
	switch g.pick(0, 25) {
	case 0:
		events[0].Timestamp = 1
	case 1:
		events[0].Flags ^= 1 << g.pick(0, 15)
	case 2:
		events[0].ID = []money.U128{{}, money.Max(), g.transferID()}[g.pick(0, 2)]
	case 3:
		events[0].UserData128, events[0].UserData64, events[0].UserData32 = money.From(uint64(g.pick(0, 1))), uint64(g.pick(0, 1)), uint32(g.pick(0, 1))
	case 4:
		events[0].Code ^= 1
	case 5, 6, 7:
		g.spoil(&events[g.pick(1, len(events)-1)])
	case 8:
		events[0].Flags ^= journal.TransferCycles
	}
	for i := range events[1:] {
		events[i+1].Flags &^= journal.TransferLinked
	}
	completeTransaction(events, list)
	return events, list
}

func setFlag(t *journal.Transfer, on bool) {
	if t.Flags &^= journal.TransferAttached; on {
		t.Flags |= journal.TransferAttached
	}
}

// completeTransaction fills in what the envelope demands: the legs' ids, and their digest.
func completeTransaction(events []journal.Transfer, attached []journal.Attachment) {
	var ofLegs []journal.Attachment
	for _, a := range attached {
		if a.Event > 0 {
			ofLegs = append(ofLegs, journal.Attachment{Event: a.Event - 1, Data: a.Data})
		}
	}
	for i := range events[1:] {
		events[i+1].ID = journal.LegID(events[0].ID, uint32(i))
	}
	events[0].Timeout = uint32(len(events) - 1)
	events[0].Debit, events[0].Credit = journal.LegsDigest(events[1:], ofLegs)
}

type sentTransaction struct {
	events   []journal.Transfer
	attached []journal.Attachment
}

func (d *duel) transaction() {
	d.r.begin()
	events, list := d.genTransaction()
	got := d.r.applyAttached(journal.KindTransaction, journal.Actor{}, journal.Bytes(events), list)
	want := d.m.createTransaction(d.r.next, events, list)
	d.compare(journal.KindTransfers, got, want, func(i int) string { return fmt.Sprintf("%+v", events[i]) })
	d.transactions = append(d.transactions, sentTransaction{events, list})
	d.legs = append(d.legs, events[d.pick(1, len(events)-1)].ID)
}

func (d *duel) metadataChange() {
	d.r.begin()
	events := make([]journal.MetadataChange, d.pick(1, 3))
	list := d.attach(len(events), func(int) string { return string((&journal.Details{Metadata: d.metadata()}).Append(nil)) }, func(int, bool) {})
	for i := range events {
		events[i] = journal.MetadataChange{ID: d.transferID(), Account: d.accountID(), Flags: journal.TransferHead}
		if attachedTo(list, i) != "" {
			events[i].Flags |= journal.TransferAttached
		}
		if i > 0 && d.chance(4) && attachedTo(list, i) == attachedTo(list, i-1) {
			events[i] = events[i-1]
		}
	}
	got := d.r.applyAttached(journal.KindMetadata, journal.Actor{}, journal.Bytes(events), list)
	want := make([]journal.Result, len(events))
	for i, c := range journal.View[journal.Transfer](journal.Bytes(events)) {
		want[i].Status, want[i].Timestamp = d.m.changeMetadata(c, attachedTo(list, i), d.r.next+uint64(i))
	}
	d.compare(journal.KindFreeze, got, want, func(i int) string { return fmt.Sprintf("%+v", events[i]) })
}

func (d *duel) closeDay() {
	d.r.begin()
	c := journal.DayClose{ID: d.controlID(5000), Date: journal.Date(d.date())}
	if d.chance(2) {
		c.Date = journal.Date(max(1, d.m.day(d.m.time)-1))
	}
	actor := d.actor()
	got := d.r.apply(journal.KindDayClose, actor, journal.Bytes([]journal.DayClose{c}))
	trial := d.m.trial(d.m.openFrom(), int64(c.Date))
	var want [1]journal.Result
	want[0].Status, want[0].Timestamp = d.m.closeDay(c.ID, modelClose{date: c.Date, actor: actor}, d.r.next)
	d.compare(journal.KindFreeze, got, want[:], func(int) string { return fmt.Sprintf("%+v", c) })
	if want[0].Status == journal.Created {
		d.trials = append(d.trials, trial)
	}
}

func (d *duel) genPolicy() journal.Policy {
	d.policies++
	return journal.Policy{
		ID: money.From(uint64(7000 + d.policies)), Flags: journal.PolicyFlags(d.pick(0, 3)),
		UTCOffset: []int32{0, 0, 480, -720, 1080, -1080, 1081}[d.pick(0, 6)],
	}
}

// control sends a policy, a reopening or an unfreezing straight, without anybody's approval.
func (d *duel) control() {
	d.r.begin()
	kind, events, _ := d.genProposed(d.pick(3, 5))
	actor := d.actor()
	got := d.r.apply(kind, actor, events)
	want := d.m.apply(kind, actor, d.r.next, events, nil)
	d.compare(journal.KindFreeze, got, want, func(int) string { return fmt.Sprintf("kind %d: %x", kind, events) })
}

// genProposed draws a request that can be proposed.
func (d *duel) genProposed(which int) (journal.Kind, []byte, []journal.Attachment) {
	switch which {
	case 0:
		events := d.genAccounts()
		list := d.attach(len(events), func(i int) string { return d.accountDetails(&events[i]) }, func(i int, on bool) { setAccountFlag(&events[i], on) })
		return journal.KindAccounts, journal.Bytes(events), list
	case 1:
		events := d.genTransfers()
		list := d.attach(len(events), func(int) string { return d.transferDetails() }, func(i int, on bool) { setFlag(&events[i], on) })
		return journal.KindTransfers, journal.Bytes(events), list
	case 2:
		events, list := d.genTransaction()
		return journal.KindTransaction, journal.Bytes(events), list
	case 3:
		return journal.KindPolicy, journal.Bytes([]journal.Policy{d.genPolicy()}), nil
	case 4:
		return journal.KindReopen, journal.Bytes([]journal.Reopen{{ID: d.controlID(5000), Date: journal.Date(d.date())}}), nil
	}
	u := journal.Unfreeze{ID: money.From(uint64(2000 + d.pick(0, 8))), FreezeID: money.From(uint64(1000 + d.pick(0, 3)))}
	return journal.KindUnfreeze, journal.Bytes([]journal.Unfreeze{u}), nil
}

func setAccountFlag(a *journal.Account, on bool) {
	if a.Flags &^= journal.AccountAttached; on {
		a.Flags |= journal.AccountAttached
	}
}

func (d *duel) propose() {
	d.r.begin()
	p := journal.Proposal{ID: d.controlID(6000), Reason: [64]byte{'w', 'h', 'y'}}
	actor := d.actor()
	var events []byte
	var list []journal.Attachment
	if e, ok := d.m.proposals[p.ID]; ok && !d.chance(3) { // again
		p, actor, events, list = e.Proposal, e.actor, e.events, e.attached
		switch d.pick(0, 5) {
		case 0:
			p.Reason[0]++
		case 1:
			actor = d.actor()
		case 2:
			events = slices.Clone(events)
			events[100] ^= 1 // user data
		}
		if ledger.CheckRequest(p.Inner, events, list) != nil { // a transaction's digest
			return
		}
	} else {
		p.Inner, events, list = d.genProposed(min(5, d.pick(0, 8)))
		if d.chance(4) {
			p.Expires = d.m.time + uint64(d.pick(0, 5))*1_000_000_000
		}
	}
	payload := journal.Details{Payload: ledger.EncodePayload(events, list)}
	got := d.r.applyAttached(journal.KindProposal, actor, journal.Bytes([]journal.Proposal{p}), []journal.Attachment{{Event: 0, Data: payload.Append(nil)}})
	var want [1]journal.Result
	want[0].Status, want[0].Timestamp = d.m.propose(p, actor, events, list, d.r.next)
	d.compare(journal.KindFreeze, got, want[:], func(int) string { return fmt.Sprintf("%+v", p) })
}

// decide approves or rejects, often the right way.
func (d *duel) decide() {
	d.r.begin()
	v := journal.Decision{ID: d.controlID(6500), Proposal: d.controlID(6000), Verdict: journal.Verdict(1 + d.pick(0, 3)/3), Inner: journal.KindTransfers}
	actor := d.actor()
	ids := slices.SortedFunc(maps.Keys(d.m.proposals), money.U128.Cmp)
	var events []byte
	var list []journal.Attachment
	if len(ids) > 0 && !d.chance(8) {
		p := d.m.proposals[ids[d.pick(0, len(ids)-1)]]
		v.Proposal, v.Inner, events, list = p.ID, p.Inner, p.events, p.attached
		if p.actor == actor && !d.chance(4) {
			actor[0] = 4
		}
		if d.chance(8) {
			events = slices.Clone(events)
			events[100] ^= 1
		}
	}
	if v.Verdict == journal.Reject {
		events, list = nil, nil
	} else if events == nil {
		events = journal.Bytes([]journal.Transfer{{ID: d.transferID(), Debit: d.accountID(), Credit: d.accountID(), Amount: d.amount(), Asset: 1, Code: 1}})
	}
	all := append(slices.Clone(journal.Bytes([]journal.Decision{v})), events...)
	shifted := slices.Clone(list)
	for i := range shifted {
		shifted[i].Event++
	}
	if ledger.CheckRequest(journal.KindDecision, journal.Aligned(all), shifted) != nil {
		return // a transaction's digest
	}
	got := d.r.applyAttached(journal.KindDecision, actor, journal.Aligned(all), shifted)
	want := d.m.decide(d.r.next, v, actor, events, list)
	d.compare(journal.KindFreeze, got[:1], want[:1], func(int) string { return fmt.Sprintf("%+v", v) })
	kind := v.Inner
	if kind == journal.KindTransaction {
		kind = journal.KindTransfers
	}
	d.compare(kind, got[1:], want[1:], func(i int) string { return fmt.Sprintf("inner event %d of %+v", i, v) })
}

// checkBooks compares addresses, the policy and the trial balance, from days chosen at random.
func (d *duel) checkBooks() {
	for id, want := range d.m.accounts {
		_, n := d.r.state.Account(id)
		if got := d.r.state.Address(n); got != want.address {
			d.Fatalf("account %v has address %q, the model %q", id, got, want.address)
		}
		if want.address != "" && d.r.state.ByAddress(want.address) != n {
			d.Fatalf("address %q is of account %d, not %d", want.address, d.r.state.ByAddress(want.address), n)
		}
	}
	for _, name := range []string{"a", "shop:1", "shop:2", "shop", "none"} {
		if _, taken := d.m.byAddress(name); !taken && d.r.state.ByAddress(name) != 0 {
			d.Fatalf("address %q is of account %d, the model has none", name, d.r.state.ByAddress(name))
		}
	}
	if got := int64(d.r.state.ClosedThrough()); got != d.m.through {
		d.Fatalf("closed through %d, the model says %d", got, d.m.through)
	}
	from, through := d.m.openFrom(), int64(journal.MaxDate)
	if d.chance(3) {
		from, through = d.date(), d.date()
	}
	d.sameTrial(d.r.state.TrialBalance(journal.Date(from), journal.Date(through)), d.m.trial(from, through))
}

func (d *duel) sameTrial(rows []ledger.TrialRow, want map[[2]uint32][6]string) {
	if len(rows) != len(want) {
		d.Fatalf("trial balance %v, the model's %v", rows, want)
	}
	for i, r := range rows {
		got := [6]string{
			r.Opening.Debits.String(), r.Opening.Credits.String(), r.Late.Debits.String(), r.Late.Credits.String(),
			r.Period.Debits.String(), r.Period.Credits.String(),
		}
		if got != want[[2]uint32{r.Asset, uint32(r.Code)}] {
			d.Fatalf("trial balance of asset %d, code %d: %v, the model's %v", r.Asset, r.Code, got, want[[2]uint32{r.Asset, uint32(r.Code)}])
		}
		if i > 0 && (r.Asset < rows[i-1].Asset || r.Asset == rows[i-1].Asset && r.Code <= rows[i-1].Code) {
			d.Fatalf("row %d of the trial balance is out of order: %v", i, rows)
		}
	}
}
