package export_test

import (
	"context"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/export"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/transit"
)

// cells answers as two cells do together: cell 1 has account 1, cell 2 has account 2.
type cells struct {
	t         *testing.T
	accounts  []*ledgerv1.Account
	transfers []*ledgerv1.Transfer
	pending   map[money.U128]journal.Transfer
}

var yuan = money.Asset{Code: "CNY", Scale: 2}

func newCells(t *testing.T) *cells {
	c := &cells{t: t, pending: map[money.U128]journal.Transfer{}}
	accounts := []journal.Account{{ID: money.From(1), Code: 2001}, {ID: money.From(2), Code: 2001}}
	accounts = append(append(accounts, transit.Accounts(yuan, 1, 2)...), transit.Accounts(yuan, 1, 1)...)
	for i, a := range accounts {
		c.accounts = append(c.accounts, &ledgerv1.Account{
			Id: a.ID.String(), Code: uint32(a.Code), UserData_64: a.UserData64, Asset: "CNY/2", Timestamp: uint64(1_700_000_000_000_000_000 + i),
		})
	}
	return c
}

// send records events as a cell does, and shows them as the API does.
func (c *cells) send(events ...transit.Event) {
	for _, e := range events {
		t := e.Transfer
		if t.Flags.Has(journal.TransferPost | journal.TransferVoid) {
			p := c.pending[t.PendingID]
			if t.Flags.Has(journal.TransferVoid) {
				t.Amount = p.Amount
			}
			t.Debit, t.Credit, t.Code = p.Debit, p.Credit, p.Code
		} else if t.Flags.Has(journal.TransferPending) {
			c.pending[t.ID] = t
		}
		about := feed.ShowTransit(&t, e.Attached)
		amount := t.Amount.String()
		m := &ledgerv1.Transfer{
			Id: t.ID.String(), DebitAccountId: t.Debit.String(), CreditAccountId: t.Credit.String(), Amount: &amount, PendingId: t.PendingID.String(),
			Asset: "CNY/2", Code: uint32(t.Code), Timestamp: uint64(1_700_000_001_000_000_000 + len(c.transfers)), Transit: about,
		}
		for bit := journal.TransferFlags(1); bit&journal.TransferFlagsKnown != 0; bit <<= 1 {
			if t.Flags.Has(bit) {
				m.Flags = append(m.Flags, ledgerv1.TransferFlag(bit))
			}
		}
		c.transfers = append(c.transfers, m)
	}
}

// QueryAccounts implements export.Ledger.
func (c *cells) QueryAccounts(_ context.Context, f *ledgerv1.QueryFilter, _ *ledgerv1.Position) (*ledgerv1.QueryAccountsResponse, error) {
	if f.GetReversed() {
		return &ledgerv1.QueryAccountsResponse{Accounts: c.accounts[len(c.accounts)-1:]}, nil
	}
	return &ledgerv1.QueryAccountsResponse{Accounts: c.accounts}, nil
}

// QueryTransfers implements export.Ledger.
func (c *cells) QueryTransfers(_ context.Context, f *ledgerv1.QueryFilter, _ *ledgerv1.Position) (*ledgerv1.QueryTransfersResponse, error) {
	if f.GetReversed() {
		return &ledgerv1.QueryTransfersResponse{Transfers: c.transfers[len(c.transfers)-1:], Position: &ledgerv1.Position{Cell: 1, Seq: 9}}, nil
	}
	return &ledgerv1.QueryTransfersResponse{Transfers: c.transfers}, nil
}

// AccountTransfers implements export.Ledger.
func (c *cells) AccountTransfers(context.Context, *ledgerv1.AccountFilter, *ledgerv1.Position) (*ledgerv1.GetAccountTransfersResponse, error) {
	return &ledgerv1.GetAccountTransfersResponse{}, nil
}

// Assets implements export.Ledger.
func (c *cells) Assets(context.Context) ([]*ledgerv1.Asset, error) {
	return []*ledgerv1.Asset{{Name: "CNY/2", Number: 1, Scale: 2}}, nil
}

// Policy implements export.Ledger.
func (c *cells) Policy(context.Context) (*ledgerv1.GetPolicyResponse, error) {
	return &ledgerv1.GetPolicyResponse{}, nil
}

// attempt is one to move an amount from account 1 to account 2.
func attempt(transfer, reserve, amount uint64, flags journal.TransferFlags) *transit.Attempt {
	return &transit.Attempt{
		Asked: journal.Transfer{ID: money.From(transfer), Debit: money.From(1), Credit: money.From(2), Amount: money.From(amount), Asset: 1, Code: 7, Flags: flags},
		Asset: yuan, Home: 1, Peer: 2, Reserve: money.From(reserve),
	}
}

// crossings are transfers across cells at every stage.
func crossings(t *testing.T) *cells {
	c := newCells(t)
	moved := attempt(50, 60, 700, 0)
	c.send(moved.Reserved(), moved.Hold(1))
	c.send(moved.Commit()...)
	c.send(moved.Confirm(money.From(700), false), moved.Settle(money.From(700)))
	refused := attempt(51, 61, 900, 0)
	c.send(refused.Reserved(), refused.Hold(1))
	c.send(refused.Abort(54)...)
	c.send(refused.Confirm(money.U128{}, false), refused.Settle(money.U128{}))
	parts := attempt(52, 62, 500, journal.TransferPending)
	c.send(parts.Reserved(), parts.Hold(1))
	c.send(parts.Commit()...)
	about, _ := journal.TransitOf(parts.Transfer().Attached)
	c.send(transit.End(&journal.Transfer{ID: money.From(53), PendingID: money.From(52), Amount: money.From(40), Flags: journal.TransferPost}, journal.Details{}, about, yuan))
	c.send(parts.Confirm(money.From(40), false), parts.Settle(money.From(40)))
	open := attempt(54, 64, 30, 0)
	c.send(open.Reserved(), open.Hold(1))
	c.send(open.Commit()...)
	return c
}

