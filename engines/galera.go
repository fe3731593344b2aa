package engines

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// GaleraTrio is three MariaDB servers that replicate by Galera: every node takes writes, and a commit is acknowledged
// when all nodes of the primary component have received it. The nodes settle by themselves who belongs to it; a node
// outside of it refuses queries.
//
// Clients reach each node through a proxy. Safe for concurrent use.
type GaleraTrio struct {
	home  *home
	log   *slog.Logger
	nodes [trioSize]*galeraNode

	mu sync.Mutex // one start at a time
}

// galeraNode is one server of a trio.
type galeraNode struct {
	*MariaDB
	index int
	front *Proxy // for clients
	cut   bool   // guarded by the trio's mu
}

const (
	suspectTimeout = 5 * time.Second // Galera's default
	// adminWithin bounds a question to a node.
	adminWithin = 3 * time.Second
)

// StartGaleraTrio makes three data folders, starts the servers, the second and third as copies of the first, and returns
// when all are synced, within 90 seconds. ctx bounds the start only; Close ends all. ErrMissing: MariaDB, Galera or
// rsync is not installed.
func StartGaleraTrio(ctx context.Context, o Options) (*GaleraTrio, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	t, err := newGaleraTrio(o)
	if err != nil {
		return nil, fmt.Errorf("start a Galera trio: %w", err)
	}
	if err := t.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start a Galera trio: %w", err), t.Close())
	}
	return t, nil
}

// newGaleraTrio prepares folders, ports, proxies and settings.
func newGaleraTrio(o Options) (*GaleraTrio, error) {
	program, install, err := mariadbPrograms()
	if err != nil {
		return nil, err
	}
	provider, err := galeraProvider()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged("mysql", "nobody")
	if err != nil {
		return nil, err
	}
	const portsPerNode = 4 // for clients, the group, and two ways of copying state
	h, err := newHome(o.Dir, "galera-trio", owner, portsPerNode*trioSize)
	if err != nil {
		return nil, err
	}
	t := &GaleraTrio{home: h, log: o.logger()}
	password := newPassword()
	for i := range t.nodes {
		member, err := h.below(nodeName(i))
		server := &mariadbServer{
			program: program, install: install, home: member, log: t.log.With("node", nodeName(i)),
			password: password, port: h.ports.numbers[i*portsPerNode],
		}
		server.ready = server.synced
		t.nodes[i] = &galeraNode{MariaDB: &MariaDB{mariadbServer: server, database: firstDatabase}, index: i}
		if err == nil {
			t.nodes[i].front, err = NewProxy(address(server.port))
		}
		if err == nil {
			err = server.configure(galeraSettings(i, provider, h.ports.numbers, portsPerNode, o))
		}
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
	}
	return t, nil
}

// galeraSettings are those of node i. The ports of a node follow each other: clients, group, incremental and full copies.
func galeraSettings(i int, provider string, ports []int, portsPerNode int, o Options) map[string]string {
	var group []string
	for j := range trioSize {
		group = append(group, address(ports[j*portsPerNode+1]))
	}
	suspect := o.SuspectTimeout
	if suspect == 0 {
		suspect = suspectTimeout
	}
	options := []string{
		"gmcast.listen_addr=tcp://" + group[i],
		"ist.recv_addr=" + address(ports[i*portsPerNode+2]),
		"evs.suspect_timeout=" + period(suspect),
		"evs.inactive_timeout=" + period(3*suspect),
		"evs.inactive_check_period=" + period(min(suspect/5, 500*time.Millisecond)),
		"evs.keepalive_period=" + period(min(suspect/5, time.Second)),
		"gcache.size=64M",
	}
	all := map[string]string{
		"wsrep_on":                  "ON",
		"wsrep_provider":            provider,
		"wsrep_cluster_name":        "sterling",
		"wsrep_cluster_address":     "gcomm://" + strings.Join(group, ","),
		"wsrep_node_name":           nodeName(i),
		"wsrep_node_address":        group[i],
		"wsrep_sst_method":          "rsync",
		"wsrep_sst_receive_address": address(ports[i*portsPerNode+3]),
		"wsrep_provider_options":    strings.Join(options, ";"),
		"wsrep_sync_wait":           "7", // reads, changes and inserts wait for what was acknowledged anywhere
		"innodb_autoinc_lock_mode":  "2", // Galera wants it
		"wsrep_slave_threads":       "4", // a node that was away catches up while the others go on
	}
	maps.Copy(all, o.Settings)
	return all
}

