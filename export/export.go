// Package export writes what a ledger holds into files: accounts, transfers and balances as tables (CSV, JSON lines,
// Parquet), and the whole as a plain-text journal that hledger or beancount reads and checks. It works through the
// public API, with the rights of its caller's token. It never rounds an amount, and never shows two moments in one
// file: see [Moment].
//
// Start reading at [Run], then fold in books.go.
package export

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Ledger is where the rows come from. client.Client is one.
type Ledger interface {
	QueryAccounts(ctx context.Context, f *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryAccountsResponse, error)
	QueryTransfers(ctx context.Context, f *ledgerv1.QueryFilter, since *ledgerv1.Position) (*ledgerv1.QueryTransfersResponse, error)
	AccountTransfers(ctx context.Context, f *ledgerv1.AccountFilter, since *ledgerv1.Position) (*ledgerv1.GetAccountTransfersResponse, error)
	Assets(ctx context.Context) ([]*ledgerv1.Asset, error)
	Policy(ctx context.Context) (*ledgerv1.GetPolicyResponse, error)
}

// What is exported.
type What string

// What there is to export.
const (
	Accounts  What = "accounts"  // every field of the accounts, with their balances
	Transfers What = "transfers" // every field of the transfers, as recorded
	Balances  What = "balances"  // of the accounts: totals of both sides, and the difference
	Journal   What = "journal"   // everything, for a plain-text accounting tool
)

// Format of a file.
type Format string

// The formats: the first three for tables, the others for the journal.
const (
	CSV       Format = "csv"     // RFC 4180 with a header line
	JSONL     Format = "jsonl"   // one JSON object a line: accounts and transfers as the API has them
	Parquet   Format = "parquet" // zstd
	HLedger   Format = "hledger"
	Beancount Format = "beancount"
)

// ErrOptions is an export that makes no sense as asked for; nothing was read.
var ErrOptions = errors.New("export")

const (
	maxAccounts = 8190    // bounds [Options.Accounts]
	maxOffset   = 18 * 60 // bounds [Options.UTCOffset]: what the ledger accepts
)

// Options of an export.
type Options struct {
	What   What
	Format Format
	// Since and Until are nanoseconds since 1970 UTC, inclusive; zero is no bound. Since is for transfers only.
	// With Until, balances are those of then.
	Since, Until uint64
	// Now, nanoseconds since 1970 UTC, decides which reservations have expired.
	Now uint64
	// Accounts, up to 8,190: those of accounts and balances, and of transfers that touch one of them. None means all.
	Accounts []money.U128
	// Asset, CODE/SCALE, and Code (of the account, or of the transfer) choose rows; "" and 0 mean all.
	Asset string
	Code  uint32
	// UTCOffset is the zone of a journal's days, minutes ahead of UTC, -1,080 to 1,080; nil means the ledger's own, as it
	// is now. Transfers with a booking date are of that day in any zone.
	UTCOffset *int
	// Names gives a journal its account names; nil means [DefaultNames].
	Names *Names
	// Progress is told how many transfers and accounts are done; may be nil.
	Progress func(rows int)
}

// Summary is what an export wrote.
type Summary struct {
	Rows    int    `json:"rows"`    // of a table; accounts and transactions of a journal
	Cell    uint64 `json:"cell"`    // of the position
	Seq     uint64 `json:"seq"`     // block of the ledger's journal that was reached when the export began
	Through uint64 `json:"through"` // transfers up to this timestamp count, ns since 1970 UTC; zero if there are none
	// Digits of the longest amount or sum in a journal. Beyond 28, beancount has to be told: see docs/guides/export.md.
	Digits int `json:"digits,omitempty"`
}

// check refuses what makes no sense.
func (o *Options) check() error {
	table := o.Format == CSV || o.Format == JSONL || o.Format == Parquet
	text := o.Format == HLedger || o.Format == Beancount
	fault := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrOptions, fmt.Errorf(format, args...))
	}
	switch {
	case o.What == Journal && !text:
		return fault("a journal is written as hledger or beancount, not %q", o.Format)
	case o.What != Journal && !table:
		return fault("%s are written as csv, jsonl or parquet, not %q", o.What, o.Format)
	case o.What == Journal && (len(o.Accounts) > 0 || o.Code != 0):
		return fault("a journal of some accounts or codes would not balance: it takes an asset and an end only")
	case o.What != Transfers && o.Since != 0:
		return fault("a beginning is for transfers: balances count from the first transfer")
	case o.UTCOffset != nil && o.What != Journal:
		return fault("only a journal has days: tables have timestamps")
	case o.UTCOffset != nil && (*o.UTCOffset < -maxOffset || *o.UTCOffset > maxOffset):
		return fault("%d minutes ahead of UTC are not between -%d and %d", *o.UTCOffset, maxOffset, maxOffset)
	case o.Until != 0 && o.Until < o.Since:
		return fault("it ends before it begins")
	case len(o.Accounts) > maxAccounts:
		return fault("%d accounts are more than %d", len(o.Accounts), maxAccounts)
	}
	if o.Asset != "" {
		if _, err := money.ParseAsset(o.Asset); err != nil {
			return fault("%w", err)
		}
	}
	return nil
}

