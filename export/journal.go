package export

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// journalWriter writes a plain-text journal: what is declared, then each transfer that posted money as a transaction, then
// every account's balance as an assertion that the tool checks. Debits are positive. What only reserves, or gives back,
// moves no money and is a comment.
type journalWriter struct {
	w       *bufio.Writer // keeps the first error until Flush
	run     *run
	dialect dialect
	names   *Names
	units   []unit
	numbers map[string]uint32 // asset → place in units
	books   *books
	holders []holder      // by place
	largest money.U128    // of all amounts and sums, minor units
	offset  time.Duration // of the zone of days, ahead of UTC
	last    string        // day of the assertions: no transaction is of a later one
}

// unit is an asset under the name that a tool accepts.
type unit struct {
	asset money.Asset
	name  string
}

// amount with its commodity.
func (u *unit) amount(v signed) string { return v.decimal(u.asset) + " " + u.name }

// holder is what the journal needs of an account.
type holder struct {
	id   money.U128
	code uint32
	unit uint32
	// address, "" for none
	address string
	own     bool // of the cells' own: address is what it goes by
}

// entry is a transaction.
type entry struct {
	time              uint64
	day               string // in the books
	id, debit, credit string // debit and credit are names
	unit              *unit
	amount            money.U128
	tags              []tag
}

type tag struct{ key, value string }

// tagsOf are the fields that go with a transaction. To add one is one line.
func tagsOf(t *ledgerv1.Transfer) []tag {
	all := []tag{
		{"time", stamp(t.GetTimestamp())},
		{"code", strconv.Itoa(int(t.GetCode()))},
		{"pending_id", t.GetPendingId()},
		{"user_data_128", t.GetUserData_128()},
		{"user_data_64", strconv.FormatUint(t.GetUserData_64(), 10)},
		{"user_data_32", strconv.FormatUint(uint64(t.GetUserData_32()), 10)},
		{"transit_transfer_id", t.GetTransit().GetTransferId()},
		{"transit_step", stepName(t)},
	}
	var tags []tag
	for _, x := range all {
		if x.value != "" && x.value != "0" {
			tags = append(tags, x)
		}
	}
	return append(tags, metadataTags(t.GetMetadata())...)
}

// dialect is the language of one tool.
type dialect interface {
	head(j *journalWriter)
	open(j *journalWriter, name string, u *unit, a *ledgerv1.Account)
	transaction(j *journalWriter, e *entry)
	balance(j *journalWriter, name string, u *unit, net signed)
	tail(j *journalWriter)
}

func (r *run) journal(ctx context.Context, w io.Writer) error {
	j := &journalWriter{w: bufio.NewWriterSize(w, writeBuffer), run: r, dialect: hledger{}, names: r.options.Names, numbers: map[string]uint32{}, books: newBooks()}
	if r.options.Format == Beancount {
		j.dialect = beancount{}
	}
	if j.names == nil {
		j.names = DefaultNames()
	}
	if err := j.zone(ctx); err != nil {
		return err
	}
	if err := j.declare(ctx); err != nil {
		return err
	}
	if err := r.fold(ctx, j.books, j.movement); err != nil {
		return err
	}
	j.line("")
	for place, h := range j.holders {
		j.dialect.balance(j, j.name(&h), &j.units[h.unit], j.books.accounts[place].net())
	}
	r.summary.Digits = len(j.largest.String())
	j.dialect.tail(j)
	return j.w.Flush()
}

// zone finds out where days begin.
func (j *journalWriter) zone(ctx context.Context) error {
	minutes := j.run.options.UTCOffset
	if minutes == nil {
		policy, err := j.run.ledger.Policy(ctx)
		if err != nil {
			return err
		}
		own := int(policy.GetPolicy().GetUtcOffsetMinutes())
		minutes = &own
	}
	j.offset = time.Duration(*minutes) * time.Minute
	j.last = j.day(j.run.moment.Time)
	return nil
}