// period is a duration as Galera writes it.
func period(d time.Duration) string { return fmt.Sprintf("PT%.3fS", d.Seconds()) }

// start brings up the first node, then the others, which copy its data.
func (t *GaleraTrio) start(ctx context.Context) error {
	first := t.nodes[0]
	if err := first.makeData(ctx); err != nil {
		return err
	}
	if err := first.firstStart(ctx, "--wsrep-new-cluster"); err != nil {
		return err
	}
	var joining sync.WaitGroup
	var failed [trioSize]error
	for i := 1; i < trioSize; i++ {
		joining.Go(func() {
			n := t.nodes[i]
			if failed[i] = n.home.owner.folder(n.data()); failed[i] == nil {
				failed[i] = n.Restart(ctx)
			}
		})
	}
	joining.Wait()
	if err := errors.Join(failed[:]...); err != nil {
		return err
	}
	return t.Settled(ctx)
}

// synced tells whether the node is part of the primary component and has all that was committed.
func (s *mariadbServer) synced(ctx context.Context) error {
	status, err := s.wsrep(ctx)
	if err != nil {
		return err
	}
	if status["wsrep_cluster_status"] != "Primary" || status["wsrep_local_state_comment"] != "Synced" {
		return fmt.Errorf("the node is %q in a component that is %q", status["wsrep_local_state_comment"], status["wsrep_cluster_status"])
	}
	return nil
}

// wsrep asks the node what it knows of the cluster; a node outside of the primary component answers, too.
func (s *mariadbServer) wsrep(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, adminWithin)
	defer cancel()
	status := map[string]string{}
	return status, s.with(func(db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_cluster_status', 'wsrep_cluster_size', 'wsrep_local_state_comment', 'wsrep_last_committed')")
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var name, value string
			if err := rows.Scan(&name, &value); err != nil {
				return err
			}
			status[name] = value
		}
		return rows.Err()
	})
}

// setProvider changes an option of Galera while the node runs.
func (s *mariadbServer) setProvider(ctx context.Context, option string) error {
	ctx, cancel := context.WithTimeout(ctx, adminWithin)
	defer cancel()
	return s.do(ctx, "SET GLOBAL wsrep_provider_options = '"+option+"'")
}

// DSNs are the addresses of the three nodes, each as github.com/go-sql-driver/mysql takes it (that driver knows no list
// of hosts). Any of them takes writes. Connecting to one that hangs is given up after two seconds.
func (t *GaleraTrio) DSNs() []string {
	var all []string
	for i := range t.nodes {
		all = append(all, t.NodeDSN(i))
	}
	return all
}

// NodeDSN is the address of node i (0 to 2), through the proxy that Cut cuts.
func (t *GaleraTrio) NodeDSN(i int) string {
	n := t.nodes[i]
	c := n.config(n.database)
	c.Addr, c.Timeout = n.front.Addr(), 2*time.Second
	return c.FormatDSN()
}

// Pid is node i's process; 0 while it does not run.
func (t *GaleraTrio) Pid(i int) int { return t.nodes[i].Pid() }

// Log is the file of node i's log.
func (t *GaleraTrio) Log(i int) string { return t.nodes[i].Log() }

// Kill ends node i at once (SIGKILL).
func (t *GaleraTrio) Kill(i int) error { return t.nodes[i].Kill() }

// Stop freezes node i (SIGSTOP).
func (t *GaleraTrio) Stop(i int) error { return t.nodes[i].Stop() }

// Continue lets a stopped node go on.
func (t *GaleraTrio) Continue(i int) error { return t.nodes[i].Continue() }

// Cut separates node i from clients and from the other nodes. Galera's nodes tell each other their real addresses, which
// no proxy can hide; so a running node is told to drop and refuse all of its peers (gmcast.isolate). Cut one node at a
// time: two that are cut do not see each other either.
func (t *GaleraTrio) Cut(i int) error { return t.isolate(i, true) }

// Heal ends Cut.
func (t *GaleraTrio) Heal(i int) error { return t.isolate(i, false) }

