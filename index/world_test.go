package index_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// world makes blocks and keeps what the index should know of them, the simple way: all transfers in one slice.
type world struct {
	rng       *rand.Rand
	time      uint64
	blocks    []*journal.Block
	effects   []*ledger.Effects
	accounts  []account
	transfers []ledger.Transfer
	sides     [][2]uint32 // account numbers of each transfer
	balances  map[uint32][]balance
}

type account struct {
	journal.Account
	number uint32
}

type balance struct {
	transfer int
	row      index.BalanceRow
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 1)), time: 1_000_000, balances: map[uint32][]balance{}}
}

// numbers of accounts, in this order: around the borders of bytes and of the pages of heads.
var numbers = []uint32{1, 2, 255, 256, 257, 1023, 1024, 65535, 65536, 1<<24 - 1, 1 << 24, 1<<24 + 1}

func (w *world) maybe(percent int) bool { return w.rng.IntN(100) < percent }

// userData is often absent and otherwise one of few values, so that lists meet.
func (w *world) userData() (d128 money.U128, d64 uint64, d32 uint32) {
	if w.maybe(30) {
		d128 = money.U128{Lo: w.rng.Uint64N(3), Hi: w.rng.Uint64N(2)}
	}
	if w.maybe(30) {
		d64 = w.rng.Uint64N(2) + 255
	}
	if w.maybe(30) {
		d32 = w.rng.Uint32N(2) + 1<<31
	}
	return d128, d64, d32
}

// block is one under construction.
type block struct {
	*world
	seq      uint64
	b        *journal.Builder
	fx       *ledger.Effects
	h        journal.Header
	expiries int
	last     uint64 // timestamp of the last transfer
}

// addBlock makes a block of some requests; with none it is a barrier.
func (w *world) addBlock(requests int) {
	k := &block{world: w, seq: uint64(len(w.blocks)) + 1, b: journal.NewBuilder(), fx: &ledger.Effects{}}
	w.time += w.rng.Uint64N(50) + 30 // room for imported transfers
	k.h = journal.Header{Kind: journal.BlockNormal, Cell: 7, Seq: k.seq, Time: w.time, Acked: k.seq - 1}
	if k.seq > 1 {
		k.h.Prev = w.blocks[k.seq-2].Hash
	}
	if n := len(w.transfers); n > 0 {
		k.last = w.transfers[n-1].Timestamp
	}
	if requests > 0 && len(w.accounts) > 1 && w.maybe(20) {
		k.expiries = 1 + w.rng.IntN(3)
		k.addExpiries()
	}
	for range requests {
		if len(w.accounts) < 2 || len(w.accounts) < len(numbers) && w.maybe(25) {
			k.addAccounts()
		} else {
			k.addTransfers(1+w.rng.IntN(6), w.maybe(15))
		}
	}
	sealed := k.b.Seal(k.h)
	w.time = sealed.Header.End()
	w.blocks, w.effects = append(w.blocks, sealed), append(w.effects, k.fx)
}

func (k *block) addExpiries() {
	for i := range k.expiries {
		k.b.AddExpiry(journal.Expiry{})
		k.fx.Expired = append(k.fx.Expired, ledger.ExpiryEffect{Index: uint32(i), Debit: k.accounts[0].number, Credit: k.accounts[1].number})
	}
}

func (k *block) addAccounts() {
	for range 2 {
		if len(k.accounts) == len(numbers) {
			return
		}
		a := account{number: numbers[len(k.accounts)]}
		a.ID = money.From(1000 + uint64(a.number))
		a.UserData128, a.UserData64, a.UserData32 = k.userData()
		if k.maybe(50) {
			a.Flags = journal.AccountHistory
		}
		event, _ := k.b.AddRequest(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{a.Account}))
		k.fx.Accounts = append(k.fx.Accounts, ledger.AccountEffect{Event: uint32(event), Number: a.number})
		k.accounts = append(k.accounts, a)
	}
}

func (k *block) addTransfers(n int, imported bool) {
	records := make([]journal.Transfer, n)
	for i := range records {
		t := &records[i]
		t.ID, t.Amount = money.From(k.rng.Uint64()|1), money.From(k.rng.Uint64N(1000))
		t.Code, t.Asset = uint16(1+k.rng.IntN(3)), 1+k.rng.Uint32N(2)
		t.UserData128, t.UserData64, t.UserData32 = k.userData()
		if imported { // between the transfers before and this block
			t.Flags, t.Timestamp = journal.TransferImported, k.last+1+uint64(i)
		}
	}
	if imported && k.last+uint64(n) >= k.h.Time {
		return
	}
	first, _ := k.b.AddRequest(journal.KindTransfers, journal.Actor{}, journal.Bytes(records))
	for i := range records {
		if k.maybe(15) {
			k.b.AddOutcome(journal.Outcome{Event: uint32(first + i), Status: journal.TransferExceedsCredits, Timestamp: 1})
			continue
		}
		k.create(first+i, records[i])
	}
}