// declare names commodities and opens accounts.
func (j *journalWriter) declare(ctx context.Context) error {
	list, err := j.run.ledger.Assets(ctx)
	if err != nil {
		return err
	}
	names := commodities(list)
	for _, a := range list {
		asset, err := j.run.asset(a.GetName())
		if err != nil {
			return err
		}
		j.numbers[a.GetName()] = uint32(len(j.units)) //nolint:gosec // the catalogue's size
		j.units = append(j.units, unit{asset, names[a.GetName()]})
	}
	j.dialect.head(j)
	return j.run.eachAccount(ctx, func(id money.U128, a *ledgerv1.Account) error {
		number, ok := j.numbers[a.GetAsset()]
		if !ok {
			return fmt.Errorf("%w: account %s is in %s, which is not in the catalogue", errContradiction, a.GetId(), a.GetAsset())
		}
		h := holder{id: id, code: a.GetCode(), unit: number, address: a.GetAddress()}
		if name := ownName(id, j.units[number].asset, a); name != "" {
			if h.address, h.own = name, true; j.books.has(id) {
				return nil // each cell has one of that id
			}
		}
		if place := j.books.place(id); int(place) != len(j.holders) {
			return fmt.Errorf("%w: account %s is listed twice", errContradiction, a.GetId())
		}
		j.holders = append(j.holders, h)
		j.dialect.open(j, j.name(&h), &j.units[number], a)
		j.run.summary.Rows++
		return nil
	})
}

func (j *journalWriter) name(h *holder) string {
	if h.own {
		return "Assets" + addressParts(h.address) + ":" + idPart + h.id.String()
	}
	return j.names.account(h.code, h.address, h.id.String())
}

// movement writes one transfer.
func (j *journalWriter) movement(m *movement) error {
	if len(j.books.accounts) != len(j.holders) {
		return fmt.Errorf("%w: an account of it was not listed", errContradiction)
	}
	debit, credit := &j.holders[m.debit], &j.holders[m.credit]
	if debit.unit != credit.unit {
		return fmt.Errorf("%w: its accounts are of two assets", errContradiction)
	}
	e := &entry{
		time: m.GetTimestamp(), day: m.GetBookingDate(), id: m.GetId(), debit: j.name(debit), credit: j.name(credit), unit: &j.units[debit.unit],
		amount: m.amount, tags: tagsOf(m.Transfer),
	}
	if e.day == "" {
		e.day = j.day(e.time)
	}
	if _, err := time.Parse(time.DateOnly, e.day); err != nil {
		return fmt.Errorf("%w: booking date: %w", errContradiction, err)
	}
	if !m.posted {
		j.comment(m, e)
		return nil
	}
	j.last = max(j.last, e.day)
	for _, v := range []money.U128{m.amount, j.books.accounts[m.debit].net().abs, j.books.accounts[m.credit].net().abs} {
		if j.largest.Less(v) {
			j.largest = v
		}
	}
	j.run.summary.Rows++
	j.dialect.transaction(j, e)
	return nil
}

// comment writes what moved no money. Both tools skip lines that begin with a semicolon.
func (j *journalWriter) comment(m *movement, e *entry) {
	if pending := m.GetPendingId(); pending != "" && pending != "0" {
		j.line("; %s %s gives back what was left of %s", stamp(e.time), e.id, pending)
		return
	}
	until := ""
	if t := m.GetTimeout(); t != 0 {
		until = " until " + stamp(e.time+uint64(t)*1e9)
	}
	j.line("; %s %s reserves %s of %s for %s%s", stamp(e.time), e.id, e.unit.amount(signed{abs: e.amount}), e.debit, e.credit, until)
}

// line writes a line; an error shows in Flush.
func (j *journalWriter) line(format string, args ...any) {
	_, _ = fmt.Fprintf(j.w, format+"\n", args...)
}

// day of a timestamp, in the journal's zone.
func (j *journalWriter) day(ns uint64) string { return at(ns).Add(j.offset).Format(time.DateOnly) }

// state says what a journal shows, in its first line.
func (j *journalWriter) state() string {
	p := j.run.moment.Position
	return fmt.Sprintf("the ledger's cell %d at block %d, with all transfers through %s", p.GetCell(), p.GetSeq(), stamp(j.run.moment.LastTransfer))
}