func (t *GaleraTrio) isolate(i int, cut bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[i]
	t.log.Info("cut off or heal", "node", nodeName(i), "cut", cut)
	option, forward := "gmcast.isolate=0", n.front.Heal
	if cut {
		option, forward = "gmcast.isolate=1", n.front.Cut
	}
	if n.Pid() != 0 { // one that is dead starts again without
		if err := n.setProvider(context.Background(), option); err != nil {
			return fmt.Errorf("set %s on %s: %w", option, nodeName(i), err)
		}
	}
	forward()
	n.cut = cut
	return nil
}

// Slow delays what clients send to node i and receive from it by d in each direction; 0 ends it.
func (t *GaleraTrio) Slow(i int, d time.Duration) { t.nodes[i].front.Slow(d) }

// Settled waits until all three nodes are synced members of one primary component. An error tells what was missing when
// ctx ended.
func (t *GaleraTrio) Settled(ctx context.Context) error {
	err := poll(ctx, nil, func(ctx context.Context) error {
		for _, n := range t.nodes {
			if err := n.synced(ctx); err != nil {
				return fmt.Errorf("%s: %w", nodeName(n.index), err)
			}
			status, err := n.wsrep(ctx)
			if err != nil || status["wsrep_cluster_size"] != strconv.Itoa(trioSize) {
				return fmt.Errorf("%s sees %s nodes, want %d (%w)", nodeName(n.index), status["wsrep_cluster_size"], trioSize, err)
			}
		}
		return nil
	})
	return wrap(err, "wait for the trio's full strength")
}

// Start starts node i after Kill, and returns when it is synced. Its data are copied anew from another node where it does
// not start on them. Where no node is left in a primary component, the
// newest state makes a new one: a node that still runs, or, when none does, node i, if no other has a newer state.
func (t *GaleraTrio) Start(ctx context.Context, i int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	return wrap(t.startNode(ctx, t.nodes[i]), "start "+nodeName(i))
}

func (t *GaleraTrio) startNode(ctx context.Context, n *galeraNode) error {
	if n.Pid() != 0 {
		return errors.New("it runs")
	}
	mine, err := n.recover(ctx)
	if err != nil && t.othersArePrimary(ctx, n) {
		return t.copyAll(ctx, n, err)
	}
	if err != nil {
		return err
	}
	alone, err := t.preparePeers(ctx, n, mine)
	if err != nil {
		return err
	}
	if n.cut { // the peers were forgotten at its end
		n.front.Heal()
		n.cut = false
	}
	position := "--wsrep_start_position=" + mine.String()
	if alone {
		if err := n.mayBootstrap(); err != nil {
			return err
		}
		return n.restart(ctx, position, "--wsrep-new-cluster")
	}
	if err = n.restart(ctx, position); err == nil || ctx.Err() != nil || !t.othersArePrimary(ctx, n) {
		return err
	}
	return t.copyAll(ctx, n, err)
}

// othersArePrimary tells whether there is a primary component without n.
func (t *GaleraTrio) othersArePrimary(ctx context.Context, n *galeraNode) bool {
	for _, other := range t.nodes {
		if other == n || other.Pid() == 0 {
			continue
		}
		if status, err := other.wsrep(ctx); err == nil && status["wsrep_cluster_status"] == "Primary" {
			return true
		}
	}
	return false
}

// copyAll throws data away on which the node does not start, and starts it without, which makes Galera copy another
// node's. Nothing is lost: the others are the primary component, so they have all that was acknowledged.
func (t *GaleraTrio) copyAll(ctx context.Context, n *galeraNode, why error) error {
	t.log.Warn("a node does not start on its data: copy another's", "node", nodeName(n.index), "error", why)
	if err := errors.Join(n.Kill(), n.home.remove("data"), n.home.owner.folder(n.data())); err != nil {
		return err
	}
	if err := t.withoutNode(ctx, n); err != nil {
		return err
	}
	return n.Restart(ctx)
}

// withoutNode waits until the others know that n is gone: one that joins as somebody new while they still wait for who it
// was can cost them their primary component.
func (t *GaleraTrio) withoutNode(ctx context.Context, n *galeraNode) error {
	left := 0
	for _, other := range t.nodes {
		if other != n && other.Pid() != 0 {
			left++
		}
	}
	err := poll(ctx, nil, func(ctx context.Context) error {
		for _, other := range t.nodes {
			if other == n || other.Pid() == 0 {
				continue
			}
			status, err := other.wsrep(ctx)
			if err != nil {
				return err
			}
			if status["wsrep_cluster_status"] != "Primary" || status["wsrep_cluster_size"] != strconv.Itoa(left) {
				return fmt.Errorf("%s is %s and sees %s nodes, want %d", nodeName(other.index), status["wsrep_cluster_status"], status["wsrep_cluster_size"], left)
			}
		}
		return nil
	})
	return wrap(err, "wait until the others go on without "+nodeName(n.index))
}