// TestAcrossCells: what is in transit stands on the cells' own accounts, which are there once, and the books balance.
func TestAcrossCells(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	if _, err := export.Run(t.Context(), crossings(t), &table, export.Options{What: export.Balances, Format: export.CSV}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[money.U128]string{ // debits, credits: posted, posted, pending, pending
		money.From(1):             "770 0 0 0",
		money.From(2):             "0 740 0 30",
		transit.InTransit(yuan):   "740 770 30 0",
		transit.Clearing(yuan, 2): "0 740 0 30",
		transit.Clearing(yuan, 1): "740 0 30 0",
	} {
		if n := strings.Count(table.String(), "\n"+id.String()+","); n != 1 {
			t.Errorf("account %v has %d rows", id, n)
		}
		for line := range strings.SplitSeq(table.String(), "\r\n") {
			if f := strings.Split(line, ","); f[0] == id.String() {
				if got := strings.Join([]string{f[3], f[5], f[7], f[9]}, " "); got != want {
					t.Errorf("account %v has %s, want %s", id, got, want)
				}
			}
		}
	}
}

// split is a reservation in one cell, of which one account moves to the other before it is posted in part.
func split(t *testing.T) *cells {
	c := newCells(t)
	whole := journal.Transfer{ID: money.From(70), Debit: money.From(1), Credit: money.From(2), Amount: money.From(50), Asset: 1, Code: 7, Flags: journal.TransferPending}
	c.send(transit.Event{Transfer: whole})
	s := transit.Split{
		Reservation: transit.Reservation{Record: whole, Timestamp: 1, Amount: whole.Amount, Remaining: whole.Amount},
		Asset:       yuan, Move: money.From(9), Giver: 1, Taker: 2,
	}
	var about journal.Transit
	for _, e := range s.Events() { // they are carried, and so not listed
		c.pending[e.Transfer.ID] = e.Transfer
		if x, _ := journal.TransitOf(e.Attached); x.Step == journal.TransitTransfer {
			about = x
		}
	}
	a := &transit.Attempt{Asked: whole, Asset: yuan, Home: 1, Peer: 2, Reserve: transit.SplitReserve(money.From(9), whole.ID)}
	c.send(transit.End(&journal.Transfer{ID: money.From(71), PendingID: whole.ID, Amount: money.From(40), Flags: journal.TransferPost}, journal.Details{}, about, yuan))
	c.send(a.Confirm(money.From(40), false), a.Settle(money.From(40)))
	return c
}

// TestSplitAcrossCells: a reservation that was split by a move counts as the whole that it was listed as.
func TestSplitAcrossCells(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	if _, err := export.Run(t.Context(), split(t), &table, export.Options{What: export.Balances, Format: export.CSV}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[money.U128]string{
		money.From(1): "40 0 0 0", money.From(2): "0 40 0 0", transit.InTransit(yuan): "40 40 0 0", transit.Clearing(yuan, 2): "0 40 0 0", transit.Clearing(yuan, 1): "40 0 0 0",
	} {
		for line := range strings.SplitSeq(table.String(), "\r\n") {
			if f := strings.Split(line, ","); f[0] == id.String() {
				if got := strings.Join([]string{f[3], f[5], f[7], f[9]}, " "); got != want {
					t.Errorf("account %v has %s, want %s", id, got, want)
				}
			}
		}
	}
}

// TestToolsAgreeAcrossCells: both tools take the journal with its assertions.
func TestToolsAgreeAcrossCells(t *testing.T) {
	t.Parallel()
	for _, o := range []struct {
		format                 export.Format
		command, debianPackage string
		args                   []string
	}{{export.HLedger, "hledger", "hledger", []string{"-f"}}, {export.Beancount, "bean-check", "beancount", nil}} {
		t.Run(string(o.format), func(t *testing.T) {
			need(t, o.command, o.debianPackage)
			path, s := journalOf(t, crossings(t), export.Options{Format: o.format})
			args := append(o.args, path)
			if o.format == export.HLedger {
				args = append(args, "check", "--strict")
			}
			if _, err := tool(t, nil, o.command, args...); err != nil {
				t.Error(err)
			}
			if s.Rows == 0 {
				t.Error("nothing was written")
			}
			wrong(t, path, "7.40 CNY", "7.41 CNY", func(path string) error {
				_, err := tool(t, nil, o.command, append(append([]string{}, args[:len(o.args)]...), append([]string{path}, args[len(o.args)+1:]...)...)...)
				return err
			})
		})
	}
}

// TestNamesOfOwnAccounts: what is in transit, and with whom, is told by the name.
func TestNamesOfOwnAccounts(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if _, err := export.Run(t.Context(), crossings(t), &b, export.Options{What: export.Journal, Format: export.HLedger}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Assets:In-transit:CNY-2:Id-" + transit.InTransit(yuan).String(), "Assets:Clearing:CNY-2:Cell-2:Id-" + transit.Clearing(yuan, 2).String(),
		"Assets:Clearing:CNY-2:Cell-1:Id-", "transit_transfer_id:50", "transit_step:confirm",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the journal", want)
		}
	}
}
