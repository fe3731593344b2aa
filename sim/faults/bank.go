package faults

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// The codes of transfers, as the flows of the demo bank know them.
const (
	codeOpening    = 1
	codeDeposit    = 2
	codeCard       = 3
	codeRefund     = 4
	codePayment    = 5
	codeSalary     = 6
	codeInstalment = 7
	codeLending    = 8
	codePromotion  = 9
	codeExchange   = 10
	codePayout     = 11
	codeFee        = 12
)

// The legs of a story, as transfers say them in user_data_32.
const (
	legMain     = 1
	legFee      = 2
	legInterest = 3
)

// The flows of the demo bank.
const (
	flowCard, flowDeposit, flowExchange, flowFee, flowInstalment, flowLending = "card-payment", "deposit", "exchange", "fee", "instalment", "lending"
	flowPayment, flowPromotion, flowRefund, flowSalary, flowPayout            = "payment", "promotion", "refund", "salary", "settlement"
)

// The sources: orders of all kinds, the card scheme's receipts, the lines of the bank's statement.
const (
	Orders     = "orders"
	CardScheme = "card-scheme"
	Bank       = "bank"
)

// Sources are the witnesses of a stream.
func Sources() []string { return []string{Orders, CardScheme, Bank} }

// The assets: their numbers in the ledger, and their names.
const (
	cny, usd         = 1, 2
	cnyName, usdName = "CNY/2", "USD/2"
)

// The accounts. Customers and merchants are numbered from their base on; the income accounts have the numbers that the
// flows name.
const (
	customerBase = 8800_100_000_000_000
	dollarBase   = 8800_120_000_000_000
	merchantBase = 8800_200_000_000_000
	clearing     = 8800_110_000_000_001 // at the bank where statements come from
	funding      = 8800_110_000_000_002
	dollarsOut   = 8800_110_000_000_003
	budget       = 8800_310_000_000_001
	loans        = 8800_131_000_000_001
	feeIncome    = 8800_301_000_000_001
	interestIn   = 8800_303_000_000_001
	exchangeCNY  = 8800_421_000_000_001
	exchangeUSD  = 8800_421_000_000_002

	// Accounts that only injectors move.
	poor     = 8800_900_000_000_001 // may not be overdrawn, and has 1.00
	stranger = 8800_900_000_000_002
	bounded  = 8800_900_000_000_003 // may move 500.00 in an hour
)

// opening is what everybody begins with, minor units.
const opening = 1_000_000_000_000

// Size says how large a bank is.
type Size struct{ Customers, Merchants int }

func (s Size) customer(r *rand.Rand) uint64 { return customerBase + uint64(r.IntN(s.Customers)) } //nolint:gosec // G115: ≥ 0
func (s Size) merchant(r *rand.Rand) uint64 { return merchantBase + uint64(r.IntN(s.Merchants)) } //nolint:gosec // G115: ≥ 0

// ID makes an id of a number.
func ID(n uint64) (id watch.ID) {
	binary.LittleEndian.PutUint64(id[:], n)
	return id
}

// idOf and numberOf turn the ledger's numbers into the watch's ids and back. They are the same bytes.
func idOf(n money.U128) (id watch.ID) {
	binary.LittleEndian.PutUint64(id[:], n.Lo)
	binary.LittleEndian.PutUint64(id[8:], n.Hi)
	return id
}

func numberOf(id watch.ID) money.U128 { return money.LE(id[:]) }

// hashed makes an id of a text and a number.
func hashed(what string, n uint64) money.U128 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(what), n))
	return money.LE(sum[:])
}

func amountOf(n uint64) watch.Amount { return watch.Amount{Lo: n} }

// SetUp are the requests that make the bank: assets, accounts, openings.
func (s Size) SetUp(at uint64) []Move {
	assets := journal.Bytes([]journal.Asset{ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2}), ledger.AssetRecord(money.Asset{Code: "USD", Scale: 2})})
	var accounts []journal.Account
	var fill []journal.Transfer
	add := func(id uint64, asset uint32, code uint16, flags journal.AccountFlags, from, amount uint64) {
		accounts = append(accounts, journal.Account{ID: money.From(id), Asset: asset, Code: code, Flags: flags})
		if amount != 0 {
			fill = append(fill, journal.Transfer{
				ID: hashed("opening", id), Debit: money.From(from), Credit: money.From(id), Amount: money.From(amount), Asset: asset, Code: codeOpening,
			})
		}
	}
	for _, id := range []uint64{clearing, funding, loans, feeIncome, interestIn, exchangeCNY} {
		add(id, cny, 110, 0, 0, 0)
	}
	add(dollarsOut, usd, 110, 0, 0, 0)
	add(exchangeUSD, usd, 110, 0, dollarsOut, opening*1_000)
	limited := journal.AccountDebitsMustNotExceedCredits
	add(budget, cny, 310, limited, funding, opening*1_000)
	add(poor, cny, 100, limited, funding, 100)
	add(stranger, cny, 100, limited, funding, opening)
	add(bounded, cny, 100, limited, funding, opening)
	for i := range uint64(s.Customers) { //nolint:gosec // G115: ≥ 0
		add(customerBase+i, cny, 100, limited, funding, opening)
		add(dollarBase+i, usd, 120, limited, dollarsOut, opening)
	}
	for i := range uint64(s.Merchants) { //nolint:gosec // G115: ≥ 0
		add(merchantBase+i, cny, 200, limited, funding, opening)
	}
	moves := []Move{{At: at, Kind: journal.KindAssets, Events: assets}}
	moves = append(moves, inParts(at, journal.KindAccounts, accounts)...)
	return append(moves, inParts(at, journal.KindTransfers, fill)...)
}

const inOnePart = 4_000

func inParts[T journal.Record](at uint64, kind journal.Kind, records []T) (moves []Move) {
	for len(records) > 0 {
		n := min(len(records), inOnePart)
		moves = append(moves, Move{At: at, Kind: kind, Events: journal.Bytes(records[:n])})
		records = records[n:]
	}
	return moves
}

// Overpaid is fault number i for a live ledger: an order of now, and a transfer of 0.01 more between two customers that
// no other number has. The bank needs two customers for each.
func Overpaid(i, now uint64) (watch.Observation, journal.Transfer) {
	key := hashed("overpaid", i)
	from, to := customerBase+2*i, customerBase+2*i+1
	order := watch.Observation{
		Kind: watch.Instruction, Time: now, Flow: flowPayment, Key: idOf(key), ID: idOf(key), Amount: amountOf(1_000), Asset: cnyName, Debit: ID(from), Credit: ID(to),
	}
	return order, journal.Transfer{
		ID: hashed("overpaid transfer", i), Debit: money.From(from), Credit: money.From(to), Amount: money.From(1_001), UserData128: key, UserData32: legMain,
		Asset: cny, Code: codePayment,
	}
}
