package devcluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/router"
)

// Options are what a cluster is made of.
type Options struct {
	// Command starts a node: a program and its first arguments, which `--config FILE` follows. The first line that it
	// prints says that it is ready.
	Command []string
	Dir     string // what nodes keep, and what they share; see Describe
	// Cells and Nodes are how many cells, 1 to 16, and how many nodes each has, 1 to 9. 0: as the folder has it, or 2
	// and 3 in a new one.
	Cells, Nodes int
	// DSN is the database's address; empty: the one that the folder has.
	DSN string
	// Maps opens the database's map of cells, for as long as it takes to write it.
	Maps  func(ctx context.Context, dsn string) (Maps, error)
	Lease time.Duration // of the leaders; 0: 2 s
	// Ended is told of a node that ends without being told to, from a goroutine of its own. May be nil.
	Ended func(n Node, err error)
}

// Maps is the map of cells in a database.
type Maps interface {
	router.Maps
	Close() error
}

// Node is one process of a cluster.
type Node struct {
	Cell    uint64 `json:"cell"`    // 1 and up
	Number  int    `json:"node"`    // in its cell, 1 and up
	Address string `json:"address"` // host:port of its API, on loopback
	PID     int    `json:"pid"`
	Log     string `json:"log"` // file with what it says
}

const (
	maxCells, maxNodes         = 16, 9
	defaultCells, defaultNodes = 2, 3
	defaultLease               = 2 * time.Second
)

// ErrOptions is a cluster that can't be had like that; nothing was started.
var ErrOptions = errors.New("cluster")

// Cluster is the running processes.
type Cluster struct {
	options Options
	folder  folder
	lock    *lock
	state   State
	nodes   []*process
	Map     *router.Map // as it was written at the start

	closing   chan struct{} // closed by Close
	following sync.WaitGroup
	left      atomic.Int64  // nodes that have not ended
	gone      chan struct{} // closed when none is left
}

// Start makes the folder and the map of cells, or goes on with those that are there, and starts the nodes. It returns
// when all are ready, whoever leads by then. The caller ends with Close.
func Start(ctx context.Context, o Options) (c *Cluster, err error) {
	c = &Cluster{options: o, folder: folder(o.Dir), closing: make(chan struct{}), gone: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			c = nil
		}
	}()
	if c.lock, err = c.folder.prepare(); err != nil {
		return c, err
	}
	if err = c.settle(); err != nil {
		return c, err
	}
	if err = c.writeMap(ctx); err != nil {
		return c, err
	}
	if err = c.folder.keepDatabase(c.options.DSN); err != nil {
		return c, err
	}
	if err = c.startNodes(ctx); err != nil {
		return c, err
	}
	return c, nil
}

// settle decides how many nodes there are and where, and writes what they share.
func (c *Cluster) settle() error {
	old, err := Read(c.options.Dir)
	isNew := errors.Is(err, ErrNoCluster)
	if err != nil && !isNew {
		return err
	}
	o := &c.options
	for _, n := range []struct {
		what                   string
		asked                  *int
		has, standard, maximum int
	}{
		{"cells", &o.Cells, old.Cells, defaultCells, maxCells},
		{"nodes", &o.Nodes, old.NodesPerCell, defaultNodes, maxNodes},
	} {
		switch {
		case *n.asked == 0 && isNew:
			*n.asked = n.standard
		case *n.asked == 0:
			*n.asked = n.has
		}
		if *n.asked < 1 || *n.asked > n.maximum {
			return fmt.Errorf("%w: %d %s: want 1 to %d", ErrOptions, *n.asked, n.what, n.maximum)
		}
		if !isNew && *n.asked != n.has {
			return fmt.Errorf("%w: the folder %s has %d %s, not %d: leave the number out, or take another folder and database", ErrOptions, o.Dir, n.has, n.what, *n.asked)
		}
	}
	if o.Lease == 0 {
		o.Lease = defaultLease
	}
	if o.DSN, err = c.folder.database(o.DSN); err != nil {
		return err
	}
	c.state = State{Cells: o.Cells, NodesPerCell: o.Nodes}
	if err := c.placeNodes(old); err != nil {
		return err
	}
	return c.folder.share(c.state.Nodes)
}

