package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// startNode runs a whole Sterling in this process, with its data below dir.
func startNode(dir string) (address, token string, stop func() error, err error) {
	config := node.DefaultConfig()
	config.Data, config.Listen = filepath.Join(dir, "data"), "127.0.0.1:0"
	n, err := node.Start(context.Background(), config, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return "", "", nil, err
	}
	stop = func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		return n.Stop(ctx)
	}
	b, err := os.ReadFile(filepath.Join(config.Data, "admin.token"))
	if err != nil {
		return "", "", nil, errors.Join(err, stop())
	}
	return n.Address(), strings.TrimSpace(string(b)), stop, nil
}

// bank starts a node with the accounts 1 and 2 in yuan.
func bank(t testing.TB) (address, token string) {
	t.Helper()
	address, token, stop, err := startNode(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	c, err := client.Dial(address, token)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for id := uint64(1); id <= 2; id++ {
		if _, err := c.Open(context.Background(), client.Opening{ID: money.From(id), Asset: money.Asset{Code: "CNY", Scale: 2}, Code: 1}); err != nil {
			t.Fatal(err)
		}
	}
	return address, token
}

func TestAgainstANode(t *testing.T) {
	address, token := bank(t)
	c := dial(t, address, client.WithToken(func(context.Context) (string, error) { return token, nil }), client.WithUserAgent("test/1"))
	ctx := t.Context()

	made, err := c.Transfer(ctx, entry(0))
	if err != nil || made.ID.IsZero() || made.Existed || time.Since(made.Time()) > time.Hour {
		t.Fatalf("%+v, %v", made, err)
	}
	same := entry(0)
	same.ID = made.ID
	if again, err := c.Transfer(ctx, same); err != nil || !again.Existed || again.Timestamp != made.Timestamp {
		t.Errorf("again: %+v, %v", again, err)
	}
	same.Amount.Minor = money.From(6)
	if _, err := c.Transfer(ctx, same); !errors.Is(err, client.ErrExistsWithOtherAmount) {
		t.Errorf("another amount under the same id: %v", err)
	}

	chain := []client.Entry{entry(10), entry(11), entry(12)}
	first, err := c.Chain(ctx, chain...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Chain(ctx, chain...)
	if err != nil {
		t.Fatalf("a chain sent again: %v", err)
	}
	for i := range again {
		if !again[i].Existed || again[i].Timestamp != first[i].Timestamp || first[i].Existed {
			t.Errorf("entry %d: %+v, then %+v", i, first[i], again[i])
		}
	}
	if _, err := c.Chain(ctx, chain[0], entry(20)); !errors.Is(err, client.ErrLinkedEventFailed) {
		t.Errorf("a chain of a recorded entry and a new one: %v", err)
	}
	bad := entry(31)
	bad.Credit = money.From(99)
	_, err = c.Chain(ctx, entry(30), bad, entry(32))
	var refused *client.StatusError
	if !errors.As(err, &refused) || refused.Index != 1 || refused.ID != bad.ID || !errors.Is(err, client.ErrCreditAccountNotFound) {
		t.Errorf("%v (%+v)", err, refused)
	}
	if err == nil || err.Error() != "transfer 31 refused: credit account not found" {
		t.Errorf("the text: %v", err)
	}

	hold := entry(40)
	hold.Flags, hold.Timeout = []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING}, time.Hour
	if _, err := c.Transfer(ctx, hold); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transfer(ctx, client.PostPart(hold.ID, client.Amount{Minor: money.From(3), Asset: hold.Amount.Asset})); err != nil {
		t.Errorf("post: %v", err)
	}
	if _, err := c.Transfer(ctx, client.Void(hold.ID)); !errors.Is(err, client.ErrPendingAlreadyPosted) {
		t.Errorf("void after post: %v", err)
	}
	hold.ID = money.From(41)
	settle := client.Post(hold.ID)
	settle.ID = money.From(42)
	for range 2 { // a chain with a post, and the same again
		if _, err := c.Chain(ctx, hold, settle); err != nil {
			t.Errorf("reserve and settle: %v", err)
		}
	}
	if _, err := c.Open(ctx, client.Opening{ID: money.From(1), Asset: money.Asset{Code: "USD", Scale: 2}, Code: 1}); !errors.As(err, new(client.AccountStatus)) || !strings.HasPrefix(err.Error(), "account 1 refused: exists with different") {
		t.Errorf("an account in another asset: %v", err)
	}
	found, err := c.LookupAccounts(ctx, money.From(2))
	if err != nil || found[0].GetCreditsPosted() != "28" { // 5 + 3×5 + 3 + 5
		t.Errorf("%v, %v", found, err)
	}
}

// cutter passes connections through and breaks them after some random bytes.
func cutter(t *testing.T, to string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	random := rand.New(rand.NewPCG(1, 2))
	group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			budget := 2000 + random.Int64N(40_000)
			group.Go(func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				group.Go(func() { // what the server says is lost from some byte on
					io.CopyN(in, out, budget/4) //nolint:errcheck // it is to break
					in.Close()
					out.Close()
				})
				io.CopyN(out, in, budget) //nolint:errcheck // it is to break
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		group.Wait()
	})
	return l.Addr().String()
}

// TestNothingIsPaidTwiceOrLost breaks connections again and again under load:
// every transfer is recorded exactly once.
func TestNothingIsPaidTwiceOrLost(t *testing.T) {
	address, token := bank(t)
	c, err := client.Dial(cutter(t, address), token, client.WithConnections(3))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const callers, each = 40, 50
	var group sync.WaitGroup
	var mu sync.Mutex
	existed := 0
	for range callers {
		group.Go(func() {
			for i := range each {
				entries := []client.Entry{entry(0)}
				if i%5 == 0 {
					entries = append(entries, entry(0))
				}
				results, err := c.Chain(t.Context(), entries...)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if results[0].Existed {
					existed++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	found, err := dial(t, address, client.WithToken(func(context.Context) (string, error) { return token, nil })).LookupAccounts(t.Context(), money.From(2))
	want := money.From(callers * (each + each/5) * 5).String()
	if err != nil || found[0].GetCreditsPosted() != want {
		t.Errorf("%v, %v, want %s posted", found, err, want)
	}
	if existed == 0 {
		t.Error("no answer was lost: the test has not tested")
	}
}

// TestANodeThatBreaksConnectionsOffIsPassedBy: no call was sent to one that ends them in the handshake, be it of TLS or of
// HTTP/2, so the next one is asked.
func TestANodeThatBreaksConnectionsOffIsPassedBy(t *testing.T) {
	address, token := bank(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
	}()
	c, err := client.Dial(l.Addr().String()+","+address, token)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Ledger().LookupAccounts(t.Context(), &ledgerv1.LookupAccountsRequest{Ids: []string{"1"}}); err != nil {
		t.Error(err)
	}
}