// create lets a transfer succeed.
func (k *block) create(event int, t journal.Transfer) {
	at := journal.At(k.seq, k.expiries+event)
	if !t.Flags.Has(journal.TransferImported) {
		t.Timestamp = k.h.Time + uint64(k.expiries+event)
	}
	k.last = t.Timestamp
	d := k.rng.IntN(len(k.accounts))
	c := (d + 1 + k.rng.IntN(len(k.accounts)-1)) % len(k.accounts)
	debit, credit := &k.accounts[d], &k.accounts[c]
	t.Debit, t.Credit = debit.ID, credit.ID
	if k.maybe(20) { // a post, which takes over what it does not have
		from := ledger.Inherited{Event: uint32(event)}
		from.UserData128, from.UserData64, from.UserData32 = k.userData()
		k.fx.Inherited = append(k.fx.Inherited, from)
		k.b.AddOutcome(journal.Outcome{Event: uint32(event), Status: journal.Created, Timestamp: t.Timestamp})
		if t.UserData128.IsZero() {
			t.UserData128 = from.UserData128
		}
		if t.UserData64 == 0 {
			t.UserData64 = from.UserData64
		}
		if t.UserData32 == 0 {
			t.UserData32 = from.UserData32
		}
	}
	for _, a := range []*account{debit, credit} {
		if a.Flags.Has(journal.AccountHistory) {
			b := ledger.Balances{
				DebitsPending: money.U128{Hi: k.rng.Uint64(), Lo: 1}, DebitsPosted: money.From(uint64(at)),
				CreditsPending: money.From(uint64(a.number)), CreditsPosted: money.Max(),
			}
			k.fx.History = append(k.fx.History, ledger.HistoryRow{Account: a.number, Position: at, Balances: b})
			k.balances[a.number] = append(k.balances[a.number], balance{len(k.transfers), index.BalanceRow{Timestamp: t.Timestamp, Balances: b}})
		}
	}
	k.fx.Transfers = append(k.fx.Transfers, ledger.TransferEffect{Event: uint32(event), Debit: debit.number, Credit: credit.number})
	k.transfers = append(k.transfers, ledger.Transfer{Transfer: t, Position: at})
	k.sides = append(k.sides, [2]uint32{debit.number, credit.number})
}

// addTo adds the blocks from one on to an index.
func (w *world) addTo(x *index.Index, from uint64) error {
	for i := from - 1; i < uint64(len(w.blocks)); i++ {
		if err := x.Add(w.blocks[i], w.effects[i]); err != nil {
			return err
		}
	}
	return nil
}

// Transfer and BlockTransfers are the Records of queries.
func (w *world) Transfer(_ context.Context, p journal.Position) (ledger.Transfer, error) {
	i, ok := slices.BinarySearchFunc(w.transfers, p, func(t ledger.Transfer, p journal.Position) int {
		return int(int64(t.Position) - int64(p))
	})
	if !ok {
		return ledger.Transfer{}, fmt.Errorf("no transfer at %d/%d", p.Seq(), p.Index())
	}
	return w.transfers[i], nil
}

func (w *world) BlockTransfers(_ context.Context, seq uint64) ([]ledger.Transfer, error) {
	var found []ledger.Transfer
	for _, t := range w.transfers {
		if t.Position.Seq() == seq {
			found = append(found, t)
		}
	}
	return found, nil
}

// choose returns the transfers that match, in the order asked for, with no regard to the limit.
func (w *world) choose(reversed bool, match func(i int, t *ledger.Transfer) bool) []int {
	var found []int
	for i := range w.transfers {
		if match(i, &w.transfers[i]) {
			found = append(found, i)
		}
	}
	if reversed {
		slices.Reverse(found)
	}
	return found
}

func within(ts, from, to uint64) bool { return ts >= from && (to == 0 || ts <= to) }

func (w *world) accountTransfers(number uint32, f index.AccountFilter) []int {
	return w.choose(f.Reversed, func(i int, t *ledger.Transfer) bool {
		debits, credits := f.Debits, f.Credits
		if !debits && !credits {
			debits, credits = true, true
		}
		return (debits && w.sides[i][0] == number || credits && w.sides[i][1] == number) &&
			(f.UserData128.IsZero() || t.UserData128 == f.UserData128) &&
			(f.UserData64 == 0 || t.UserData64 == f.UserData64) &&
			(f.UserData32 == 0 || t.UserData32 == f.UserData32) &&
			(f.Code == 0 || t.Code == f.Code) && within(t.Timestamp, f.TimestampMin, f.TimestampMax)
	})
}

func (w *world) queryTransfers(f index.QueryFilter) []int {
	return w.choose(f.Reversed, func(_ int, t *ledger.Transfer) bool {
		return (f.UserData128.IsZero() || t.UserData128 == f.UserData128) &&
			(f.UserData64 == 0 || t.UserData64 == f.UserData64) &&
			(f.UserData32 == 0 || t.UserData32 == f.UserData32) &&
			(f.Code == 0 || t.Code == f.Code) && (f.Asset == 0 || t.Asset == f.Asset) &&
			within(t.Timestamp, f.TimestampMin, f.TimestampMax)
	})
}

func (w *world) accountNumbers(f index.QueryFilter) []uint32 {
	var found []uint32
	for _, a := range w.accounts {
		if (f.UserData128.IsZero() || a.UserData128 == f.UserData128) &&
			(f.UserData64 == 0 || a.UserData64 == f.UserData64) &&
			(f.UserData32 == 0 || a.UserData32 == f.UserData32) && a.number%2 == 1 {
			found = append(found, a.number)
		}
	}
	if f.Reversed {
		slices.Reverse(found)
	}
	return found[:min(len(found), f.Limit)]
}
