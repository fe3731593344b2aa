package node_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
)

// TestReadModelBesideALedger: a node keeps the tables up, and goes on where it was after a restart.
func TestReadModelBesideALedger(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(t.TempDir(), "ledger.db")
	config := node.DefaultConfig()
	config.Data, config.Listen, config.ReadModel.DSN = folder, "127.0.0.1:0", "sqlite:"+file
	fen, err := client.ParseAmount("0.01", "CNY/2")
	if err != nil {
		t.Fatal(err)
	}
	for run := 1; run <= 2; run++ {
		n, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &cluster{t: t, tokens: folder, nodes: map[string]*node.Node{"a": n}}
		l := c.dial("a")
		if run == 1 {
			if _, err := l.CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}, &client.Account{Id: "2", Asset: "CNY/2", Code: 1}); err != nil {
				t.Fatal(err)
			}
		}
		for range 5 {
			if _, err := l.Transfer(t.Context(), client.Entry{Debit: money.From(1), Credit: money.From(2), Amount: fen, Code: 1}); err != nil {
				t.Fatal(err)
			}
		}
		awaitCredits(t, file, 5*run)
		c.stop("a")
	}
}

// awaitCredits waits until the tables have so many transfers to account 2.
func awaitCredits(t *testing.T, file string, want int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }() // it was only read
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		var got int
		err := db.QueryRowContext(ctx, "SELECT count(*) FROM transfers").Scan(&got)
		if err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the tables have %d transfers, want %d (%v)", got, want, err)
		}
	}
}