// preparePeers sees to it that there is a primary component to join. True: there is none, and n may found it.
func (t *GaleraTrio) preparePeers(ctx context.Context, n *galeraNode, mine position) (alone bool, err error) {
	var newest *galeraNode // of those that run
	var committed int64
	ahead := "" // a dead node with a newer state
	for _, other := range t.nodes {
		switch {
		case other == n:
		case other.Pid() == 0:
			theirs, err := other.recover(ctx)
			if err != nil {
				return false, err
			}
			if theirs.history != mine.history {
				return false, fmt.Errorf("it is at %v, %s at %v: these are two clusters", mine, nodeName(other.index), theirs)
			}
			if theirs.seqno > mine.seqno {
				ahead = nodeName(other.index)
			}
		default:
			status, err := other.wsrep(ctx)
			if err != nil {
				return false, fmt.Errorf("ask %s: %w", nodeName(other.index), err)
			}
			if status["wsrep_cluster_status"] == "Primary" {
				return false, nil
			}
			if other.cut {
				return false, fmt.Errorf("%s runs, but is cut off: heal it first", nodeName(other.index))
			}
			if seqno, _ := strconv.ParseInt(status["wsrep_last_committed"], 10, 64); newest == nil || seqno > committed {
				newest, committed = other, seqno
			}
		}
	}
	switch {
	case newest == nil && ahead != "":
		return false, fmt.Errorf("no node runs, and %s has a newer state: start it first", ahead)
	case newest == nil:
		return true, nil
	}
	t.log.Info("make a new primary component", "node", nodeName(newest.index))
	return false, wrap(newest.setProvider(ctx, "pc.bootstrap=YES"), "make a new primary component of "+nodeName(newest.index))
}

// A position is how far a node has come in the cluster's history.
type position struct {
	history string // a UUID
	seqno   int64
}

func (p position) String() string { return p.history + ":" + strconv.FormatInt(p.seqno, 10) }

// recover reads from a dead node's storage engine how far it had come; the file that says so after a clean end does not
// after a kill.
func (n *galeraNode) recover(ctx context.Context) (position, error) {
	const file = "recover.log"
	if err := n.home.remove(file); err != nil {
		return position{}, err
	}
	c := n.command(n.arguments("--wsrep-recover")...)
	c.logFile = n.home.path(file)
	if err := c.run(ctx); err != nil {
		return position{}, fmt.Errorf("recover the position of %s: %w", nodeName(n.index), err)
	}
	text, err := os.ReadFile(c.logFile)
	if err != nil {
		return position{}, fmt.Errorf("recover the position of %s: %w", nodeName(n.index), err)
	}
	return parsePosition(text)
}

var recovered = regexp.MustCompile(`WSREP: Recovered position:? ([0-9a-fA-F-]{36}):(-?[0-9]{1,18})\s`)

// parsePosition finds the last position that a server's log tells.
func parsePosition(log []byte) (position, error) {
	all := recovered.FindAllSubmatch(log, -1)
	if len(all) == 0 {
		return position{}, errors.New("the log of --wsrep-recover names no position")
	}
	last := all[len(all)-1]
	seqno, err := strconv.ParseInt(string(last[2]), 10, 64)
	return position{history: string(last[1]), seqno: seqno}, err
}

// mayBootstrap notes that the node may found a cluster: it does not dare to after a kill, because it cannot know that
// no other has more.
func (n *galeraNode) mayBootstrap() error {
	const file = "data/grastate.dat"
	text, err := os.ReadFile(n.home.path(file))
	if err != nil {
		return fmt.Errorf("read the state of %s: %w", nodeName(n.index), err)
	}
	return n.home.write(file, string(bytes.ReplaceAll(text, []byte("safe_to_bootstrap: 0"), []byte("safe_to_bootstrap: 1"))))
}

// Close ends the servers and the proxies, and removes the folder if it is a temporary one.
func (t *GaleraTrio) Close() error {
	var err error
	for _, n := range t.nodes {
		if n != nil {
			err = errors.Join(err, n.Close(), closeProxies(n.front))
		}
	}
	return errors.Join(err, t.home.close())
}
