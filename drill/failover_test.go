package drill_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/engines"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// fleet is a cell that several processes serve, over one database.
type fleet struct {
	t     *testing.T
	dsn   string
	dirs  []string
	nodes []*process
}

func newFleet(t *testing.T, dsn string, size int) *fleet {
	t.Helper()
	f := &fleet{t: t, dsn: dsn}
	for i := range size {
		dir := filepath.Join(t.TempDir(), "data")
		if i > 0 { // all nodes take the tokens of the first
			for _, name := range []string{"tokens.json", auth.AdminFile} {
				b, err := os.ReadFile(filepath.Join(f.dirs[0], name))
				if err == nil {
					err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, name), b, 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		f.dirs = append(f.dirs, dir)
		f.nodes = append(f.nodes, start(t, dir, "--store", dsn))
	}
	return f
}

// again starts a node that was killed, where it was: clients know its address.
func (f *fleet) again(i int) {
	f.t.Helper()
	f.nodes[i] = start(f.t, f.dirs[i], "--store", f.dsn, "--listen", f.nodes[i].addr)
}

// dial returns a client of all nodes, which repeats what has no answer, for as long as the test lasts.
func (f *fleet) dial() *client.Client {
	f.t.Helper()
	token, err := os.ReadFile(filepath.Join(f.dirs[0], auth.AdminFile))
	if err != nil {
		f.t.Fatal(err)
	}
	var addresses []string
	for _, p := range f.nodes {
		addresses = append(addresses, p.addr)
	}
	c, err := client.Dial(strings.Join(addresses, ","), strings.TrimSpace(string(token)), client.WithPatience(2*patience))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

// leader waits until a node says that it leads.
func (f *fleet) leader() (at int) {
	f.t.Helper()
	await(f.t, "a node leads", func() bool {
		for i, p := range f.nodes {
			ctx, cancel := context.WithTimeout(f.t.Context(), time.Second)
			s, err := p.dial().Admin().Status(ctx, &ledgerv1.StatusRequest{})
			cancel()
			if err == nil && s.GetRole() == ledgerv1.CellRole_CELL_ROLE_LEADER {
				at = i
				return true
			}
		}
		return false
	})
	return at
}

// payments are single transfers of one fen, which many senders make without end; each is answered at last.
type payments struct {
	t       *testing.T
	c       *client.Client
	stop    chan struct{}
	senders sync.WaitGroup

	made atomic.Uint64 // acknowledged
	mu   sync.Mutex
	ids  []money.U128
	late []time.Duration // how long each took
	ends []time.Time     // and when it was answered
}

func makePayments(t *testing.T, c *client.Client, senders int) *payments {
	t.Helper()
	p := &payments{t: t, c: c, stop: make(chan struct{})}
	for range senders {
		p.senders.Go(p.send)
	}
	return p
}

func (p *payments) send() {
	fen, err := client.ParseAmount("0.01", asset)
	if err != nil {
		p.t.Error(err)
		return
	}
	for {
		select {
		case <-p.stop:
			return
		default:
		}
		began := time.Now()
		r, err := p.c.Transfer(p.t.Context(), client.Entry{Debit: money.From(1), Credit: money.From(2), Amount: fen, Code: 1})
		if err != nil {
			p.t.Errorf("a payment failed: %v", err)
			return
		}
		p.made.Add(1)
		p.mu.Lock()
		p.ids, p.late, p.ends = append(p.ids, r.ID), append(p.late, time.Since(began)), append(p.ends, time.Now())
		p.mu.Unlock()
	}
}

// goOn waits until so many more payments were acknowledged than before.
func (p *payments) goOn(more uint64) {
	p.t.Helper()
	want := p.made.Load() + more
	await(p.t, fmt.Sprintf("%d payments", want), func() bool { return p.made.Load() >= want || p.t.Failed() })
}

// firstAfter is how long after a moment the first payment was acknowledged that began after it was.
func (p *payments) firstAfter(moment time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := time.Duration(1 << 62)
	for i, end := range p.ends {
		if end.Add(-p.late[i]).After(moment) || p.late[i] > 50*time.Millisecond && end.After(moment) {
			first = min(first, end.Sub(moment))
		}
	}
	return first
}

// check ends the payments and holds the ledger against what was acknowledged: nothing lost, nothing twice.
func (p *payments) check() {
	p.t.Helper()
	close(p.stop)
	p.senders.Wait()
	accounts, err := p.c.LookupAccounts(p.t.Context(), money.From(2))
	if err != nil || len(accounts) != 1 {
		p.t.Fatalf("%v, %v", accounts, err)
	}
	if got, want := accounts[0].GetCreditsPosted(), money.From(p.made.Load()).String(); got != want {
		p.t.Errorf("the account has %s, acknowledged were %s", got, want)
	}
	for part := range slices.Chunk(p.ids, client.MaxEvents) {
		found, err := p.c.LookupTransfers(p.t.Context(), part...)
		if err != nil || len(found) != len(part) {
			p.t.Errorf("%d of %d acknowledged payments are there (%v)", len(found), len(part), err)
		}
	}
}

// TestFailover: three processes serve a cell over PostgreSQL, under load. The leader is killed, stopped in its tracks
// and woken again, and drained. No payment is lost or made twice, and none fails.
func TestFailover(t *testing.T) { failover(t, enginestest.Postgres(t).DSN()) }

// TestFailoverOnMariaDB is TestFailover over the MySQL family.
func TestFailoverOnMariaDB(t *testing.T) {
	failover(t, "mysql://"+strings.NewReplacer("@tcp(", "@", ")/", "/").Replace(enginestest.MariaDB(t).DSN()))
}

func failover(t *testing.T, dsn string) {
	t.Helper()
	kills := 3
	if os.Getenv("STERLING_SOAK") == "1" {
		kills = 20
	}
	f := newFleet(t, dsn, 3)
	c := f.dial()
	openAccounts(t, c)
	p := makePayments(t, c, 8)
	p.goOn(100)
	for range kills {
		at := f.leader()
		killed := time.Now()
		f.nodes[at].kill()
		p.goOn(100)
		t.Logf("leader killed: the first payment after %v", p.firstAfter(killed).Round(time.Millisecond))
		f.again(at)
	}

	at := f.leader()
	stopped := time.Now()
	if err := f.nodes[at].cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.goOn(100)
	t.Logf("leader stopped: the first payment after %v", p.firstAfter(stopped).Round(time.Millisecond))
	if err := f.nodes[at].cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.goOn(200)
	await(t, "the node that slept stands by", func() bool {
		s, err := f.nodes[at].dial().Admin().Status(t.Context(), &ledgerv1.StatusRequest{})
		return err == nil && s.GetRole() == ledgerv1.CellRole_CELL_ROLE_STANDBY
	})

	before := len(p.ends)
	drained := time.Now()
	if _, err := c.Admin().Drain(t.Context(), &ledgerv1.DrainRequest{}); err != nil {
		t.Error(err)
	}
	p.goOn(200)
	t.Logf("drained: the first payment after %v", p.firstAfter(drained).Round(time.Millisecond))
	p.check()
	late := slices.Clone(p.late[min(before, len(p.late)-1):])
	slices.Sort(late)
	t.Logf("%d payments; while it was drained p99 %v, the longest %v", p.made.Load(), late[len(late)*99/100].Round(time.Millisecond), late[len(late)-1].Round(time.Millisecond))
}

// TestDatabaseFailover: three processes over a PostgreSQL trio with quorum replication, whose primary is killed under load,
// again and again. No acknowledged payment is lost or made twice, and none fails.
func TestDatabaseFailover(t *testing.T) {
	kills := 2
	if os.Getenv("STERLING_SOAK") == "1" {
		kills = 10
	}
	trio, err := engines.StartPostgresTrio(t.Context(), engines.Options{})
	enginestest.Check(t, err)
	t.Cleanup(func() {
		if err := trio.Close(); err != nil {
			t.Error(err)
		}
	})
	f := newFleet(t, trio.DSN(), 2)
	c := f.dial()
	openAccounts(t, c)
	p := makePayments(t, c, 8)
	for range kills {
		p.goOn(100)
		primary := trio.Primary()
		killed := time.Now()
		if err := trio.Kill(primary); err != nil {
			t.Fatal(err)
		}
		p.goOn(100)
		t.Logf("primary killed: the first payment after %v", p.firstAfter(killed).Round(time.Millisecond))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := errors.Join(trio.Start(ctx, primary), trio.Settled(ctx))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
	}
	p.check()
	t.Logf("%d payments", p.made.Load())
}
