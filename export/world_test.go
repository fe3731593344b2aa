package export_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// serve starts a ledger in this process and returns a client of it.
func serve(t *testing.T) *client.Client {
	t.Helper()
	config := node.DefaultConfig()
	config.Data, config.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	n, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	token, err := os.ReadFile(filepath.Join(config.Data, auth.AdminFile))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(n.Address(), strings.TrimSpace(string(token)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// world is a ledger with a history.
type world struct {
	t      *testing.T
	c      *client.Client
	random *rand.Rand
	next   uint64 // id
}

const (
	pending   = ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING
	post      = ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER
	voids     = ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER
	remainder = ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER
)

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	return &world{t, serve(t), rand.New(rand.NewPCG(seed, 1)), 1000}
}

func (w *world) id() string {
	w.next++
	return fmt.Sprint(w.next)
}

// open opens accounts of an asset and returns their ids.
func (w *world) open(asset string, codes ...uint32) []string {
	w.t.Helper()
	var ids []string
	var list []*ledgerv1.Account
	for _, code := range codes {
		ids = append(ids, w.id())
		list = append(list, &ledgerv1.Account{Id: ids[len(ids)-1], Asset: asset, Code: code, UserData_64: w.random.Uint64()})
	}
	response, err := w.c.CreateAccounts(w.t.Context(), list...)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range response.GetResults() {
		if r.GetStatus() != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
			w.t.Fatal(r)
		}
	}
	return ids
}

// move makes a transfer; amount "" is that of the pending transfer.
func (w *world) move(debit, credit, asset, amount string, pendingID string, timeout uint32, flags ...ledgerv1.TransferFlag) *ledgerv1.Transfer {
	x := &ledgerv1.Transfer{
		Id: w.id(), DebitAccountId: debit, CreditAccountId: credit, Asset: asset, PendingId: pendingID, Timeout: timeout, Flags: flags,
		Code: 1 + w.random.Uint32N(60000), UserData_128: "340282366920938463463374607431768211455", UserData_32: w.random.Uint32N(3),
	}
	if pendingID != "" {
		x.Code = 0
	}
	if amount != "" {
		x.Amount = &amount
	}
	return x
}

// send sends transfers that must be created.
func (w *world) send(list ...*ledgerv1.Transfer) {
	w.t.Helper()
	for chunk := range slices.Chunk(list, 8000) {
		response, err := w.c.CreateTransfers(w.t.Context(), chunk...)
		if err != nil {
			w.t.Fatal(err)
		}
		for i, r := range response.GetResults() {
			if r.GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
				w.t.Fatal(r.GetStatus(), chunk[i])
			}
		}
	}
}

// amount has up to some digits, often fewer.
func (w *world) amount(digits int) string {
	text := "1"
	for range w.random.IntN(digits) {
		text += fmt.Sprint(w.random.IntN(10))
	}
	return text
}

