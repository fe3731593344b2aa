package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/speaker"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/monitor"
	"github.com/sterlingrun/sterling/monitor/alert"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/store/local"
)

const indexDir = "index"

// Node is a running Sterling on one machine.
type Node struct {
	config   Config
	logger   *slog.Logger
	clock    clock.Clock
	registry *prometheus.Registry
	memory   arena

	listener   net.Listener
	index      *index.Live
	store      *local.Store // nil: the journal is in a database
	journal    cell.Log     // the store, or the one in the database
	shared     sharedLog    // nil: the journal is in the data folder, like the next two
	state      *local.State
	member     *cell.Member
	cells      *cells // nil: the ledger has one cell
	cell       ledgerCell
	opened     chan struct{}          // closed when calls could be answered
	identified bool                   // the folder has the name of its journal
	rights     rights                 // of tokens, as this node has followed them
	tables     atomic.Pointer[tables] // nil: there is no read model
	told       uint64                 // last block that onBlock was told of
	keys       *keystore.Store
	copies     []keyTarget // of the keys, in backups
	feed       *feed.Feed
	sinks      *feed.Runners
	sandboxes  *sandboxes
	watch      atomic.Pointer[monitor.Monitor] // nil: it does not run
	injector   *injector                       // nil: this is no demonstration
	speakers   *speaker.Store                  // nil: nobody speaks for a source
	// watchMetrics are there while the watch is enabled, even if it does not run.
	watchMetrics *watchMetrics
	watchFault   error         // why it could not be started; nil: it was, or is disabled
	alerts       *alert.Sender // nil: nobody is told
	// sinkOptions are sinks that are not started yet.
	sinkOptions []feed.SinkOptions
	access      access
	server      *api.Server
	serving     chan error
	debug       *debugServer // nil: none
	jobs        *jobs        // nil: not yet
	audit       *auditor     // nil: not yet
	mesh        *MeshControl // nil: none
	services    *Supervised  // nil: none

	fatal chan error // a fault after which the process must end
	once  sync.Once
}

// Start opens the data folder, recovers, and serves. Progress (may be nil) is told how far recovery is. The caller
// waits for Fatal and ends with Stop.
func Start(ctx context.Context, config Config, logger *slog.Logger, progress func(seq, head uint64)) (*Node, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	n := &Node{config: config, logger: logger, clock: clock.NewSystem(), registry: prometheus.NewRegistry(), fatal: make(chan error, 1), opened: make(chan struct{})}
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{
		n.openSinks, n.listen, n.startDebug, n.openFolder, n.openKeys,
		func(ctx context.Context) error { return n.openCell(ctx, progress) },
		n.applyErasures,
		n.startWatch,
		n.startAudit,
		n.startReadModel,
		n.startMesh,
		n.startServices,
		n.serve,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.release())
		}
	}
	return n, nil
}

// listen takes the port first: it is what most often can't be had.
func (n *Node) listen(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.config.Listen)
	if err != nil {
		return fmt.Errorf("%w; is another Sterling running? choose another address with --listen", err)
	}
	n.listener = l
	return nil
}

// ledgerCell is the cell as the rest of the node uses it: one that is this node's alone, or one that it may lead.
type ledgerCell interface {
	api.Cell
	monitor.Ledger
	BlockTransfers(ctx context.Context, seq uint64) ([]ledger.Transfer, error)
	Transfer(ctx context.Context, p journal.Position) (ledger.Transfer, error)
	ID() uint64
	Stats() cell.Stats
	AcceptClock()
	Err() error
	Close() error
}

func (n *Node) openFolder(ctx context.Context) error {
	if err := os.MkdirAll(n.config.Data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	var err error
	if n.index, err = index.OpenLive(filepath.Join(n.config.Data, indexDir), index.Options{Logger: n.logger}); err != nil {
		return err
	}
	if n.config.Store.Shared() {
		err = n.openShared(ctx)
	} else {
		err = n.openLocal()
	}
	if err != nil {
		return err
	}
	n.index.Start(n.journal)
	created, err := auth.Bootstrap(n.config.Data, time.Unix(0, int64(n.clock.Wall())), rand.Reader) //nolint:gosec // until 2262
	if created {
		n.logger.Info("first start: the admin token was written", "file", filepath.Join(n.config.Data, auth.AdminFile))
	}
	return err
}

func (n *Node) openLocal() (err error) {
	n.store, err = local.Open(n.config.Data, local.Options{
		Cell: uint64(n.config.Cell), Floor: n.index.Durable(), VerifyFrom: n.index.Durable() + 1,
		Archive: n.config.Archive.Dir, SegmentSize: n.config.SegmentBytes,
	})
	if err != nil {
		return err
	}
	n.journal = n.store
	if r := n.store.Recovery(); r.Cut {
		n.logger.Warn("an append had been interrupted; what it had written was never acknowledged and is cut off", "file", r.File, "offset", r.Offset, "sectors", r.Sectors)
	}
	return nil
}

func (n *Node) openCell(ctx context.Context, progress func(seq, head uint64)) error {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("read random numbers: %w", err)
	}
	n.feed = feed.New(feed.Options{Cell: uint64(n.config.Cell), Log: n.journal, Clock: n.clock})
	o := cell.Options{
		ID: uint64(n.config.Cell), Log: n.journal, Follower: n.index, Clock: n.clock, Logger: n.logger,
		Incarnation: [16]byte(random[:16]),
		HashKey:     [2]uint64{binary.LittleEndian.Uint64(random[16:]), binary.LittleEndian.Uint64(random[24:])},
		// Deciding a full request takes milliseconds. With few processors, whoever asks for a balance meanwhile would
		// otherwise wait until the runtime takes the processor away, which it does after 10 ms.
		Yield: runtime.Gosched,
		Alloc: n.memory.alloc, SnapshotEvents: n.config.SnapshotEvents, QueueLimit: n.config.QueueEvents,
		Progress: progress, Fatal: n.fail, OnBlock: n.onBlock,
		AfterSnapshot: debug.FreeOSMemory, // a snapshot under load sets records aside: up to a copy of all accounts
	}
	var err error
	if n.shared != nil {
		err = n.joinCell(ctx, o)
	} else {
		err = n.openOwnCell(ctx, o)
	}
	if err != nil {
		return err
	}
	return n.startFeed()
}

