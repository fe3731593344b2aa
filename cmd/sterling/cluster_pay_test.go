package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
)

const (
	payTime    = 90 * time.Second
	paySenders = 8

	inTransitCode, clearingCode = 65535, 65534 // of the accounts that the cells make for themselves
)

// payAcross is the script's command
//
//	pay-across NAME COUNT [CELL]
//
// It makes COUNT payments in each direction between two cells by many senders at once, and kills the leader of CELL in the
// middle. Each is sent under its id until it is answered. Afterwards every payment has to be there, once, on both sides,
// nothing may be reserved, and what is in transit has to be zero.
func payAcross(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: pay-across NAME COUNT [CELL]")
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
	if len(args) == 3 {
		for range 2 * paySenders {
			<-half
		}
		killLeader(ts, false, []string{args[0], args[2]})
	}
	ts.Check(<-failed)
	ts.Check(p.verify(ctx, count))
}

// payments are made between an account of the first cell and one of the second, both ways.
type payments struct {
	clients  [2]*client.Client
	accounts [2]money.U128
	before   [2]balance
	mu       sync.Mutex
	ids      [2][]money.U128
}

type balance struct{ debits, credits, pending uint64 }

func newPayments(ctx context.Context, token string, nodes []string) (*payments, error) {
	p := &payments{}
	m := router.Even([]router.Cell{{ID: 1}, {ID: 2}})
	for i := range p.clients {
		var err error
		if p.clients[i], err = client.Dial(nodes[i], token, client.WithPatience(payTime)); err != nil {
			return nil, err
		}
		p.accounts[i] = accountOf(m, i)
		if _, err := p.clients[0].CreateAccounts(ctx, &client.Account{Id: p.accounts[i].String(), Asset: "CNY/2", Code: 1}); err != nil {
			return nil, err // both through the first cell: the second one's is passed on
		}
	}
	var err error
	p.before, err = p.balances(ctx)
	return p, err
}

func (p *payments) close() {
	for _, c := range p.clients {
		_ = c.Close() // nothing is under way
	}
}

// pay makes count payments each way; every sender tells half when half of its own are made.
func (p *payments) pay(ctx context.Context, count int, half chan<- struct{}) error {
	fen, err := client.ParseAmount("0.01", "CNY/2")
	if err != nil {
		return err
	}
	var senders sync.WaitGroup
	faults := make([]error, 2*paySenders)
	for i := range faults {
		senders.Go(func() {
			from, mine := i%2, count/paySenders
			for n := range mine {
				if n == mine/2 {
					half <- struct{}{}
				}
				r, err := p.clients[from].Transfer(ctx, client.Entry{Debit: p.accounts[from], Credit: p.accounts[1-from], Amount: fen, Code: 1})
				if err != nil {
					faults[i] = fmt.Errorf("payment %d of sender %d: %w", n, i, err)
					return
				}
				p.mu.Lock()
				p.ids[from] = append(p.ids[from], r.ID)
				p.mu.Unlock()
			}
		})
	}
	senders.Wait()
	return errors.Join(faults...)
}

// verify waits until all is confirmed, and holds the ledger against what was acknowledged.
func (p *payments) verify(ctx context.Context, count int) error {
	count -= count % paySenders
	for from, ids := range p.ids {
		found, err := p.clients[from].LookupTransfers(ctx, ids...)
		if err != nil {
			return err
		}
		for _, t := range found {
			if t.GetDebitAccountId() != p.accounts[from].String() || t.GetCreditAccountId() != p.accounts[1-from].String() || t.GetAmount() != "1" {
				return fmt.Errorf("a payment from %v to %v is shown as %v", p.accounts[from], p.accounts[1-from], t)
			}
		}
		if len(found) != count || len(ids) != count {
			return fmt.Errorf("%d payments from cell %d were acknowledged, %d are there; want %d", len(ids), from+1, len(found), count)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		open, err := p.open(ctx, uint64(count))
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

// open says what is not settled yet; "" where all is. An error is what time does not mend.
func (p *payments) open(ctx context.Context, count uint64) (string, error) {
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
		list := page.GetAccounts()
		if len(list) != 2 { // one of each cell
			return "", fmt.Errorf("%d accounts have code %d, want 2: %v", len(list), code, list)
		}
		var debits, credits [2]string
		for i, a := range list {
			debits[i], credits[i] = a.GetDebitsPosted(), a.GetCreditsPosted()
			if a.GetDebitsPending() != "0" || a.GetCreditsPending() != "0" || code == inTransitCode && debits[i] != credits[i] {
				return fmt.Sprint(a), nil
			}
		}
		if code == clearingCode && (debits[0] != credits[1] || debits[1] != credits[0]) {
			return "", fmt.Errorf("what the cells owe each other does not agree: %v", list)
		}
	}
	return "", nil
}

func (p *payments) balances(ctx context.Context) (b [2]balance, err error) {
	list, err := p.clients[1].LookupAccounts(ctx, p.accounts[:]...) // one of the other cell's, too
	if err != nil {
		return b, err
	}
	if len(list) != 2 {
		return b, fmt.Errorf("%d accounts of 2 are there", len(list))
	}
	for i, a := range list {
		for _, part := range []struct {
			text string
			sum  *uint64
		}{{a.GetDebitsPosted(), &b[i].debits}, {a.GetCreditsPosted(), &b[i].credits}, {a.GetDebitsPending(), &b[i].pending}, {a.GetCreditsPending(), &b[i].pending}} {
			v, err := money.Parse(part.text)
			if err != nil {
				return b, err
			}
			*part.sum += v.Lo
		}
	}
	return b, nil
}
