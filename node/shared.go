package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/store/mysql"
	"github.com/sterlingrun/sterling/store/postgres"
)

// Store is where the journal is, where it is not in the data folder: in a database that several nodes reach. One of
// them leads; the others follow, and take over.
type Store struct {
	// DSN names the database: postgres://… or mysql://…; empty: the journal is in the data folder.
	DSN string `yaml:"dsn"`
	// DSNFile is a file with the DSN, so that its password is in no configuration and no list of processes.
	DSNFile string `yaml:"dsn_file"`
	// Advertise is where clients reach this node's API, host:port; empty: as it listens.
	Advertise string `yaml:"advertise"`
	// Lease is after how long without a word of the leader another node takes over.
	Lease time.Duration `yaml:"lease"`
}

const (
	defaultLease = 2 * time.Second
	// sharedMoments is how often the watch asks the ledger for a moment: each is a block in the database.
	sharedMoments = time.Second
	// journalFile names the journal that a node's snapshots, ids and index are of.
	journalFile = "JOURNAL"
)

// Shared tells whether the journal is in a database.
func (s *Store) Shared() bool { return s.DSN != "" || s.DSNFile != "" }

func (c *Config) checkStore(fault func(format string, args ...any)) {
	s := &c.Store
	if !s.Shared() {
		if s.Advertise != "" {
			fault("store.advertise: is for nodes that share a journal: set store.dsn, too")
		}
		return
	}
	if s.DSN != "" && s.DSNFile != "" {
		fault("store: want dsn or dsn_file, not both")
	}
	if s.DSN != "" && !knownEngine(s.DSN) {
		fault("store.dsn: want postgres://… or mysql://…") // never the text: it may hold a password
	}
	if _, _, err := net.SplitHostPort(s.Advertise); s.Advertise != "" && err != nil {
		fault("store.advertise: want host:port, not %q", s.Advertise)
	}
	if s.Lease < 200*time.Millisecond || s.Lease > time.Minute {
		fault("store.lease: want 200ms to 1m, not %v", s.Lease)
	}
	if c.Archive.Dir != "" {
		fault("archive: is of a journal in the data folder, not of store.dsn")
	}
}

// sharedLog is a journal in a database.
type sharedLog interface {
	cell.Log
	cell.Leases
	router.Maps
	documents
	ledgerDocuments
	Close() error
}

// fitness is what a look at an engine's settings found.
type fitness struct {
	unfit    error // nil: it may hold money
	engine   string
	failover bool // a commit waits for a second copy
}

// fitLog is a journal in a database that can tell whether it may hold money.
type fitLog interface {
	sharedLog
	fitness(ctx context.Context) (fitness, error)
}

type postgresLog struct{ *postgres.Store }

func (l postgresLog) fitness(ctx context.Context) (fitness, error) {
	r, err := l.Check(ctx)
	return fitness{r.Err(), r.Engine, r.Failover}, err
}

type mysqlLog struct{ *mysql.Store }

func (l mysqlLog) fitness(ctx context.Context) (fitness, error) {
	r, err := l.Check(ctx)
	return fitness{r.Err(), r.Engine, r.Failover}, err
}

// errDSNScheme is a DSN of no engine that is known. It never has the text: that may hold a password.
var errDSNScheme = fmt.Errorf("%w: store.dsn: want postgres://… or mysql://…", ErrConfig)

func knownEngine(dsn string) bool {
	scheme, _, _ := strings.Cut(dsn, "://")
	return slices.Contains([]string{"postgres", "postgresql", "mysql", "mariadb"}, scheme)
}

// openLog opens a cell's journal in the database of a DSN.
func openLog(ctx context.Context, dsn string, number uint32, logger *slog.Logger) (fitLog, error) {
	if !knownEngine(dsn) {
		return nil, errDSNScheme
	}
	if err := checkURL(dsn); err != nil {
		return nil, fmt.Errorf("%w: store.dsn: %w", ErrConfig, err)
	}
	if strings.HasPrefix(dsn, "postgres") {
		s, err := postgres.Open(ctx, postgres.Options{DSN: dsn, Cell: uint64(number), Logger: logger})
		if err != nil {
			return nil, err
		}
		return postgresLog{s}, nil
	}
	_, rest, _ := strings.Cut(dsn, "://")
	s, err := mysql.Open(ctx, mysql.Options{DSN: "mysql://" + rest, Cell: uint64(number), Logger: logger})
	if err != nil {
		return nil, err
	}
	return mysqlLog{s}, nil
}

