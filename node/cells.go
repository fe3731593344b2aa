package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/router"
)

// Cells makes this node's cell one of several that share the accounts of a ledger. Their journals, and the map that
// says which cell has which accounts, are in one database.
type Cells struct {
	// SecretFile has what the nodes of all cells know each other by: 32 random bytes or more, readable by nobody else.
	// Empty: the ledger has one cell.
	SecretFile string `yaml:"secret_file"`
}

const (
	minSecret, maxSecret = 32, 4096
	// mapEvery is how often a node looks for a new version of the map.
	mapEvery = time.Second
)

func (c *Config) checkCells(fault func(format string, args ...any)) {
	if c.Cells.SecretFile != "" && !c.Store.Shared() {
		fault("cells: are for a ledger whose journals are in a database: set store.dsn, too")
	}
}

// readSecret reads what the nodes of all cells know each other by.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read cells.secret_file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read cells.secret_file: %w", err)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 {
		return nil, fmt.Errorf("%w: cells.secret_file: others than its owner may use %s (mode %04o): chmod 600 it", ErrConfig, path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("read cells.secret_file: %w", err)
	}
	if b = bytes.TrimSpace(b); len(b) < minSecret || len(b) > maxSecret {
		return nil, fmt.Errorf("%w: cells.secret_file: %s has %d bytes: want %d random ones or more, such as of `openssl rand -hex 32`", ErrConfig, path, len(b), minSecret)
	}
	return b, nil
}

// cells is this node's part in a ledger of several cells.
type cells struct {
	*atlas
	secret []byte
}

// openCells reads what the node has to know of the other cells, where there are any.
func (n *Node) openCells(ctx context.Context) error {
	if n.config.Cells.SecretFile == "" {
		return nil
	}
	secret, err := readSecret(n.config.Cells.SecretFile)
	if err != nil {
		return err
	}
	a, err := openAtlas(ctx, n.shared, uint64(n.config.Cell), n.clock, n.logger)
	if err != nil {
		return err
	}
	n.cells = &cells{atlas: a, secret: secret}
	if own := a.Map().Cell(uint64(n.config.Cell)); !slices.Contains(own.Nodes, n.advertised()) {
		n.logger.Warn("the map of cells does not have this node, which other cells then don't reach", "node", n.advertised(), "cell", own.ID, "nodes", own.Nodes)
	}
	return nil
}

func (c *cells) close() {
	if c != nil {
		c.atlas.close()
	}
}

// atlas is the map of cells as this node knows it.
type atlas struct {
	maps    router.Maps
	cell    uint64
	logger  *slog.Logger
	clock   clock.Clock
	current atomic.Pointer[router.Map]
	stop    context.CancelFunc
	running sync.WaitGroup
}

// openAtlas reads the map and follows it until close.
func openAtlas(ctx context.Context, maps router.Maps, cell uint64, c clock.Clock, logger *slog.Logger) (*atlas, error) {
	a := &atlas{maps: maps, cell: cell, logger: logger, clock: c}
	m, err := a.load(ctx)
	if err != nil {
		return nil, err
	}
	a.current.Store(m)
	ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	a.running.Go(func() { a.follow(ctx) })
	return a, nil
}

// load reads the newest version, which must know this node's cell.
func (a *atlas) load(ctx context.Context) (*router.Map, error) {
	version, raw, err := a.maps.Load(ctx)
	if err != nil {
		return nil, err
	}
	if version == 0 {
		return nil, fmt.Errorf("%w: cells: the database has no map of cells yet: make one with `sterling cell define`", ErrConfig)
	}
	if known := a.current.Load(); known != nil && known.Version == version {
		return known, nil
	}
	m, err := router.DecodeMap(version, raw)
	if err != nil {
		return nil, err
	}
	if m.Cell(a.cell) == nil {
		return nil, fmt.Errorf("%w: cells: version %d of the map does not have this node's cell %d", ErrConfig, version, a.cell)
	}
	return m, nil
}

// follow takes over new versions. One that can't be read or used is no reason to forget the last one.
func (a *atlas) follow(ctx context.Context) {
	told := ""
	for clock.Sleep(ctx, a.clock, mapEvery) == nil {
		m, err := a.load(ctx)
		switch known := a.current.Load(); {
		case err == nil && m.Version < known.Version:
			err = fmt.Errorf("its newest version was %d and is %d now", known.Version, m.Version)
			fallthrough
		case err != nil:
			if text := err.Error(); text != told && ctx.Err() == nil {
				told = text
				a.logger.Warn("the map of cells is not followed; the last version holds", "version", known.Version, "error", err)
			}
		case m != known:
			told = ""
			a.current.Store(m)
			a.logger.Info("a new version of the map of cells", "version", m.Version)
		default:
			told = ""
		}
	}
}

// Map returns the newest version that this node knows.
func (a *atlas) Map() *router.Map { return a.current.Load() }

func (a *atlas) close() {
	a.stop()
	a.running.Wait()
}

// Maps is the map of cells in a database, for who writes it. The caller closes it.
type Maps interface {
	router.Maps
	Close() error
}

// OpenMaps opens the map of cells in the database of a DSN, or of file:PATH, a file with one. A database that is not fit
// to hold money gets none.
func OpenMaps(ctx context.Context, dsn string, logger *slog.Logger) (Maps, error) {
	dsn, err := ReadDSN(dsn)
	if err != nil {
		return nil, err
	}
	open := engineOf(dsn)
	if open == nil {
		return nil, fmt.Errorf("%w: want postgres://… or mysql://…", ErrConfig)
	}
	if err := checkURL(dsn); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	maps, err := open(ctx, dsn, 1, logger) // a map is every cell's
	if err != nil {
		if maps != nil {
			err = errors.Join(err, maps.Close())
		}
		return nil, err
	}
	return maps, nil
}

// ReadDSN returns a DSN, or what the file of file:PATH has.
func ReadDSN(dsn string) (string, error) {
	path, isFile := strings.CutPrefix(dsn, "file:")
	if !isFile {
		return dsn, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the database's address: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
