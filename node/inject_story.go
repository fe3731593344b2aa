package node

import (
	"context"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// story is one fault on its way: what is to be ordered, moved and said. The first error stays.
type story struct {
	injector *injector
	ctx      context.Context
	random   [32]byte
	key      money.U128
	ids      uint64
	err      error

	orders, receipts, lines []watch.Observation
	moves                   [][]journal.Transfer
	instead                 func(ctx context.Context) error // of all that
}

// party is an account of a story.
type party struct {
	id    money.U128
	asset uint32
	owes  uint64 // debits posted beyond credits
}

// pick returns an account of a role that can pay so much and was in no fault before.
func (s *story) pick(role demo.Role, enough uint64) (found party) {
	const most = 2000
	if s.err != nil {
		return found
	}
	x := s.injector
	first := int(s.random[16+s.ids%16]) % most
	s.ids++
	err := x.node.cell.Read(s.ctx, func(state *ledger.State) {
		for n := range most {
			id, err := money.Parse(demo.AccountID(role, (first+n)%most))
			if err != nil || x.used[id] {
				continue
			}
			a, number := state.Account(id)
			if number == 0 {
				continue
			}
			has := beyond(beyond(a.CreditsPosted, a.DebitsPosted), a.DebitsPending)
			if has.Less(money.From(enough)) {
				continue
			}
			found = party{id: id, asset: a.Asset, owes: beyond(a.DebitsPosted, a.CreditsPosted).Lo}
			return
		}
	})
	switch {
	case err != nil:
		s.err = fmt.Errorf("look for accounts of the demo bank: %w", err)
	case found.id == money.U128{}:
		s.err = fmt.Errorf("%w: no account of the demo bank has %d minor units (role %d)", errNoBank, enough, role)
	default:
		x.used[found.id] = true
	}
	return found
}

// beyond is a - b; zero where b is more.
func beyond(a, b money.U128) money.U128 {
	if d, underflow := a.Sub(b); !underflow {
		return d
	}
	return money.U128{}
}

// house returns an account of the bank's own.
func (s *story) house(role demo.Role) (found party) {
	id, err := money.Parse(demo.AccountID(role, 0))
	if err == nil && s.err == nil {
		err = s.injector.node.cell.Read(s.ctx, func(state *ledger.State) {
			a, number := state.Account(id)
			if number != 0 {
				found = party{id: id, asset: a.Asset}
			}
		})
	}
	if s.err == nil && (err != nil || found.id == money.U128{}) {
		s.err = fmt.Errorf("%w: it has no account %v: %w", errNoBank, id, err)
	}
	return found
}

// other is a key that belongs to the story and is not its first.
func (s *story) other() money.U128 {
	k := s.key
	s.ids++
	k.Hi ^= s.ids << 32
	return k
}

// transfer is money that moves under the story's key.
func (s *story) transfer(kind demo.Kind, leg uint32, from, to party, amount uint64) journal.Transfer {
	return journal.Transfer{
		ID: s.other(), Debit: from.id, Credit: to.id, Amount: money.From(amount), UserData128: s.key, UserData32: leg, Asset: from.asset, Code: uint16(kind),
	}
}

// move adds a call: transfers that move together.
func (s *story) move(list ...journal.Transfer) { s.moves = append(s.moves, list) }

// order adds what the bank was told to do.
func (s *story) order(flow string, from, to party, amount uint64, asset string) *watch.Observation {
	o := s.said(watch.Instruction, flow, amount, asset)
	o.Debit, o.Credit = idOf(from.id), idOf(to.id)
	s.orders = append(s.orders, o)
	return &s.orders[len(s.orders)-1]
}

// receipt adds what the card scheme says.
func (s *story) receipt(flow string, outcome watch.Outcome, amount uint64) {
	o := s.said(watch.Receipt, flow, amount, yuan)
	o.Outcome = outcome
	s.receipts = append(s.receipts, o)
}

func (s *story) said(kind watch.ObservationKind, flow string, amount uint64, asset string) watch.Observation {
	id := s.other().String()
	return watch.Observation{
		Kind: kind, Time: s.injector.node.clock.Wall(), Flow: flow, Key: idOf(s.key), KeyText: s.key.String(), ID: watch.KeyOf(id), IDText: id,
		Amount: watch.Amount{Lo: amount}, Asset: asset, Text: "a fault that was made on purpose",
	}
}

func idOf(n money.U128) (id watch.ID) {
	n.PutLE(id[:])
	return id
}

const (
	yuan    = "CNY/2"
	dollars = "USD/2"
)

// run tells the story: its order first, then its money, then what others say.
func (s *story) run() error {
	x := s.injector
	if s.instead != nil {
		return s.instead(s.ctx)
	}
	if err := x.say(s.ctx, demo.Orders, s.orders...); err != nil {
		return err
	}
	for _, list := range s.moves {
		if err := x.book(s.ctx, list); err != nil {
			return err
		}
	}
	if err := x.pause(s.ctx, 50*time.Millisecond); err != nil {
		return err
	}
	if err := x.say(s.ctx, demo.CardScheme, s.receipts...); err != nil {
		return err
	}
	return x.say(s.ctx, demo.OtherBank, s.lines...)
}
