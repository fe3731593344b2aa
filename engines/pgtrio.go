package engines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// trioSize is the number of nodes of a trio; nodes are numbered from 0 in this package's functions, and named n1 to n3.
const trioSize = 3

// PostgresTrio is three PostgreSQL servers: one primary and two standbys. A commit is acknowledged when the primary and
// one of the standbys have it on disk (quorum replication, ANY 1). A Supervisor promotes a standby when the primary is
// gone.
//
// Clients, the Supervisor and the other nodes reach each node through proxies, so that Cut separates it from all of
// them. Safe for concurrent use.
type PostgresTrio struct {
	home       *home
	log        *slog.Logger
	nodes      [trioSize]*postgresNode
	supervisor *Supervisor
}

// postgresNode is one server of a trio.
type postgresNode struct {
	*Postgres
	index    int
	front    *Proxy           // for clients and the supervisor
	links    [trioSize]*Proxy // links[j]: this node's way to node j; nil for itself
	settings map[string]string
}

// StartPostgresTrio makes three data folders, starts the servers and the Supervisor, and returns when both standbys
// are part of the quorum (pg_stat_replication says so), within 90 seconds. ctx bounds the start only; Close ends all.
// ErrMissing: PostgreSQL is not installed.
func StartPostgresTrio(ctx context.Context, o Options) (*PostgresTrio, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	t, err := newPostgresTrio(o)
	if err != nil {
		return nil, fmt.Errorf("start a PostgreSQL trio: %w", err)
	}
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a PostgreSQL trio: %w", err), t.Close())
	}
	return t, nil
}

// newPostgresTrio prepares folders, ports and proxies.
func newPostgresTrio(o Options) (*PostgresTrio, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(trioSize)
	if err != nil {
		return nil, err
	}
	h, err := newHome(o.Dir, "postgres-trio", owner)
	if err != nil {
		return nil, err
	}
	t := &PostgresTrio{home: h, log: o.logger()}
	password := newPassword()
	for i := range t.nodes {
		member, err := h.below(nodeName(i))
		server := &postgresServer{programs: programs, home: member, log: t.log.With("node", nodeName(i)), password: password, port: ports[i]}
		t.nodes[i] = &postgresNode{Postgres: &Postgres{postgresServer: server, database: firstDatabase}, index: i, settings: trioSettings(i, o.Settings)}
		if err == nil {
			err = member.write(".pgpass", fmt.Sprintf("127.0.0.1:*:*:%s:%s\n", superuser, password)) // where libpq looks, in HOME
		}
		if err == nil {
			t.nodes[i].front, err = NewProxy(address(ports[i]))
		}
		for j := range t.nodes {
			if err == nil && i != j {
				t.nodes[i].links[j], err = NewProxy(address(ports[j]))
			}
		}
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

func nodeName(i int) string { return "n" + strconv.Itoa(i+1) }

// trioSettings are the same on a primary and a standby, so that a promotion changes no setting: each node asks for one
// of the two others. A promoted node's commits wait until the third has been pointed at it; so there is no moment in
// which one copy is enough, and nothing to reset (a standby that inherits its primary's list waits for itself).
func trioSettings(i int, own map[string]string) map[string]string {
	var others []string
	for j := range trioSize {
		if j != i {
			others = append(others, nodeName(j))
		}
	}
	all := map[string]string{
		"cluster_name":                nodeName(i), // also how a standby names itself to its primary
		"synchronous_standby_names":   "ANY 1 (" + strings.Join(others, ",") + ")",
		"hot_standby":                 "on",
		"max_wal_senders":             "10",
		"wal_keep_size":               "512MB", // what a node that was away may need
		"wal_receiver_timeout":        "5s",
		"wal_sender_timeout":          "5s",
		"wal_retrieve_retry_interval": "200ms", // how soon a standby tries again
	}
	maps.Copy(all, own)
	return all
}

// start brings up the first primary, its standbys and the supervisor.
func (t *PostgresTrio) start(ctx context.Context) error {
	first := t.nodes[0]
	// Before the standbys exist a commit would wait for them.
	alone := maps.Clone(first.settings)
	alone["synchronous_standby_names"] = ""
	if err := first.initialise(ctx, alone); err != nil {
		return err
	}
	if err := first.Restart(ctx); err != nil {
		return err
	}
	if _, err := first.CreateDatabase(ctx, firstDatabase); err != nil {
		return err
	}
	var copying sync.WaitGroup
	var failed [trioSize]error
	for i := 1; i < trioSize; i++ {
		copying.Go(func() { failed[i] = t.nodes[i].copyFrom(ctx, first) })
	}
	copying.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	if err := first.configure(first.settings); err != nil {
		return err
	}
	if err := first.do(ctx, "SELECT pg_reload_conf()"); err != nil {
		return fmt.Errorf("ask for a quorum: %w", err)
	}
	t.supervisor = newSupervisor(t)
	return t.Settled(ctx)
}

// copyFrom makes this node's data folder by copying the primary's, and starts it as its standby.
func (n *postgresNode) copyFrom(ctx context.Context, primary *postgresNode) error {
	if err := n.home.remove("data"); err != nil {
		return err
	}
	err := n.command("pg_basebackup", "--pgdata="+n.data(), "--dbname="+n.sourceOf(primary), "--checkpoint=fast", "--wal-method=stream", "--no-password").run(ctx)
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", nodeName(primary.index), nodeName(n.index), err)
	}
	return n.startAsStandby(ctx, primary)
}

// startAsStandby writes the settings that make a stopped node the primary's standby, and starts it.
func (n *postgresNode) startAsStandby(ctx context.Context, primary *postgresNode) error {
	if err := n.configure(n.settings); err != nil {
		return err
	}
	if err := n.home.write("data/postgresql.auto.conf", "primary_conninfo = '"+n.sourceOf(primary)+"'\n"); err != nil {
		return err
	}
	if err := n.home.write("data/standby.signal", ""); err != nil {
		return err
	}
	return n.Restart(ctx)
}

// sourceOf is how this node connects to a primary, in libpq's form. The password is in a file, so that no statement and
// no log has it.
func (n *postgresNode) sourceOf(primary *postgresNode) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname=postgres sslmode=disable connect_timeout=2", n.links[primary.index].Port(), superuser)
}

