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
	until    uint64 // accounts are waited for, by the node's monotonic clock

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

// pick returns an account of a role that can pay so much and was in no fault before. It waits for one.
func (s *story) pick(role demo.Role, enough uint64) (found party) {
	const most = 2000
	if s.err != nil {
		return found
	}
	x := s.injector
	first := int(s.random[16+s.ids%16]) % most
	s.ids++
	there, err := x.await(s.ctx, s.until, func() (bool, error) {
		err := x.node.cell.Read(s.ctx, func(state *ledger.State) {
			for n := 0; n < most && found.id == (money.U128{}); n++ {
				found = s.able(state, demo.AccountID(role, (first+n)%most), enough)
			}
		})
		return found.id != money.U128{}, err
	})
	switch {
	case err != nil:
		s.err = fmt.Errorf("look for accounts of the demo bank: %w", err)
	case !there:
		s.err = fmt.Errorf("%w: no account of the demo bank has %d minor units (role %d), within %v", errNoBank, enough, role, bankLimit)
	default:
		x.used[found.id] = true
	}
	return found
}

// able is an account that can pay so much and was in no fault before; no party: it can't.
func (s *story) able(state *ledger.State, account string, enough uint64) (none party) {
	id, err := money.Parse(account)
	if err != nil || s.injector.used[id] {
		return none
	}
	a, number := state.Account(id)
	if number == 0 || beyond(beyond(a.CreditsPosted, a.DebitsPosted), a.DebitsPending).Less(money.From(enough)) {
		return none
	}
	return party{id: id, asset: a.Asset, owes: beyond(a.DebitsPosted, a.CreditsPosted).Lo}
}

// beyond is a - b; zero where b is more.
func beyond(a, b money.U128) money.U128 {
	if d, underflow := a.Sub(b); !underflow {
		return d
	}
	return money.U128{}
}

// house returns an account of the bank's own. It waits for it.
func (s *story) house(role demo.Role) (found party) {
	if s.err != nil {
		return found
	}
	id, err := money.Parse(demo.AccountID(role, 0))
	if err != nil {
		s.err = err
		return found
	}
	there, err := s.injector.await(s.ctx, s.until, func() (bool, error) {
		err := s.injector.node.cell.Read(s.ctx, func(state *ledger.State) {
			if a, number := state.Account(id); number != 0 {
				found = party{id: id, asset: a.Asset}
			}
		})
		return found.id != money.U128{}, err
	})
	switch {
	case err != nil:
		s.err = fmt.Errorf("look for the demo bank's account %v: %w", id, err)
	case !there:
		s.err = fmt.Errorf("%w: it has no account %v, within %v", errNoBank, id, bankLimit)
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
