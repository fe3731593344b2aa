package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/router/mover"
)

// Cells makes this node's cell one of several that share the accounts of a ledger. Their journals, and the map that
// says which cell has which accounts, are in one database.
type Cells struct {
	// SecretFile has what the nodes of all cells know each other by: 32 random bytes or more, readable by nobody else.
	// Empty: the ledger has one cell.
	SecretFile string `yaml:"secret_file"`
	// Mesh has the nodes' identities come from the mesh, with mesh.state or mesh.control; false: the cells have an authority
	// of their own. It is the same for all nodes.
	Mesh bool `yaml:"mesh"`
	// Upgrading lets nodes of a release in that did not know each other by certificates, and calls them as that did.
	Upgrading bool `yaml:"upgrading"`
	// CA is a file of those who may sign the tls of such nodes; empty: the system's.
	CA string `yaml:"ca"`
}

// mapEvery is how often a node looks for a new version of the map.
const mapEvery = time.Second

func (c *Config) checkCells(fault func(format string, args ...any)) {
	switch {
	case c.Cells.SecretFile != "" && !c.Store.Shared():
		fault("cells: are for a ledger whose journals are in a database: set store.dsn, too")
	case (c.Cells.Upgrading || c.Cells.Mesh) && c.Cells.SecretFile == "":
		fault("cells: mesh and upgrading are for nodes with cells.secret_file")
	case c.Cells.Mesh && c.Mesh.State == "" && c.Mesh.Control == "":
		fault("cells.mesh: want mesh.control, or mesh.state for a control plane in this process")
	case c.Mesh.Control != "" && !c.Cells.Mesh:
		fault("mesh.control: is for cells.mesh")
	case c.Cells.CA != "" && (!c.Cells.Upgrading || c.TLS == nil):
		fault("cells.ca: is for cells.upgrading and tls: nodes have certificates of their own now, so leave it out otherwise")
	}
}

// cells is this node's part in a ledger of several cells; nil: there is one.
type cells struct {
	*atlas
	token string
	peers *peers
	// upgrading: not all nodes have certificates yet.
	upgrading bool
	router    *router.Router
	network   *router.Network
	driver    *router.Driver
	mover     *mover.Runner
}

// openCells reads what the node has to know of the other cells, where there are any.
func (n *Node) openCells(ctx context.Context) error {
	if n.config.Cells.SecretFile == "" {
		return nil
	}
	token, err := router.ReadSecret(n.config.Cells.SecretFile)
	if err != nil {
		return fmt.Errorf("%w: cells.secret_file: %w", ErrConfig, err)
	}
	id := uint64(n.config.Cell)
	c := &cells{token: token, upgrading: n.config.Cells.Upgrading}
	c.atlas = &atlas{maps: n.shared, cell: id, clock: n.clock, logger: n.logger, use: func(m *router.Map) error {
		err := c.network.Use(m)
		if err == nil {
			c.router.SetMap(m)
		}
		return err
	}}
	m, err := c.load(ctx)
	if err != nil {
		return err
	}
	if own := m.Cell(id); !slices.Contains(own.Nodes, n.advertised()) {
		n.logger.Warn("the map of cells does not have this node, which other cells then don't reach", "node", n.advertised(), "cell", id, "nodes", own.Nodes)
	}
	if c.peers, err = n.openPeers(ctx, token); err != nil {
		return err
	}
	c.network = router.NewNetwork(id, token, func(to uint64) []client.Option { return n.dialPeers(c.peers.clientTLS(to)) })
	c.driver = router.NewDriver(router.Options{
		Cell: id, Peers: c.network, Owner: func(a money.U128) uint64 { return c.router.Home(a) },
		Refresh: func(ctx context.Context) error { return c.refresh(ctx, 0) }, Clock: n.clock, Random: rand.Reader, Logger: n.logger,
	})
	c.router = router.NewRouter(id, m)
	if err := c.network.Use(m); err != nil {
		c.peers.close()
		return errors.Join(err, c.network.Close())
	}
	c.start(m)
	c.mover = mover.New(mover.Options{
		Cell: id, Peers: c.network, Maps: n.shared, Switched: c.newMap, Left: c.driver.Rescan, Clock: n.clock, Random: rand.Reader, Logger: n.logger,
	})
	n.cells = c
	return nil
}

