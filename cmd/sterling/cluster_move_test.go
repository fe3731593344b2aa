package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// payMoving is the script's command
//
//	pay-moving NAME COUNT [CELL]
//
// It makes COUNT payments in each direction between two accounts of different cells, while the bucket of the first one
// moves to the other cell and back, and kills the leader of CELL in the middle. No payment may fail. Afterwards every
// payment has to be there, once, sent again it exists, and what the cells owe each other has to add up to nothing.
func payMoving(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pay-moving NAME COUNT [CELL]")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	token, err := os.ReadFile(ts.MkAbs(args[0] + "/admin.token"))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), payTime)
	defer cancel()
	p, err := newPayments(ctx, strings.TrimSpace(string(token)), []string{ts.Getenv(args[0] + "_1"), ts.Getenv(args[0] + "_2")})
	ts.Check(err)
	defer p.close()
	half := make(chan struct{}, 2*paySenders)
	failed := make(chan error, 1)
	go func() { failed <- p.pay(ctx, count, half) }()
	bucket := strconv.Itoa(int(journal.Bucket(p.accounts[0])))
	move := func(to string) {
		ts.Check(ts.Exec("sterling", "cell", "move", bucket, "--to", to, "--server", ts.Getenv(args[0]+"_1"), "--data", args[0]))
	}
	move("2")
	if len(args) == 3 {
		killLeader(ts, false, []string{args[0], args[2]})
	}
	move("1")
	ts.Check(<-failed)
	ts.Check(p.verifyMoved(ctx, uint64(count-count%paySenders)))
}

// verifyMoved waits until all is confirmed, and holds the ledger against what was acknowledged.
func (p *payments) verifyMoved(ctx context.Context, count uint64) error {
	for from, ids := range p.ids {
		found, err := p.clients[1-from].LookupTransfers(ctx, ids...)
		if err != nil {
			return err
		}
		if uint64(len(found)) != count || uint64(len(ids)) != count {
			return fmt.Errorf("%d payments from account %v were acknowledged, %d are there; want %d", len(ids), p.accounts[from], len(found), count)
		}
		if err := p.again(ctx, from, ids); err != nil {
			return err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		open, err := p.unsettled(ctx, count)
		if err != nil || open == "" {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("all was answered, and is not settled: %s", open)
		}
	}
}

// again sends payments once more, by way of either cell.
func (p *payments) again(ctx context.Context, from int, ids []money.U128) error {
	for by := range p.clients {
		list := make([]*client.Transfer, len(ids))
		for i, id := range ids {
			amount := "1"
			list[i] = &client.Transfer{
				Id: id.String(), DebitAccountId: p.accounts[from].String(), CreditAccountId: p.accounts[1-from].String(), Amount: &amount, Asset: "CNY/2", Code: 1,
			}
		}
		response, err := p.clients[by].CreateTransfers(ctx, list...)
		if err != nil {
			return err
		}
		for i, r := range response.GetResults() {
			if r.GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS {
				return fmt.Errorf("payment %v, sent again: %v", ids[i], r.GetStatus())
			}
		}
	}
	return nil
}

// unsettled says what is not settled yet; "" where all is. An error is what time does not mend.
func (p *payments) unsettled(ctx context.Context, count uint64) (string, error) {
	now, err := p.balances(ctx)
	if err != nil {
		return "", err
	}
	for i := range now {
		b, was := now[i], p.before[i]
		if b.debits != was.debits+count || b.credits > was.credits+count {
			return "", fmt.Errorf("account %v was %+v and is %+v after %d payments each way", p.accounts[i], was, b, count)
		}
		if b.credits != was.credits+count || b.pending != 0 {
			return fmt.Sprintf("account %v was %+v and is %+v after %d payments each way", p.accounts[i], was, b, count), nil
		}
	}
	for _, code := range []uint32{inTransitCode, clearingCode} {
		page, err := p.clients[0].QueryAccounts(ctx, &client.QueryFilter{Code: code}, nil)
		if err != nil {
			return "", err
		}
		var net int64
		for _, a := range page.GetAccounts() {
			credits, err := strconv.ParseInt(a.GetCreditsPosted(), 10, 64)
			if err != nil {
				return "", err
			}
			debits, err := strconv.ParseInt(a.GetDebitsPosted(), 10, 64)
			if err != nil {
				return "", err
			}
			net += credits - debits
			if a.GetDebitsPending() != "0" || a.GetCreditsPending() != "0" || code == inTransitCode && credits != debits {
				return fmt.Sprint(a), nil
			}
		}
		if net != 0 {
			return fmt.Sprintf("accounts of code %d add up to %d: %v", code, net, page.GetAccounts()), nil
		}
	}
	return "", nil
}