// frontDSN is the node's address through its proxy.
func (n *postgresNode) frontDSN(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, n.password), Host: n.front.Addr(), Path: "/" + database, RawQuery: "sslmode=disable&connect_timeout=2"}
	return u.String()
}

// ask runs a query on the node, through its proxy, and scans its one row.
func (n *postgresNode) ask(ctx context.Context, query string, into ...any) error {
	return n.with(ctx, n.frontDSN("postgres"), func(c *pgx.Conn) error { return c.QueryRow(ctx, query).Scan(into...) })
}

// tell runs a statement on the node, through its proxy.
func (n *postgresNode) tell(ctx context.Context, statement string) error {
	return n.with(ctx, n.frontDSN("postgres"), func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, statement)
		return err
	})
}

// DSN is the address of all three nodes, for pgx: it connects to the one that takes writes. A host that hangs is given
// up after a second; so connecting takes up to three.
func (t *PostgresTrio) DSN() string {
	var hosts []string
	for _, n := range t.nodes {
		hosts = append(hosts, n.front.Addr())
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(superuser, t.nodes[0].password), Host: strings.Join(hosts, ","), Path: "/" + firstDatabase,
		RawQuery: "sslmode=disable&target_session_attrs=read-write&connect_timeout=1",
	}
	return u.String()
}

// NodeDSN is the address of node i (0 to 2) alone, through the proxy that Cut cuts.
func (t *PostgresTrio) NodeDSN(i int) string { return t.nodes[i].frontDSN(firstDatabase) }

// Pid is node i's process; 0 while it does not run.
func (t *PostgresTrio) Pid(i int) int { return t.nodes[i].Pid() }

// Log is the file of node i's log.
func (t *PostgresTrio) Log(i int) string { return t.nodes[i].Log() }