// placeNodes gives each node the address that it had, where that is still free, or another one.
func (c *Cluster) placeNodes(old State) error {
	had := map[[2]int]string{}
	for _, n := range old.Nodes {
		had[[2]int{int(n.Cell), n.Number}] = n.Address //nolint:gosec // a small number
	}
	ports := newPorts()
	for cell := 1; cell <= c.state.Cells; cell++ {
		for number := 1; number <= c.state.NodesPerCell; number++ {
			address, err := ports.address(had[[2]int{cell, number}])
			if err != nil {
				return err
			}
			n := Node{Cell: uint64(cell), Number: number, Address: address}
			n.Log = c.folder.node(&n) + ".log"
			c.state.Nodes = append(c.state.Nodes, n)
		}
	}
	return nil
}

// writeMap makes the map of cells, or brings the addresses of the one that is there up to date: its buckets stay.
func (c *Cluster) writeMap(ctx context.Context) (err error) {
	maps, err := c.options.Maps(ctx, c.options.DSN)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, maps.Close()) }()
	c.Map, err = router.Define(ctx, maps, c.cells())
	return err
}

func (c *Cluster) cells() []router.Cell {
	cells := make([]router.Cell, c.state.Cells)
	for _, n := range c.state.Nodes {
		cell := &cells[n.Cell-1]
		cell.ID, cell.Nodes = n.Cell, append(cell.Nodes, n.Address)
	}
	return cells
}

// startNodes starts all nodes at once and waits until each is ready.
func (c *Cluster) startNodes(ctx context.Context) error {
	c.left.Store(int64(len(c.state.Nodes)))
	for i := range c.state.Nodes {
		n := &c.state.Nodes[i]
		config := c.folder.node(n) + ".yaml"
		if err := c.folder.configure(n, config, c.options.Lease); err != nil {
			return err
		}
		p, err := startProcess(append(append([]string(nil), c.options.Command...), "--config", config), n.Log)
		if err != nil {
			return fmt.Errorf("start node %d of cell %d: %w", n.Number, n.Cell, err)
		}
		n.PID = p.Pid
		c.nodes = append(c.nodes, p)
		c.following.Go(func() { c.follow(p, *n) })
	}
	if err := c.folder.write(&c.state); err != nil {
		return err
	}
	for i, p := range c.nodes {
		if err := p.awaitReady(ctx); err != nil {
			n := c.state.Nodes[i]
			return fmt.Errorf("node %d of cell %d: %w; its log is %s", n.Number, n.Cell, err, n.Log)
		}
	}
	return nil
}

// follow tells of a node's end.
func (c *Cluster) follow(p *process, n Node) {
	<-p.ended
	if c.left.Add(-1) == 0 {
		defer close(c.gone)
	}
	select {
	case <-c.closing:
	default:
		if c.options.Ended != nil {
			c.options.Ended(n, p.err)
		}
	}
}

// Nodes are the processes, by cell and number.
func (c *Cluster) Nodes() []Node { return append([]Node(nil), c.state.Nodes...) }

// Gone is closed when no node is left.
func (c *Cluster) Gone() <-chan struct{} { return c.gone }

// TokenFile holds a token that every node takes, an admin's.
func (c *Cluster) TokenFile() string { return filepath.Join(c.options.Dir, auth.AdminFile) }

// Close tells all nodes to end, kills those that have not within 30 s, and returns once none is left. The folder stays
// for the next Start.
func (c *Cluster) Close() error {
	close(c.closing)
	var ending sync.WaitGroup
	faults := make([]error, len(c.nodes))
	for i, p := range c.nodes {
		ending.Go(func() {
			if err := p.end(); err != nil {
				faults[i] = fmt.Errorf("node %d of cell %d: %w", c.state.Nodes[i].Number, c.state.Nodes[i].Cell, err)
			}
		})
	}
	ending.Wait()
	c.following.Wait()
	for i := range c.state.Nodes {
		c.state.Nodes[i].PID = 0
	}
	var err error
	if len(c.nodes) > 0 {
		err = c.folder.write(&c.state)
	}
	return errors.Join(errors.Join(faults...), err, c.lock.release())
}

const (
	leadersWithin = time.Minute
	lookEvery     = 25 * time.Millisecond
)

// AwaitLeaders waits until every cell has a leader, and returns them by cell.
func (c *Cluster) AwaitLeaders(ctx context.Context) (map[uint64]Node, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, leadersWithin, fmt.Errorf("not within %v", leadersWithin))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		leaders := map[uint64]Node{}
		for _, n := range c.state.Nodes {
			if leads(ctx, n.Address) {
				leaders[n.Cell] = n
			}
		}
		if len(leaders) == c.state.Cells {
			return leaders, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %d cells to be led, of which %d are: %w", c.state.Cells, len(leaders), context.Cause(ctx))
		}
	}
}

func leads(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/leader", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}