// live makes a history of one asset: plain transfers, reservations that are posted whole, in parts and not at all,
// voided, left open, and expired.
func (w *world) live(asset string, digits int) {
	w.t.Helper()
	codes := []uint32{1, 999, 1001, 2001, 3001, 4001, 5001, 60001}
	ids := w.open(asset, codes...)
	pair := func() (string, string) {
		i := w.random.IntN(len(ids) - 1) // the last account stays empty
		j := (i + 1 + w.random.IntN(len(ids)-2)) % (len(ids) - 1)
		return ids[i], ids[j]
	}
	reserve := func(timeout uint32) *ledgerv1.Transfer {
		d, c := pair()
		return w.move(d, c, asset, w.amount(digits)+"5", "", timeout, pending)
	}
	for range 12 {
		d, c := pair()
		w.send(w.move(d, c, asset, w.amount(digits), "", 0))
	}
	d, c := pair()
	w.send(w.move(d, c, asset, "0", "", 0))
	for _, how := range []func(p *ledgerv1.Transfer) []*ledgerv1.Transfer{
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer { // whole
			return []*ledgerv1.Transfer{w.move("", "", "", "", p.GetId(), 0, post)}
		},
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer { // in part, the rest is given back
			return []*ledgerv1.Transfer{w.move("", "", "", "3", p.GetId(), 0, post)}
		},
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer { // in parts, the rest is given back by the void
			return []*ledgerv1.Transfer{
				w.move("", "", "", "2", p.GetId(), 0, post, remainder), w.move("", "", "", "1", p.GetId(), 0, post, remainder),
				w.move("", "", "", "", p.GetId(), 0, voids),
			}
		},
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer { // in part, the rest stays
			return []*ledgerv1.Transfer{w.move("", "", "", "4", p.GetId(), 0, post, remainder)}
		},
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer { // nothing
			return []*ledgerv1.Transfer{w.move("", "", "", "0", p.GetId(), 0, post)}
		},
		func(p *ledgerv1.Transfer) []*ledgerv1.Transfer {
			return []*ledgerv1.Transfer{w.move("", "", "", "", p.GetId(), 0, voids)}
		},
		func(*ledgerv1.Transfer) []*ledgerv1.Transfer { return nil }, // stays open
	} {
		p := reserve(3600)
		w.send(append([]*ledgerv1.Transfer{p}, how(p)...)...)
	}
	expiring := reserve(1)
	w.send(expiring, w.move("", "", "", "1", expiring.GetId(), 0, post, remainder))
}

// settle waits until the ledger has given back what expires.
func (w *world) settle() {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	var due uint64
	w.each(func(x *ledgerv1.Transfer) {
		if x.GetTimeout() == 1 {
			due = max(due, x.GetTimestamp()+1e9)
		}
	})
	// A barrier of our own: a transfer that the ledger stamps after the expiries.
	ids := w.open("TICK/0", 1, 1)
	for time.Now().Before(deadline) {
		x := w.move(ids[0], ids[1], "TICK/0", "1", "", 0)
		response, err := w.c.CreateTransfers(w.t.Context(), x)
		if err != nil {
			w.t.Fatal(err)
		}
		if response.GetResults()[0].GetTimestamp() > due {
			return
		}
	}
	w.t.Fatal("reservations did not expire within a minute")
}

// each goes over all transfers.
func (w *world) each(use func(*ledgerv1.Transfer)) {
	w.t.Helper()
	f := &ledgerv1.QueryFilter{Limit: 8190}
	for {
		page, err := w.c.QueryTransfers(w.t.Context(), f, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, x := range page.GetTransfers() {
			use(x)
		}
		if f.TimestampMin = page.GetNextTimestamp(); f.TimestampMin == 0 {
			return
		}
	}
}

// accounts are what the ledger says of its accounts.
func (w *world) accounts() []*ledgerv1.Account {
	w.t.Helper()
	response, err := w.c.QueryAccounts(w.t.Context(), &ledgerv1.QueryFilter{Limit: 8190}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.GetAccounts()
}

// decimal writes minor units in an asset.
func decimal(t *testing.T, amount, asset string) string {
	t.Helper()
	a, err := money.ParseAsset(asset)
	if err != nil {
		t.Fatal(err)
	}
	v, err := money.Parse(amount)
	if err != nil {
		t.Fatal(err)
	}
	return a.Format(v)
}

// net is debits less credits, as a decimal.
func net(t *testing.T, a *ledgerv1.Account) string {
	t.Helper()
	d, err := money.Parse(a.GetDebitsPosted())
	if err != nil {
		t.Fatal(err)
	}
	c, err := money.Parse(a.GetCreditsPosted())
	if err != nil {
		t.Fatal(err)
	}
	if v, under := d.Sub(c); !under {
		return decimal(t, v.String(), a.GetAsset())
	}
	v, _ := c.Sub(d)
	return "-" + decimal(t, v.String(), a.GetAsset())
}