// ReadDSN returns the DSN, out of its file where it is in one.
func (s *Store) ReadDSN() (string, error) {
	if s.DSNFile == "" {
		return s.DSN, nil
	}
	b, err := os.ReadFile(s.DSNFile)
	if err != nil {
		return "", fmt.Errorf("read store.dsn_file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// checkEngine looks at an engine's settings: one that is not fit to hold money gets none.
func (n *Node) checkEngine(ctx context.Context, log fitLog) error {
	f, err := log.fitness(ctx)
	switch {
	case err != nil:
		return err
	case f.unfit != nil:
		return fmt.Errorf("the database is not fit to hold money: %w", f.unfit)
	case !f.failover:
		n.logger.Warn("the database has no second copy that a commit waits for: nodes of this ledger may fail, the database may not", "engine", f.engine)
	}
	return nil
}

// openShared opens the journal in the database, and what this node keeps beside it.
func (n *Node) openShared(ctx context.Context) error {
	dsn, err := n.config.Store.ReadDSN()
	if err != nil {
		return err
	}
	if n.state, err = local.OpenState(n.config.Data, local.Options{Cell: uint64(n.config.Cell)}); err != nil {
		return err
	}
	log, err := openLog(ctx, dsn, n.config.Cell, n.logger)
	if err != nil {
		return err
	}
	n.shared, n.journal = log, log // to be closed, whatever is found
	if err := n.checkEngine(ctx, log); err != nil {
		return err
	}
	if err := n.checkIdentity(ctx); err != nil {
		return err
	}
	return n.openCells(ctx)
}

// checkIdentity refuses to use what a folder has of one journal with another one. The first block names a journal.
func (n *Node) checkIdentity(ctx context.Context) error {
	path := filepath.Join(n.config.Data, journalFile)
	kept, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read which journal the folder is of: %w", err)
	}
	first, err := n.firstBlock(ctx)
	if err != nil {
		return err
	}
	known := strings.TrimSpace(string(kept))
	switch {
	case first == "" && known == "":
		return nil // the first block will name it, see identify
	case known == "":
		if err := durable.WriteFile(path, []byte(first+"\n")); err != nil {
			return err
		}
	case known != first:
		return fmt.Errorf("%w: the folder %s is of the journal that begins with block %s, the database's begins with %s: use the folder's own database, or an empty folder",
			cell.ErrDamaged, n.config.Data, known, orNothing(first))
	}
	n.identified = true
	return nil
}

// identify names the folder's journal as soon as it has a first block. The member calls it, from one goroutine at a time.
func (n *Node) identify(ctx context.Context) error {
	if n.identified {
		return nil
	}
	return n.checkIdentity(ctx)
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func (n *Node) firstBlock(ctx context.Context) (string, error) {
	var b [journal.HeaderSize]byte
	err := n.journal.ReadAt(ctx, 1, b[:], 0)
	if errors.Is(err, cell.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the journal's first block: %w", err)
	}
	h, err := journal.DecodeHeader(b[:])
	if err != nil {
		return "", fmt.Errorf("read the journal's first block: %w", err)
	}
	hash := h.Hash()
	return hex.EncodeToString(hash[:]), nil
}

// joinCell begins to follow the journal, and to lead when it is this node's turn.
func (n *Node) joinCell(ctx context.Context, o cell.Options) error {
	o.Snapshots, o.IDs = n.state.Snapshots(), n.state.IDs()
	o.Alloc = nil // a node that stood down builds its state anew: its memory must come back
	member, err := cell.Join(ctx, cell.MemberOptions{
		Options: o, Leases: n.shared, Address: n.advertised(), TTL: n.config.Store.Lease,
		NewIncarnation: func() (b [16]byte) {
			if _, err := rand.Read(b[:]); err != nil {
				n.fail(fmt.Errorf("read random numbers: %w", err))
			}
			return b
		},
		Leading: n.leading, Failed: n.fail,
		Standing: n.standDown, Followed: n.followed,
	})
	if err != nil {
		return err
	}
	n.cell, n.member = member, member
	return nil
}

// advertised is where clients reach this node.
func (n *Node) advertised() string {
	if n.config.Store.Advertise != "" {
		return n.config.Store.Advertise
	}
	return n.Address()
}

// leading makes this node ready to answer calls: rights of tokens are in the journal.
func (n *Node) leading(ctx context.Context, c *cell.Cell) error {
	select {
	case <-n.opened:
	case <-ctx.Done():
		return ctx.Err()
	}
	n.nameFolder() // before there is a second block
	if err := n.readPrincipals(ctx, c.Read); err != nil {
		return err
	}
	if err := n.cells.lead(ctx, c); err != nil {
		return err
	}
	n.sinks.Serve()
	return nil
}

// standDown is called when this node leads no more.
func (n *Node) standDown() {
	select {
	case <-n.opened:
		n.sinks.Pause()
	default: // it did not lead yet
	}
	n.cells.standDown()
	n.rights.changed.Store(true)
}

// readPrincipals takes over the rights that the journal gives to tokens.
func (n *Node) readPrincipals(ctx context.Context, read func(context.Context, func(*ledger.State)) error) error {
	var principals []ledger.Principal
	if err := read(ctx, func(s *ledger.State) { principals = s.Principals() }); err != nil {
		return err
	}
	if err := n.access.setPrincipals(principals); err != nil {
		return fmt.Errorf("the journal's rights of tokens: %w", err)
	}
	return nil
}

// leads is what the API asks before each call.
func (n *Node) leads() error {
	_, err := n.member.Leader()
	return err
}

// standing adds a node's part in its cell to its status.
func (n *Node) standing(s *api.NodeStatus) {
	if n.member == nil {
		return
	}
	m := n.member.Membership()
	s.Shared, s.Leads, s.Leader, s.Takeovers, s.StoodDown = true, m.Leads, m.Leader, m.Takeovers, m.StoodDown
}

// leaderz answers whether this node leads: what a load balancer asks.
func (n *Node) leaderz(w http.ResponseWriter, _ *http.Request) {
	if n.member != nil {
		if err := n.leads(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = fmt.Fprintln(w, "leads")
}
