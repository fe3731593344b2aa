package index

import (
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// ErrDerive is a block that does not fit those before it: the journal is damaged, or begins elsewhere.
var ErrDerive = errors.New("the block does not follow from those before it")

// Deriver works out what blocks did from what they record, without the ledger: it knows no rules, only which account has
// which number, what moved, and what is still reserved. So an index can be built from the journal while the ledger goes
// on, with the memory of the accounts and open reservations, and without reading any block twice. What it says of a
// block is exactly what the ledger said when it made the block; tests compare them.
type Deriver struct {
	numbers  map[money.U128]uint32
	accounts []derivedAccount // number n stands at n-1
	reserved map[money.U128]reservation
	offset   int32 // minutes ahead of UTC
	seq      uint64
	handed   int // events of the block before this one have handed over what they do
	fx       *ledger.Effects
	block    *journal.Block
}

type derivedAccount struct {
	ledger.Balances
	history bool
	gone    bool // to another cell
}

// reservation is what is left of an open reservation, and what posts and voids take over from it.
type reservation struct {
	debit, credit uint32
	rest          money.U128
	position      journal.Position
	userData32    uint32
	userData64    uint64
	userData128   money.U128
}

// NewDeriver returns a deriver that begins with block 1.
func NewDeriver() *Deriver {
	return &Deriver{numbers: map[money.U128]uint32{}, reserved: map[money.U128]reservation{}}
}

// Seq is the last block that was derived.
func (d *Deriver) Seq() uint64 { return d.seq }

// Derive fills fx with what the next block did. After an error the deriver is of no use any more.
func (d *Deriver) Derive(k *journal.Block, fx *ledger.Effects) error {
	if k.Header.Seq != d.seq+1 {
		return fmt.Errorf("%w: block %d after block %d", ErrDerive, k.Header.Seq, d.seq)
	}
	fx.Reset()
	d.fx, d.block, d.handed = fx, k, 0
	for i := range k.Expiries {
		if err := d.expire(i, &k.Expiries[i]); err != nil {
			return err
		}
	}
	outcomes := k.Outcomes
	for p := range k.Parts() {
		for event := p.First; event < p.First+p.Count; event++ {
			var o *journal.Outcome
			for len(outcomes) > 0 && int(outcomes[0].Event) < event {
				outcomes = outcomes[1:]
			}
			if len(outcomes) > 0 && int(outcomes[0].Event) == event {
				o = &outcomes[0]
			}
			if o != nil && o.Status != journal.Created {
				continue
			}
			if err := d.event(p.Kind, event, p.First+p.Count, o); err != nil {
				return err
			}
		}
	}
	d.seq = k.Header.Seq
	return nil
}

// event takes an event that succeeded. Those of its part of the request end before end.
func (d *Deriver) event(kind journal.Kind, event, end int, o *journal.Outcome) error {
	switch kind {
	case journal.KindAccounts:
		d.created(event, &journal.View[journal.Account](d.block.EventBytes(event, 1))[0])
	case journal.KindTransfers:
		return d.transfer(event, o)
	case journal.KindMetadata:
		c := &journal.View[journal.MetadataChange](d.block.EventBytes(event, 1))[0]
		n := d.numbers[c.Account]
		if n == 0 {
			return d.fault(event, "changes account %v, which nobody created", c.Account)
		}
		d.fx.Changed = append(d.fx.Changed, ledger.AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
	case journal.KindCarry:
		return d.carried(event, end)
	case journal.KindGive:
		return d.given(event)
	case journal.KindTake:
		return d.taken(event)
	case journal.KindPolicy:
		d.offset = journal.View[journal.Policy](d.block.EventBytes(event, 1))[0].UTCOffset
	}
	return nil
}

// created numbers an account.
func (d *Deriver) created(event int, a *journal.Account) (n uint32) {
	d.accounts = append(d.accounts, derivedAccount{history: a.Flags.Has(journal.AccountHistory)})
	n = uint32(len(d.accounts)) //nolint:gosec // account numbers are 32 bits
	d.numbers[a.ID] = n
	d.fx.Accounts = append(d.fx.Accounts, ledger.AccountEffect{Event: uint32(event), Number: n}) //nolint:gosec // ≤ MaxEvents
	return n
}

func (d *Deriver) fault(event int, format string, args ...any) error {
	return fmt.Errorf("%w: event %d of block %d %s", ErrDerive, event, d.block.Header.Seq, fmt.Sprintf(format, args...))
}

func (d *Deriver) expire(i int, x *journal.Expiry) error {
	r, ok := d.reserved[x.Pending]
	if !ok || r.rest != x.Amount {
		return fmt.Errorf("%w: block %d releases %v of transfer %v, %v are reserved", ErrDerive, d.block.Header.Seq, x.Amount, x.Pending, r.rest)
	}
	delete(d.reserved, x.Pending)
	d.fx.Expired = append(d.fx.Expired, ledger.ExpiryEffect{
		Index: uint32(i), Debit: r.debit, Credit: r.credit, Pending: r.position, Amount: r.rest, //nolint:gosec // ≤ MaxEvents
	})
	return d.move(i, &r, money.U128{}, money.U128{}, r.rest)
}

// transfer takes a transfer that was created.
func (d *Deriver) transfer(event int, o *journal.Outcome) error {
	t := d.block.Transfer(event)
	amount := t.Amount
	if o != nil {
		amount = o.Amount
	}
	at := journal.At(d.block.Header.Seq, len(d.block.Expiries)+event)
	var zero money.U128
	r := reservation{debit: d.numbers[t.Debit], credit: d.numbers[t.Credit]}
	var posted, reserved, released money.U128
	ends := t.Flags.Has(journal.TransferPost | journal.TransferVoid)
	if ends {
		var ok bool
		if r, ok = d.reserved[t.PendingID]; !ok {
			return d.fault(event, "resolves transfer %v, which reserves nothing", t.PendingID)
		}
	}
	if r.debit == 0 || r.credit == 0 {
		return d.fault(event, "moves money between accounts %v and %v, which nobody created", t.Debit, t.Credit)
	}
	switch {
	case t.Flags.Has(journal.TransferPending):
		reserved = amount
		d.reserved[t.ID] = reservation{r.debit, r.credit, amount, at, t.UserData32, t.UserData64, t.UserData128}
	case t.Flags.Has(journal.TransferPost):
		posted, released = amount, r.rest
		if t.Flags.Has(journal.TransferKeepRemainder) {
			released = amount
		}
	case t.Flags.Has(journal.TransferVoid):
		released = r.rest
	default:
		posted = amount
	}
	if err := d.move(event, &r, posted, reserved, released); err != nil {
		return err
	}
	if ends {
		d.inherit(event, t, &r)
		if r.rest, _ = r.rest.Sub(released); r.rest == zero {
			delete(d.reserved, t.PendingID)
		} else {
			d.reserved[t.PendingID] = r
		}
	}
	d.fx.Transfers = append(d.fx.Transfers, ledger.TransferEffect{Event: uint32(event), Debit: r.debit, Credit: r.credit}) //nolint:gosec // ≤ MaxEvents
	kept := ledger.Sampled(at) || t.Flags.Has(journal.TransferPost) && posted.Less(released)
	d.row(r.debit, at, kept)
	d.row(r.credit, at, kept)
	d.book(event, t)
	return nil
}

// move applies what was posted, reserved and released to both accounts.
func (d *Deriver) move(event int, r *reservation, posted, reserved, released money.U128) error {
	debit, credit := &d.accounts[r.debit-1], &d.accounts[r.credit-1]
	wrong := false
	change := func(sum *money.U128, plus, minus money.U128) {
		v, over := sum.Add(plus)
		v, under := v.Sub(minus)
		*sum, wrong = v, wrong || over || under
	}
	change(&debit.DebitsPosted, posted, money.U128{})
	change(&credit.CreditsPosted, posted, money.U128{})
	change(&debit.DebitsPending, reserved, released)
	change(&credit.CreditsPending, reserved, released)
	if wrong {
		return d.fault(event, "takes a balance beyond its range")
	}
	return nil
}

func (d *Deriver) inherit(event int, t *journal.Transfer, r *reservation) {
	in := ledger.Inherited{Event: uint32(event)} //nolint:gosec // ≤ MaxEvents
	if t.UserData128.IsZero() {
		in.UserData128 = r.userData128
	}
	if t.UserData64 == 0 {
		in.UserData64 = r.userData64
	}
	if t.UserData32 == 0 {
		in.UserData32 = r.userData32
	}
	if in != (ledger.Inherited{Event: in.Event}) {
		d.fx.Inherited = append(d.fx.Inherited, in)
	}
}

func (d *Deriver) row(number uint32, at journal.Position, kept bool) {
	a := &d.accounts[number-1]
	if a.history || kept {
		d.fx.History = append(d.fx.History, ledger.HistoryRow{Account: number, Sampled: !a.history, Position: at, Balances: a.Balances})
	}
}

func (d *Deriver) book(event int, t *journal.Transfer) {
	if !t.Flags.Has(journal.TransferAttached) {
		return
	}
	details, err := journal.DecodeDetails(d.block.Attachment(event))
	if err != nil || details.BookingDate == 0 {
		return // what an attachment may say, the ledger has checked
	}
	if details.BookingDate != journal.DateOf(timestamp(d.block, event), d.offset) {
		d.fx.Bookings = append(d.fx.Bookings, ledger.BookingEffect{Event: uint32(event), Date: details.BookingDate}) //nolint:gosec // ≤ MaxEvents
	}
}