// Run writes one export to w. Memory is bounded by a page of rows, and for everything but transfers by the accounts
// (about 150 bytes each) and the open reservations. On an error, what was written so far is not to be used.
func Run(ctx context.Context, ledger Ledger, w io.Writer, o Options) (Summary, error) {
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	m, err := take(ctx, ledger, &o)
	if err != nil {
		return Summary{}, err
	}
	r := &run{ledger: ledger, options: &o, moment: m, assets: map[string]money.Asset{}}
	switch o.What {
	case Transfers:
		err = r.transfers(ctx, w)
	case Journal:
		err = r.journal(ctx, w)
	default:
		err = r.accounts(ctx, w)
	}
	if err != nil {
		return Summary{}, fmt.Errorf("export %s: %w", o.What, err)
	}
	s := r.summary
	s.Cell, s.Seq, s.Through = m.Position.GetCell(), m.Position.GetSeq(), m.LastTransfer
	return s, nil
}

// run is an export on its way.
type run struct {
	ledger  Ledger
	options *Options
	moment  Moment
	assets  map[string]money.Asset // parsed once
	summary Summary
	done    int // for Progress
}

// asset reads the name of an asset.
func (r *run) asset(name string) (money.Asset, error) {
	a, ok := r.assets[name]
	if ok {
		return a, nil
	}
	a, err := money.ParseAsset(name)
	if err != nil {
		return a, fmt.Errorf("what the ledger answered: %w", err)
	}
	r.assets[name] = a
	return a, nil
}

// transfers writes the table of transfers.
func (r *run) transfers(ctx context.Context, w io.Writer) error {
	columns := transferColumns()
	out := newTable(w, r.options.Format, headOf(columns))
	var cells []cell
	err := r.eachTransfer(ctx, func(t *ledgerv1.Transfer) error {
		asset, err := r.asset(t.GetAsset())
		if err != nil {
			return err
		}
		amount, err := money.Parse(t.GetAmount())
		if err != nil {
			return fmt.Errorf("amount: %w", err)
		}
		r.summary.Rows++
		metadata, err := metadataJSON(t.GetMetadata())
		if err != nil {
			return err
		}
		cells = cellsOf(cells, columns, &transferRow{t, asset, amount, metadata})
		return out.write(cells, t)
	})
	return errors.Join(err, out.close(err == nil))
}

// accounts writes the tables of accounts and of balances.
func (r *run) accounts(ctx context.Context, w io.Writer) error {
	b := newBooks()
	if err := r.fold(ctx, b, nil); err != nil {
		return err
	}
	columns := accountColumns()
	if r.options.What == Balances {
		columns = balanceColumns()
	}
	out := newTable(w, r.options.Format, headOf(columns))
	chosen := r.chosen()
	own := map[money.U128]bool{}
	var cells []cell
	err := r.eachAccount(ctx, func(id money.U128, a *ledgerv1.Account) error {
		if chosen != nil && !chosen[id] || own[id] {
			return nil
		}
		asset, err := r.asset(a.GetAsset())
		if err != nil {
			return err
		}
		if ownName(id, asset, a) != "" {
			own[id] = true // each cell has one of that id: the row has their sum
		}
		totals := b.totals(id)
		totals.into(a)
		r.summary.Rows++
		metadata, err := metadataJSON(a.GetMetadata())
		if err != nil {
			return err
		}
		cells = cellsOf(cells, columns, &accountRow{a, asset, totals, metadata})
		if r.options.What == Balances {
			return out.write(cells, nil)
		}
		return out.write(cells, a)
	})
	return errors.Join(err, out.close(err == nil))
}

func (r *run) chosen() map[money.U128]bool {
	if len(r.options.Accounts) == 0 {
		return nil
	}
	chosen := make(map[money.U128]bool, len(r.options.Accounts))
	for _, id := range r.options.Accounts {
		chosen[id] = true
	}
	return chosen
}

func (r *run) progress(rows int) {
	if r.done += rows; r.options.Progress != nil {
		r.options.Progress(r.done)
	}
}
