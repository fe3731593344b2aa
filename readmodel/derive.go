package readmodel

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// Needs returns the ids of the reservations that blocks end, and do not make themselves: what has to be found before they
// can become a batch. Ascending, without duplicates.
func Needs(blocks []*journal.Block) []money.U128 {
	made := map[money.U128]bool{}
	var ids []money.U128
	for _, k := range blocks {
		for i := range k.Expiries {
			if id := k.Expiries[i].Pending; !made[id] {
				ids = append(ids, id)
			}
		}
		for e := range effective(k) {
			if e.part.Kind == journal.KindCarry { // what leaves, or is split
				if c, _, ok := journal.CarriedOf(k.Attachment(e.event)); ok && c.Standing >= journal.StandingArrives {
					ids = append(ids, k.Transfer(e.event).ID)
				}
			}
			if e.part.Kind != journal.KindTransfers {
				continue
			}
			t := k.Transfer(e.event)
			switch {
			case t.Flags.Has(journal.TransferPending):
				made[t.ID] = true
			case t.Flags.Has(journal.TransferPost|journal.TransferVoid) && !made[t.PendingID]:
				ids = append(ids, t.PendingID)
			}
		}
	}
	slices.SortFunc(ids, money.U128.Cmp)
	return slices.Compact(ids)
}

// effect is an event that took effect.
type effect struct {
	part    *journal.Part
	event   int              // of the block
	outcome *journal.Outcome // nil: the default
}