// api is what the API needs of the other cells; nil: there are none.
func (c *cells) api() *api.Cells {
	if c == nil {
		return nil
	}
	return &api.Cells{Router: c.router, Driver: c.driver, Network: c.network, Refresh: c.refresh, Mover: c.mover, Token: c.token, Peers: c.peers, Unproven: c.upgrading}
}

// lead takes over what transfers to other cells, and what buckets that move, the leader before left open.
func (c *cells) lead(ctx context.Context, led *cell.Cell) error {
	if c == nil {
		return nil
	}
	if err := c.driver.Lead(ctx, led); err != nil {
		return err
	}
	return c.mover.Lead(ctx, led)
}

func (c *cells) standDown() {
	if c != nil {
		c.mover.Stand()
		c.driver.Stand()
	}
}

func (c *cells) close() error {
	if c == nil {
		return nil
	}
	c.standDown()
	c.atlas.close()
	c.peers.close()
	return c.network.Close()
}

// atlas follows the map of cells.
type atlas struct {
	maps    router.Maps
	cell    uint64
	logger  *slog.Logger
	clock   clock.Clock
	use     func(m *router.Map) error // called with each new version
	mu      sync.Mutex                // held while the store is asked: whoever waits for it is answered, too
	current *router.Map
	looked  uint64 // clock.Mono: when the store was asked last
	stop    context.CancelFunc
	running sync.WaitGroup
}

// start follows the map from a version on, until close.
func (a *atlas) start(m *router.Map) {
	a.current = m
	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	a.running.Go(func() { a.follow(ctx) })
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
	if a.current != nil && a.current.Version == version {
		return a.current, nil
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
		switch err := a.refresh(ctx, math.MaxUint64); {
		case err == nil:
			told = ""
		case err.Error() != told && ctx.Err() == nil:
			told = err.Error()
			a.logger.Warn("the map of cells is not followed; the last version holds", "error", err)
		}
	}
}

// lookPause is how long after the store was asked for the map it is not asked again, unless for a version that is newer.
const lookPause = 5 * time.Millisecond

// refresh takes over a new version, if there is one. It need not be looked for where the node knows this version, or, of
// version 0, where it has just looked.
func (a *atlas) refresh(ctx context.Context, version uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Mono()
	if version > 0 && a.current.Version >= version || version == 0 && now-a.looked < uint64(lookPause) {
		return nil
	}
	m, err := a.load(ctx)
	if err != nil {
		return err
	}
	a.looked = now
	return a.take(m)
}

// newMap takes over a version that this node has made.
func (a *atlas) newMap(m *router.Map) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if m.Version < a.current.Version {
		return
	}
	if err := a.take(m); err != nil {
		a.logger.Warn("the map of cells is not followed; the last version holds", "error", err)
	}
}

// take makes m the map. The caller holds mu.
func (a *atlas) take(m *router.Map) error {
	switch {
	case m.Version < a.current.Version:
		return fmt.Errorf("its newest version was %d and is %d now", a.current.Version, m.Version)
	case m.Version == a.current.Version:
		return nil
	}
	if err := a.use(m); err != nil {
		return err
	}
	a.current = m
	a.logger.Info("a new version of the map of cells", "version", m.Version)
	return nil
}

func (a *atlas) close() {
	a.stop()
	a.running.Wait()
}

// Maps is the map of cells in a database, for who writes it. The caller closes it.
type Maps interface {
	router.Maps
	Close() error
}

// OpenMaps opens the map of cells in a database. One that is not fit to hold money gets none.
func OpenMaps(ctx context.Context, store Store, logger *slog.Logger) (Maps, error) {
	dsn, err := store.ReadDSN()
	if err != nil {
		return nil, err
	}
	log, err := openLog(ctx, dsn, 1, logger) // a map is every cell's
	if err != nil {
		return nil, err
	}
	f, err := log.fitness(ctx)
	if err == nil && f.unfit != nil {
		err = fmt.Errorf("the database is not fit to hold money: %w", f.unfit)
	}
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}
