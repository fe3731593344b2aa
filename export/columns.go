package export

import (
	"strings"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// kind of a column: how its cells are written.
type kind int

const (
	text    kind = iota // as it is
	number              // cell.number
	instant             // cell.number is ns since 1970 UTC
	minor               // cell.amount in minor units: text, because no number type of the formats holds 128 bits
	major               // cell.amount as a decimal of cell.asset
)

// cell is one value of a row.
type cell struct {
	kind   kind
	text   string
	number uint64
	amount signed
	asset  money.Asset
}

// heading is a column without its values.
type heading struct {
	name string
	kind kind
}

// column is one column of the table of R. To add one is one line in the lists below.
type column[R any] struct {
	heading
	value func(*R) cell
}

func headOf[R any](columns []column[R]) []heading {
	var head []heading
	for _, c := range columns {
		head = append(head, c.heading)
	}
	return head
}

// cellsOf fills cells with a row, and returns them.
func cellsOf[R any](cells []cell, columns []column[R], row *R) []cell {
	cells = cells[:0]
	for i := range columns {
		cells = append(cells, columns[i].value(row))
		cells[i].kind = columns[i].kind
	}
	return cells
}

func textOf[R any](name string, value func(*R) string) column[R] {
	return column[R]{heading{name, text}, func(r *R) cell { return cell{text: value(r)} }}
}

func numberOf[R any](name string, value func(*R) uint64) column[R] {
	return column[R]{heading{name, number}, func(r *R) cell { return cell{number: value(r)} }}
}

func instantOf[R any](name string, value func(*R) uint64) column[R] {
	return column[R]{heading{name, instant}, func(r *R) cell { return cell{number: value(r)} }}
}

// amountOf makes two columns: minor units, and the same as a decimal.
func amountOf[R any](name string, value func(*R) (signed, money.Asset)) []column[R] {
	get := func(r *R) cell {
		amount, asset := value(r)
		return cell{amount: amount, asset: asset}
	}
	return []column[R]{{heading{name + "_minor", minor}, get}, {heading{name, major}, get}}
}

// join flattens lists of columns.
func join[R any](lists ...[]column[R]) []column[R] {
	var all []column[R]
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// transferRow is a row of the table of transfers.
type transferRow struct {
	*ledgerv1.Transfer
	asset  money.Asset
	amount money.U128 // minor units
	// metadata in JSON; "" for none
	metadata string
}

func transferColumns() []column[transferRow] {
	type row = transferRow
	return join(
		[]column[row]{
			textOf("id", func(r *row) string { return r.GetId() }),
			textOf("debit_account_id", func(r *row) string { return r.GetDebitAccountId() }),
			textOf("credit_account_id", func(r *row) string { return r.GetCreditAccountId() }),
			textOf("asset", func(r *row) string { return r.GetAsset() }),
		},
		amountOf("amount", func(r *row) (signed, money.Asset) { return signed{abs: r.amount}, r.asset }),
		[]column[row]{
			numberOf("code", func(r *row) uint64 { return uint64(r.GetCode()) }),
			textOf("flags", func(r *row) string { return flagNames("TRANSFER_FLAG_", r.GetFlags()) }),
			textOf("pending_id", func(r *row) string { return zero(r.GetPendingId()) }),
			numberOf("timeout", func(r *row) uint64 { return uint64(r.GetTimeout()) }),
			textOf("user_data_128", func(r *row) string { return zero(r.GetUserData_128()) }),
			numberOf("user_data_64", func(r *row) uint64 { return r.GetUserData_64() }),
			numberOf("user_data_32", func(r *row) uint64 { return uint64(r.GetUserData_32()) }),
			numberOf("timestamp", func(r *row) uint64 { return r.GetTimestamp() }),
			instantOf("time", func(r *row) uint64 { return r.GetTimestamp() }),
			textOf("booking_date", func(r *row) string { return r.GetBookingDate() }),
			textOf("metadata", func(r *row) string { return r.metadata }),
			textOf("transit_transfer_id", func(r *row) string { return r.GetTransit().GetTransferId() }),
			textOf("transit_step", func(r *row) string { return stepName(r.Transfer) }),
			textOf("transit_account_id", func(r *row) string { return r.GetTransit().GetAccountId() }),
		},
	)
}

// accountRow is a row of the tables of accounts and balances.
type accountRow struct {
	*ledgerv1.Account
	asset money.Asset
	totals
	metadata string // in JSON; "" for none
}

func accountColumns() []column[accountRow] {
	type row = accountRow
	return join(
		[]column[row]{
			textOf("id", func(r *row) string { return r.GetId() }),
			textOf("asset", func(r *row) string { return r.GetAsset() }),
			numberOf("code", func(r *row) uint64 { return uint64(r.GetCode()) }),
			textOf("flags", func(r *row) string { return flagNames("ACCOUNT_FLAG_", r.GetFlags()) }),
		},
		totalColumns(),
		[]column[row]{
			textOf("user_data_128", func(r *row) string { return zero(r.GetUserData_128()) }),
			numberOf("user_data_64", func(r *row) uint64 { return r.GetUserData_64() }),
			numberOf("user_data_32", func(r *row) uint64 { return uint64(r.GetUserData_32()) }),
			numberOf("timestamp", func(r *row) uint64 { return r.GetTimestamp() }),
			instantOf("opened", func(r *row) uint64 { return r.GetTimestamp() }),
			textOf("address", func(r *row) string { return r.GetAddress() }),
			textOf("metadata", func(r *row) string { return r.metadata }),
		},
	)
}

func balanceColumns() []column[accountRow] {
	type row = accountRow
	return join(
		[]column[row]{
			textOf("id", func(r *row) string { return r.GetId() }),
			textOf("asset", func(r *row) string { return r.GetAsset() }),
			numberOf("code", func(r *row) uint64 { return uint64(r.GetCode()) }),
		},
		totalColumns(),
		amountOf("balance", func(r *row) (signed, money.Asset) { return r.net(), r.asset }),
		[]column[row]{textOf("address", func(r *row) string { return r.GetAddress() })},
	)
}

func totalColumns() []column[accountRow] {
	type row = accountRow
	return join(
		amountOf("debits_posted", func(r *row) (signed, money.Asset) { return signed{abs: r.debitsPosted}, r.asset }),
		amountOf("credits_posted", func(r *row) (signed, money.Asset) { return signed{abs: r.creditsPosted}, r.asset }),
		amountOf("debits_pending", func(r *row) (signed, money.Asset) { return signed{abs: r.debitsPending}, r.asset }),
		amountOf("credits_pending", func(r *row) (signed, money.Asset) { return signed{abs: r.creditsPending}, r.asset }),
	)
}

// zero writes an id that may be left out.
func zero(id string) string {
	if id == "" {
		return "0"
	}
	return id
}

// flagNames writes flags in small letters with a space between: "pending linked".
func flagNames[F interface{ String() string }](prefix string, flags []F) string {
	var names []string
	for _, f := range flags {
		names = append(names, strings.ToLower(strings.TrimPrefix(f.String(), prefix)))
	}
	return strings.Join(names, " ")
}