// Promotions counts the Supervisor's promotions so far.
func (t *PostgresTrio) Promotions() int { return t.supervisor.Promotions() }

// Primary is the node that the Supervisor takes for the primary now.
func (t *PostgresTrio) Primary() int { return t.supervisor.Primary() }

// Kill ends node i at once (SIGKILL).
func (t *PostgresTrio) Kill(i int) error { return t.nodes[i].Kill() }

// Stop freezes node i (SIGSTOP).
func (t *PostgresTrio) Stop(i int) error { return t.nodes[i].Stop() }

// Continue lets a stopped node go on.
func (t *PostgresTrio) Continue(i int) error { return t.nodes[i].Continue() }

// Start starts node i after Kill, as the primary's standby, or as the primary if it still is. Its data are set right
// first (pg_rewind, else a fresh copy).
func (t *PostgresTrio) Start(ctx context.Context, i int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	return t.supervisor.start(ctx, i)
}

// Cut separates node i from clients, from the Supervisor and from the other nodes: nothing passes in either direction.
// It never fails; the error is there for code that cuts any trio.
func (t *PostgresTrio) Cut(i int) error {
	t.log.Info("cut off", "node", nodeName(i))
	t.each(i, (*Proxy).Cut)
	return nil
}

// Heal ends Cut. A node that was replaced as the primary meanwhile is attached again by the Supervisor. It never fails.
func (t *PostgresTrio) Heal(i int) error {
	t.log.Info("heal", "node", nodeName(i))
	t.each(i, (*Proxy).Heal)
	return nil
}

// CutBetween separates nodes i and j from each other only: clients and the Supervisor reach both. Heal of either ends it.
func (t *PostgresTrio) CutBetween(i, j int) {
	t.log.Info("cut between", "node", nodeName(i), "other", nodeName(j))
	t.nodes[i].links[j].Cut()
	t.nodes[j].links[i].Cut()
}

// Slow delays all that node i sends and receives by d in each direction; 0 ends it.
func (t *PostgresTrio) Slow(i int, d time.Duration) {
	t.each(i, func(p *Proxy) { p.Slow(d) })
}

// each applies to every proxy to and from node i. A link between i and another that is cut too is healed with either:
// cut one node at a time, or heal both.
func (t *PostgresTrio) each(i int, apply func(*Proxy)) {
	apply(t.nodes[i].front)
	for j := range t.nodes {
		if j != i {
			apply(t.nodes[i].links[j])
			apply(t.nodes[j].links[i])
		}
	}
}

// Settled waits until the trio has its full strength: a primary that takes writes, and both standbys streaming from it
// as members of its quorum. An error tells what was missing when ctx ended.
func (t *PostgresTrio) Settled(ctx context.Context) error {
	err := poll(ctx, nil, func(ctx context.Context) error {
		primary := t.nodes[t.Primary()]
		var inRecovery bool
		var quorum int
		err := primary.ask(ctx, `SELECT pg_is_in_recovery(), (SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum' AND state = 'streaming')`, &inRecovery, &quorum)
		switch {
		case err != nil:
			return fmt.Errorf("ask %s: %w", nodeName(primary.index), err)
		case inRecovery:
			return fmt.Errorf("%s is not the primary", nodeName(primary.index))
		case quorum != trioSize-1:
			return fmt.Errorf("%d standbys of %s are in its quorum, want %d", quorum, nodeName(primary.index), trioSize-1)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("wait for the trio's full strength: %w", err)
	}
	return nil
}

// Close ends the Supervisor, the servers and the proxies, and removes the folder if it is a temporary one.
func (t *PostgresTrio) Close() error {
	var err error
	if t.supervisor != nil {
		t.supervisor.close()
	}
	for _, n := range t.nodes {
		if n == nil {
			continue
		}
		err = errors.Join(err, n.Close(), closeProxies(append(n.links[:], n.front)...))
	}
	return errors.Join(err, t.home.close())
}

func closeProxies(proxies ...*Proxy) (err error) {
	for _, p := range proxies {
		if p != nil {
			err = errors.Join(err, p.Close())
		}
	}
	return err
}
