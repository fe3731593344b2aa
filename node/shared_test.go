package node_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// cluster is a cell of several nodes over one database.
type cluster struct {
	t      *testing.T
	dsn    string
	tokens string // folder with the tokens that all nodes take
	nodes  map[string]*node.Node
	sinks  []node.Sink
}

func newCluster(t *testing.T, dsn string) *cluster {
	t.Helper()
	return &cluster{t: t, dsn: dsn, nodes: map[string]*node.Node{}}
}

// start starts the node of a name, again with the folder that it had.
func (c *cluster) start(name, folder string) *node.Node {
	c.t.Helper()
	if c.tokens == "" {
		c.tokens = folder
	} else if c.tokens != folder {
		for _, file := range []string{"tokens.json", "admin.token"} {
			b, err := os.ReadFile(filepath.Join(c.tokens, file))
			if err == nil {
				err = errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, file), b, 0o600))
			}
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
	config := node.DefaultConfig()
	config.Data, config.Listen = folder, "127.0.0.1:0"
	config.Store.DSN, config.Store.Lease, config.Sinks = c.dsn, 500*time.Millisecond, c.sinks
	n, err := node.Start(c.t.Context(), config, slog.New(slog.NewTextHandler(c.t.Output(), nil)), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	c.nodes[name] = n
	c.t.Cleanup(func() { c.stop(name) })
	return n
}

func (c *cluster) stop(name string) {
	n := c.nodes[name]
	if n == nil {
		return
	}
	delete(c.nodes, name)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		c.t.Errorf("stop node %s: %v", name, err)
	}
}

// dial returns a client of these nodes.
func (c *cluster) dial(names ...string) *client.Client {
	c.t.Helper()
	token, err := os.ReadFile(filepath.Join(c.tokens, "admin.token"))
	if err != nil {
		c.t.Fatal(err)
	}
	var addresses []string
	for _, name := range names {
		addresses = append(addresses, c.nodes[name].Address())
	}
	l, err := client.Dial(strings.Join(addresses, ","), strings.TrimSpace(string(token)))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestNodesShareACell: two nodes over PostgreSQL. Payments go on while leadership moves by drain, and when the leader
// stops; each is there once, and arrives at a sink; a node's statement tells its part.
func TestNodesShareACell(t *testing.T) {
	nodesShareACell(t, enginestest.Postgres(t).DSN())
}

// TestNodesShareACellOnMariaDB is TestNodesShareACell over the MySQL family.
func TestNodesShareACellOnMariaDB(t *testing.T) {
	nodesShareACell(t, "mysql://"+strings.NewReplacer("@tcp(", "@", ")/", "/").Replace(enginestest.MariaDB(t).DSN()))
}

func nodesShareACell(t *testing.T, dsn string) {
	t.Helper()
	c := newCluster(t, dsn)
	told, sink := newHook(t)
	c.sinks = []node.Sink{sink}
	folderA, folderB := t.TempDir(), t.TempDir()
	c.start("a", folderA)
	c.start("b", folderB)
	l := c.dial("a", "b")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if _, err := l.CreateAccounts(ctx, &client.Account{Id: "1", Asset: "CNY/2", Code: 1}, &client.Account{Id: "2", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	fen, err := client.ParseAmount("0.01", "CNY/2")
	if err != nil {
		t.Fatal(err)
	}
	const senders, each = 4, 60
	var group sync.WaitGroup
	half := make(chan struct{}, senders)
	for range senders {
		group.Go(func() {
			for n := range each {
				if n == each/2 {
					half <- struct{}{}
				}
				if _, err := l.Transfer(ctx, client.Entry{Debit: money.From(1), Credit: money.From(2), Amount: fen, Code: 1}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-half
	if _, err := l.Admin().Drain(ctx, &ledgerv1.DrainRequest{}); err != nil {
		t.Error(err)
	}
	group.Wait()
	wantPaid(ctx, t, l, senders*each)

	leads, stands := c.roles(ctx)
	c.stop(leads)
	if _, err := l.Transfer(ctx, client.Entry{Debit: money.From(1), Credit: money.From(2), Amount: fen, Code: 1}); err != nil {
		t.Fatal(err)
	}
	folder := map[string]string{"a": folderA, "b": folderB}
	c.start(leads, folder[leads]) // it follows again, from what it had
	wantPaid(ctx, t, c.dial(leads, stands), senders*each+1)
	if got, _ := c.roles(ctx); got == "" {
		t.Error("nobody leads")
	}
	told.wantTold(t, senders*each+1)

	// Everything is proven while the nodes go on.
	v, err := node.VerifyStore(ctx, node.Store{DSN: c.dsn}, node.DefaultConfig().Cell, slog.New(slog.DiscardHandler), nil)
	if err != nil || v.Transfers != senders*each+1 || v.Accounts != 2 {
		t.Errorf("%d transfers and %d accounts are proven: %v", v.Transfers, v.Accounts, err)
	}
}

// TestVerifyADatabase: a bit that somebody has changed in the database is found.
func TestVerifyADatabase(t *testing.T) {
	c := newCluster(t, enginestest.Postgres(t).DSN())
	c.start("a", t.TempDir())
	if _, err := c.dial("a").CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	c.stop("a")
	verify := func() error {
		_, err := node.VerifyStore(t.Context(), node.Store{DSN: c.dsn}, node.DefaultConfig().Cell, slog.New(slog.DiscardHandler), nil)
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	db, err := pgx.Connect(t.Context(), c.dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(t.Context(), "UPDATE sterling_block SET body = set_byte(body, octet_length(body) - 1, 255 - get_byte(body, octet_length(body) - 1)) WHERE seq = 2")
	if err := errors.Join(err, db.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := verify(); !errors.Is(err, cell.ErrDamaged) {
		t.Errorf("a changed block is proven: %v", err)
	}
}

// roles tells who leads, and who does not.
func (c *cluster) roles(ctx context.Context) (leads, stands string) {
	c.t.Helper()
	for name := range c.nodes {
		s, err := c.dial(name).Admin().Status(ctx, &ledgerv1.StatusRequest{})
		if err != nil {
			c.t.Fatal(err)
		}
		if s.GetRole() == ledgerv1.CellRole_CELL_ROLE_LEADER {
			leads = name
		} else {
			stands = name
		}
	}
	return leads, stands
}

func wantPaid(ctx context.Context, t *testing.T, l *client.Client, want uint64) {
	t.Helper()
	accounts, err := l.LookupAccounts(ctx, money.From(2))
	if err != nil {
		t.Fatal(err)
	}
	if len(accounts) != 1 || accounts[0].GetCreditsPosted() != money.From(want).String() {
		t.Errorf("%v is there, want %d", accounts, want)
	}
	page, err := l.AccountTransfers(ctx, &client.AccountFilter{AccountId: "2", Limit: 1000, Credits: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if uint64(len(page.GetTransfers())) != want {
		t.Errorf("a query finds %d transfers, want %d", len(page.GetTransfers()), want)
	}
}

func TestAFolderOfAnotherJournal(t *testing.T) {
	c := newCluster(t, enginestest.Postgres(t).DSN())
	folder := t.TempDir()
	c.start("a", folder)
	if _, err := c.dial("a").CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	c.stop("a")
	c.start("a", folder) // it is known from here on which journal it is of
	c.stop("a")
	config := node.DefaultConfig()
	config.Data, config.Listen, config.Store.DSN = folder, "127.0.0.1:0", enginestest.Postgres(t).DSN()
	if _, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "begins with") {
		t.Errorf("a folder of another journal was taken: %v", err)
	}
}
