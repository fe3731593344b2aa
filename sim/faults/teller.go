package faults

import (
	"crypto/sha256"
	"math/rand/v2"
	"strconv"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

const (
	millisecond = uint64(1_000_000)
	second      = 1_000 * millisecond
	minute      = 60 * second
	hour        = 60 * minute
)

// teller makes stories that are as they should be.
type teller struct {
	r    *rand.Rand
	size Size
	// slow is by how much a word may be told late at most, honestly: its source promises nothing beyond it until then.
	slow uint64
	ids  uint64
	paid []payment // the last card payments, for refunds
	next int
}

// payment is a card payment that can be paid back.
type payment struct {
	key                watch.ID
	customer, merchant uint64
	left               uint64
	done               uint64 // ns: surely captured
}

const maxPaid = 4_096

func (t *teller) upTo(n uint64) uint64        { return t.r.Uint64N(n + 1) }
func (t *teller) between(a, b uint64) uint64  { return a + t.r.Uint64N(b-a+1) }
func (t *teller) oneIn(n int) bool            { return t.r.IntN(n) == 0 }
func (t *teller) account(n uint64) money.U128 { return money.From(n) }

// id is a fresh one, for anything.
func (t *teller) id() watch.ID {
	t.ids++
	return idOf(hashed("id", t.ids^t.r.Uint64()))
}

// key is a fresh one, with its text where it is no number.
func (t *teller) key() (key watch.ID, text string) {
	if !t.oneIn(10) {
		return t.id(), ""
	}
	t.ids++
	text = "order " + strconv.FormatUint(t.ids, 10) + "/" + strconv.FormatUint(t.r.Uint64(), 36)
	sum := sha256.Sum256([]byte(text))
	copy(key[:], sum[:])
	return key, text
}

// told is when a source sends what happened at a moment: mostly soon.
func (t *teller) told(at uint64) uint64 {
	switch {
	case t.oneIn(400):
		return at + t.upTo(t.slow)
	case t.oneIn(20):
		return at + t.between(50*millisecond, 700*millisecond)
	default:
		return at + t.between(millisecond, 40*millisecond)
	}
}

// draft is a story that is being made: when its order is of, and when the money moves.
type draft struct {
	Story
	text            string
	ordered, booked uint64
}

// begin makes a story with the times of its order and its money: the money mostly comes right after the order, at times
// seconds later, or before it.
func (t *teller) begin(flow string, at uint64) *draft {
	d := &draft{Story: Story{Flow: flow, Start: at}, ordered: at, booked: at + t.between(millisecond, 60*millisecond)}
	d.Key, d.text = t.key()
	switch {
	case t.oneIn(40):
		d.booked = at + t.between(100*millisecond, 3_500*millisecond)
	case t.oneIn(40): // the money before its order
		d.ordered, d.booked = at+t.between(50*millisecond, 3_500*millisecond), at+t.upTo(20*millisecond)
	}
	return d
}

// order adds the instruction.
func (t *teller) order(d *draft, debit, credit, amount uint64, asset string, terms ...watch.Term) *Word {
	return t.say(d, Orders, d.ordered, watch.Observation{
		Kind: watch.Instruction, Debit: ID(debit), Credit: ID(credit), Amount: amountOf(amount), Asset: asset, Terms: terms,
	})
}

// say adds a word about the story's key. One in a hundred is sent a second time, as it is, under a new number.
func (t *teller) say(d *draft, source string, at uint64, o watch.Observation) *Word {
	o.Time, o.Flow, o.Key, o.KeyText, o.ID = at, d.Flow, d.Key, d.text, t.id()
	w := Word{Source: source, Told: t.told(at), Seen: o}
	if t.oneIn(100) {
		w.Again = t.between(millisecond, 2*second)
	}
	d.Words = append(d.Words, w)
	return &d.Words[len(d.Words)-1]
}

// settled adds a channel's receipt for money that was booked at a moment: soon, or at times just before its deadline.
func (t *teller) settled(d *draft, booked, amount uint64, outcome watch.Outcome) {
	at := booked + t.between(20*millisecond, 2*second)
	if t.oneIn(50) {
		at = booked + t.between(2*second, 25*second)
	}
	t.say(d, CardScheme, at, watch.Observation{Kind: watch.Receipt, Outcome: outcome, Amount: amountOf(amount), Asset: cnyName})
}

// line adds a line of the bank's statement.
func (t *teller) line(d *draft, booked, amount uint64, minus bool) {
	at := booked + t.between(100*millisecond, 3*second)
	t.say(d, Bank, at, watch.Observation{Kind: watch.StatementEntry, Amount: amountOf(amount), Asset: cnyName, Minus: minus})
}

// transfer is one leg.
func (t *teller) transfer(d *draft, debit, credit, amount uint64, code uint16, leg uint32) journal.Transfer {
	return journal.Transfer{
		ID: numberOf(t.id()), Debit: t.account(debit), Credit: t.account(credit), Amount: money.From(amount), UserData128: numberOf(d.Key), UserData32: leg,
		Asset: cny, Code: code,
	}
}

func linked(list ...journal.Transfer) []journal.Transfer {
	for i := range list[:len(list)-1] {
		list[i].Flags |= journal.TransferLinked
	}
	return list
}

func (d *draft) move(at uint64, list ...journal.Transfer) {
	d.Moves = append(d.Moves, transfers(at, linked(list...)...))
}