// openOwnCell opens a cell whose journal is in the data folder: nobody else can lead it.
func (n *Node) openOwnCell(ctx context.Context, o cell.Options) error {
	o.Snapshots, o.IDs = n.store.Snapshots(), n.store.IDs()
	c, err := cell.Open(ctx, o)
	if err != nil {
		return err
	}
	n.cell = c
	return nil
}

func (n *Node) serve(ctx context.Context) error {
	if err := n.openAccess(); err != nil {
		return err
	}
	n.registry.MustRegister(newCollector(n), newSinkCollector(n.sinks))
	if n.cells != nil {
		n.registry.MustRegister(router.NewCollector(n.cells.driver))
		n.registry.MustRegister(n.cells.mover.Collectors()...)
	}
	n.jobs = newJobs(n)
	config := api.Config{
		CellNumber: uint64(n.config.Cell), Cell: n.cell, Queries: n.index.Queries(n.cell), Progress: n.index, Node: operations{n}, Operations: n.jobs, Signer: n.audit.key,
		Audit: api.Audit{Log: n.audit, Blocks: n.journal, Heads: n.audit, Public: n.config.Audit.Public},
		Feed:  n.feed, Sinks: n.sinks,
		Clock: n.clock, Limits: api.DefaultLimits(), Logger: n.logger, Registry: n.registry,
		Handlers: map[string]http.Handler{
			"/healthz": http.HandlerFunc(n.healthz), "/readyz": http.HandlerFunc(n.readyz),
			"/leader":  http.HandlerFunc(n.leaderz),
			"/metrics": promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}),
		},
	}
	if n.keys != nil {
		config.Keys, config.Subjects = n.keys, subjects{n.keys, n.copies}
	}
	if n.member != nil {
		config.Leads = n.leads
	}
	config.Cells = n.cells.api()
	n.installWatch(&config)
	n.showSandboxes(&config)
	n.access.install(&config)
	if err := addConsole(&config); err != nil {
		return err
	}
	if n.member == nil {
		if err := n.readPrincipals(ctx, n.cell.Read); err != nil {
			return err
		}
	}
	var err error
	if n.server, err = api.New(config); err != nil {
		return err
	}
	if err := n.takeRights(n.opened); err != nil {
		return err
	}
	n.serving = make(chan error, 1)
	listener := n.listener // Stop may come first, and forget it
	go func() {
		err := n.server.Serve(listener)
		if err != nil {
			n.fail(err)
		}
		n.serving <- err
	}()
	return nil
}

// Address is where the API listens.
func (n *Node) Address() string { return n.listener.Addr().String() }

// Fatal delivers a fault after which nothing more can be acknowledged: the process should stop the node and end.
func (n *Node) Fatal() <-chan error { return n.fatal }

func (n *Node) fail(err error) { n.once.Do(func() { n.fatal <- err }) }

// Stop answers the calls in flight, as long as ctx allows, and closes everything in order. A node that leads a cell of
// several hands it over first, while it still tells its callers who leads.
func (n *Node) Stop(ctx context.Context) error {
	if n.member != nil {
		if err := n.member.Drain(ctx); err != nil && !errors.Is(err, cell.ErrNotLeader) {
			n.logger.Warn("the cell was not handed over; another node takes over when the lease is over", "error", err)
		}
	}
	err := n.server.Shutdown(ctx)
	n.listener = nil // closed by the server
	err = errors.Join(err, <-n.serving, n.stopFeed(), n.stopAudit(ctx))
	n.stopWatch()
	n.stopReadModel()
	return errors.Join(err, n.settle(ctx), n.release())
}

// settle ends the cell and makes the index durable as far as the journal is: the next start then knows what has to be
// in the journal, and notices if it has lost its end.
func (n *Node) settle(ctx context.Context) error {
	err := n.cell.Close()
	if flushErr := n.index.Flush(ctx); flushErr != nil {
		n.logger.Warn("the index is not durable to its end; the next start reads that from the journal", "error", flushErr)
	}
	return err
}

// release closes what was opened, last first.
func (n *Node) release() error {
	errs := []error{n.services.Close()}
	n.mesh.Close()
	n.sandboxes.close()
	errs = append(errs, n.access.close(), n.stopAudit(context.Background()))
	if n.debug != nil {
		errs = append(errs, n.debug.close())
	}
	if n.jobs != nil {
		n.jobs.close()
	}
	n.stopWatch()
	n.stopReadModel()
	if n.cell != nil {
		errs = append(errs, n.cell.Close())
	}
	if n.keys != nil {
		errs = append(errs, n.keys.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	errs = append(errs, n.cells.close())
	if n.shared != nil {
		errs = append(errs, n.shared.Close())
	}
	if n.state != nil {
		errs = append(errs, n.state.Close())
	}
	if n.index != nil {
		errs = append(errs, n.index.Close())
	}
	if n.listener != nil {
		errs = append(errs, n.listener.Close())
	}
	return errors.Join(errs...)
}