// effective returns all events of the block that took effect, in order.
func effective(k *journal.Block) iter.Seq[effect] {
	return func(yield func(effect) bool) {
		outcomes := k.Outcomes
		for p := range k.Parts() {
			for event := p.First; event < p.First+p.Count; event++ {
				for len(outcomes) > 0 && int(outcomes[0].Event) < event {
					outcomes = outcomes[1:]
				}
				e := effect{part: &p, event: event}
				if len(outcomes) > 0 && int(outcomes[0].Event) == event {
					e.outcome = &outcomes[0]
				}
				if e.outcome != nil && e.outcome.Status != journal.Created {
					continue
				}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// Derive makes a batch of blocks that follow each other and begin right after from, and of the reservations that Needs
// named. Head is the highest acknowledged block.
func Derive(from Position, blocks []*journal.Block, found []Reservation, head uint64) (*Batch, error) {
	d := newDeriver(from, found)
	for _, k := range blocks {
		if err := d.take(k); err != nil {
			return nil, err
		}
	}
	d.batch.To.Head = max(head, d.batch.To.Seq)
	d.finish()
	return d.batch, nil
}

// deriver makes one batch.
type deriver struct {
	batch *Batch
	block *journal.Block

	reserved map[money.U128]*entry // found, or made in the batch
	accounts map[money.U128]int    // made in the batch: place in batch.Accounts
	changes  map[money.U128]*BalanceChange
	closed   map[money.U128]bool
	metadata map[money.U128][]Metadata // of accounts, as it is after the batch
	replaced []money.U128              // their order

	transaction money.U128            // whose legs follow; zero: none
	request     *journal.RequestEntry // of that transaction

	gone    map[money.U128]bool // accounts that left
	renewed map[money.U128]bool // accounts that arrived
	handed  int                 // events of the block before this one have handed over what they do
}

// entry is a reservation in work.
type entry struct {
	Reservation
	created bool // in this batch
	changed bool
}

func newDeriver(from Position, found []Reservation) *deriver {
	d := &deriver{
		batch: &Batch{From: from, To: from}, reserved: make(map[money.U128]*entry, len(found)), accounts: map[money.U128]int{},
		changes: map[money.U128]*BalanceChange{}, closed: map[money.U128]bool{}, metadata: map[money.U128][]Metadata{},
		gone: map[money.U128]bool{}, renewed: map[money.U128]bool{},
	}
	d.batch.To.Version = Version
	for i := range found {
		d.reserved[found[i].ID] = &entry{Reservation: found[i]}
	}
	return d
}

// fault is an error about an event of the block.
func (d *deriver) fault(class error, event int, format string, args ...any) error {
	return fmt.Errorf("event %d of block %d %s: %w", event, d.block.Header.Seq, fmt.Sprintf(format, args...), class)
}

func (d *deriver) take(k *journal.Block) error {
	h, to := &k.Header, &d.batch.To
	switch {
	case h.Cell != to.Cell || h.Seq != to.Seq+1 || h.Prev != to.Hash:
		return fmt.Errorf("block %d of cell %d after block %d (%v) of cell %d: it is not the next one: %w", h.Seq, h.Cell, to.Seq, to.Hash, to.Cell, ErrJournal)
	case h.Rules > Rules:
		return fmt.Errorf("block %d follows version %d of the ledger's rules, this program knows %d: %w", h.Seq, h.Rules, Rules, ErrNewer)
	}
	d.block, d.handed = k, 0
	for i := range k.Expiries {
		if err := d.expire(i, &k.Expiries[i]); err != nil {
			return err
		}
	}
	for e := range effective(k) {
		if err := d.event(e.part, e.event, e.outcome); err != nil {
			return err
		}
	}
	to.Seq, to.Hash, to.Time, to.Rules = h.Seq, k.Hash, h.Time, h.Rules
	return nil
}

// at is an event's position and its time in the block.
func (d *deriver) at(event int) (journal.Position, uint64) {
	index := len(d.block.Expiries) + event
	return journal.At(d.block.Header.Seq, index), d.block.Header.Time + uint64(index) //nolint:gosec // not negative
}

// event takes an event that took effect.
func (d *deriver) event(p *journal.Part, event int, o *journal.Outcome) error {
	raw := d.block.EventBytes(event, 1)
	pos, time := d.at(event)
	actor := p.Request.Actor
	switch p.Kind {
	case journal.KindTransfers:
		return d.transfer(p, event, o)
	case journal.KindAccounts:
		return d.account(event, o, actor)
	case journal.KindTransaction:
		return d.head(p, event)
	case journal.KindMetadata:
		c := &journal.View[journal.MetadataChange](raw)[0]
		details, err := d.details(event, c.Flags.Has(journal.TransferAttached))
		if err == nil {
			d.setMetadata(c.Account, metadataOf(OwnerAccount, c.Account, details.Metadata))
		}
		return err
	case journal.KindAssets:
		a := &journal.View[journal.Asset](raw)[0]
		d.batch.To.Assets++
		d.batch.Assets = append(d.batch.Assets, Asset{d.batch.To.Assets, text(a.Code[:]), a.Scale, pos, time})
	case journal.KindFreeze:
		d.freeze(&journal.View[journal.Freeze](raw)[0], pos, time, actor)
	case journal.KindUnfreeze:
		u := &journal.View[journal.Unfreeze](raw)[0]
		d.batch.Lifts = append(d.batch.Lifts, Lift{u.FreezeID, u.ID, time, text(u.Reason[:]), actor})
	case journal.KindDayClose:
		c := &journal.View[journal.DayClose](raw)[0]
		lines, err := d.trial(event)
		if err != nil {
			return err
		}
		d.batch.Closes = append(d.batch.Closes, DayClose{c.ID, pos, time, c.Date, false, text(c.Reason[:]), actor, lines})
	case journal.KindReopen:
		r := &journal.View[journal.Reopen](raw)[0]
		d.batch.Closes = append(d.batch.Closes, DayClose{r.ID, pos, time, r.Date, true, text(r.Reason[:]), actor, nil})
	case journal.KindCarry:
		return d.carried(p, event)
	case journal.KindGive:
		return d.given(event, actor)
	case journal.KindTake:
		return d.taken(event, actor)
	case journal.KindPolicy:
		d.batch.To.UTCOffset = journal.View[journal.Policy](raw)[0].UTCOffset
	}
	return nil // limits, proposals, decisions, principals and erasures have no tables: see docs/sql
}

// details reads what is attached to an event.
func (d *deriver) details(event int, attached bool) (journal.Details, error) {
	if !attached {
		return journal.Details{}, nil
	}
	details, err := journal.DecodeDetails(d.block.Attachment(event))
	if err != nil {
		return journal.Details{}, d.fault(ErrJournal, event, "has an attachment: %v", err)
	}
	return details, nil
}

func (d *deriver) account(event int, o *journal.Outcome, actor journal.Actor) error {
	a := &journal.View[journal.Account](d.block.EventBytes(event, 1))[0]
	details, err := d.details(event, a.Flags.Has(journal.AccountAttached))
	if err != nil {
		return err
	}
	pos, time := d.at(event)
	switch {
	case o != nil:
		time = o.Timestamp
	case a.Flags.Has(journal.AccountImported):
		time = a.Timestamp
	}
	d.accounts[a.ID] = len(d.batch.Accounts)
	d.batch.Accounts = append(d.batch.Accounts, Account{
		ID: a.ID, Position: pos, Timestamp: time, Asset: a.Asset, Code: a.Code, Flags: a.Flags & AccountFlags,
		Closed: a.Flags.Has(journal.AccountClosed), Address: details.Address, UserData: UserData{a.UserData128, a.UserData64, a.UserData32}, Actor: actor,
	})
	if len(details.Metadata) > 0 {
		d.setMetadata(a.ID, metadataOf(OwnerAccount, a.ID, details.Metadata))
	}
	return nil
}

func (d *deriver) setMetadata(account money.U128, rows []Metadata) {
	if _, again := d.metadata[account]; !again {
		d.replaced = append(d.replaced, account)
	}
	d.metadata[account] = rows
}

// head takes the head of a transaction: the transfers after it in the same request are its legs.
func (d *deriver) head(p *journal.Part, event int) error {
	h := d.block.Transfer(event)
	details, err := d.details(event, h.Flags.Has(journal.TransferAttached))
	if err != nil {
		return err
	}
	pos, time := d.at(event)
	d.transaction, d.request = h.ID, p.Request
	d.batch.Transactions = append(d.batch.Transactions, Transaction{
		h.ID, pos, time, h.Timeout, h.Code, UserData{h.UserData128, h.UserData64, h.UserData32}, p.Request.Actor,
	})
	d.batch.Metadata = append(d.batch.Metadata, metadataOf(OwnerTransaction, h.ID, details.Metadata)...)
	return nil
}

func (d *deriver) freeze(f *journal.Freeze, pos journal.Position, time uint64, actor journal.Actor) {
	selectors := map[journal.Selector]string{journal.SelectAccount: "account", journal.SelectCode: "code", journal.SelectCell: "cell"}
	modes := map[journal.FreezeMode]string{journal.FreezeDebit: "debit", journal.FreezeCredit: "credit", journal.FreezeAll: "all"}
	d.batch.Freezes = append(d.batch.Freezes, Freeze{
		f.ID, pos, time, selectors[f.Selector], f.Account, f.Code, modes[f.Mode], text(f.Reason[:]), actor,
	})
}

// finish nets what the blocks did.
func (d *deriver) finish() {
	b := d.batch
	for id, c := range d.changes {
		if _, here := d.accounts[id]; !here && *c != (BalanceChange{Account: id}) {
			b.Balances = append(b.Balances, *c)
		}
	}
	slices.SortFunc(b.Balances, func(x, y BalanceChange) int { return x.Account.Cmp(y.Account) })
	d.finishMoves()
	for id, closed := range d.closed {
		if i, here := d.accounts[id]; here {
			b.Accounts[i].Closed = closed
		} else {
			b.Closed = append(b.Closed, ClosedChange{id, closed})
		}
	}
	slices.SortFunc(b.Closed, func(x, y ClosedChange) int { return x.Account.Cmp(y.Account) })
	for _, r := range d.reserved {
		switch {
		case r.created:
			b.Reserved = append(b.Reserved, r.Reservation)
		case r.changed:
			b.Resolved = append(b.Resolved, r.Reservation)
		}
	}
	byID := func(x, y Reservation) int { return x.ID.Cmp(y.ID) }
	slices.SortFunc(b.Reserved, byID)
	slices.SortFunc(b.Resolved, byID)
	for _, id := range d.replaced {
		if _, here := d.accounts[id]; !here || d.renewed[id] {
			b.Replaced = append(b.Replaced, id)
		}
		b.Metadata = append(b.Metadata, d.metadata[id]...)
	}
}

// text is what stands before the padding, as every engine can hold it.
func text(padded []byte) string {
	if i := bytes.IndexByte(padded, 0); i >= 0 {
		padded = padded[:i]
	}
	return strings.ToValidUTF8(string(padded), "\uFFFD")
}
