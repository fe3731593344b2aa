package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// Audit configures who may read the transparency log.
type Audit struct {
	// Public serves the log and its key to whoever reaches the port, without a token.
	Public bool `yaml:"public"`
}

const (
	stateEvery  = time.Second
	restate     = time.Minute      // without a change
	reopenAfter = 10 * time.Second // of a log that failed
	stateWithin = 15 * time.Second
	closeWithin = time.Second // a log that failed
)

// auditDir is where the log is, in the data folder.
func auditDir(data string) string { return filepath.Join(data, "audit", audit.LogDir) }

// auditor states every second what the ledger says about itself, and puts it into the transparency log. Whatever fails
// here is told and tried again; payments never wait for it.
type auditor struct {
	dir    string
	cell   uint64
	key    *audit.Key
	clock  clock.Clock
	logger *slog.Logger
	// statement is what is stated; Made is filled in.
	statement func(context.Context) (audit.Statement, error)
	// header reads the header of a block: the journal must be the one that was signed.
	header func(ctx context.Context, seq uint64) (journal.Header, error)

	stop    context.CancelFunc
	stopped chan struct{}

	heads chan headOrder

	mu       sync.RWMutex
	log      *audit.Log // nil: not open
	failure  string
	failures uint64
	reopen   uint64 // clock.Mono: not before
}

// startAudit begins to state.
func (n *Node) startAudit(context.Context) error {
	key, err := audit.OpenKey(n.config.Data)
	if err != nil {
		return err
	}
	a := &auditor{
		dir: auditDir(n.config.Data), cell: uint64(n.config.Cell), key: key, clock: n.clock, logger: n.logger,
		statement: n.statement, header: n.cell.Header, heads: make(chan headOrder), stopped: make(chan struct{}), failure: "it is being opened",
	}
	n.audit = a
	n.registry.MustRegister(a.collectors()...)
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	go func() {
		defer close(a.stopped)
		for ctx.Err() == nil {
			a.step(ctx)
			a.takeHeads(ctx, stateEvery) // the loop ends with the context
		}
	}()
	return nil
}

// stopAudit states a last time and ends the log. It may be called twice.
func (n *Node) stopAudit(ctx context.Context) error {
	a := n.audit
	if a == nil {
		return nil
	}
	n.audit = nil
	a.stop()
	<-a.stopped
	if log := a.open(); log != nil {
		a.step(ctx)
	}
	return a.closeLog(ctx)
}

func (a *auditor) open() *audit.Log {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.log
}

func (a *auditor) closeLog(ctx context.Context) error {
	a.mu.Lock()
	log := a.log
	a.log = nil
	a.mu.Unlock()
	if log == nil {
		return nil
	}
	return log.Close(ctx)
}

// step states once, if there is something to state.
func (a *auditor) step(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stateWithin)
	defer cancel()
	err := a.state(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return // stopping
	}
	a.tell(err)
	a.afterFault(ctx, err)
}

// afterFault closes a log that failed, to be opened anew.
func (a *auditor) afterFault(ctx context.Context, err error) {
	if errors.Is(err, audit.ErrLog) || errors.Is(err, audit.ErrDamaged) || errors.Is(err, audit.ErrUnpublished) {
		closing, cancel := context.WithTimeout(ctx, closeWithin)
		defer cancel()
		if err := a.closeLog(closing); err != nil {
			a.logger.Debug("close the transparency log after a fault", "error", err)
		}
		a.mu.Lock()
		a.reopen = a.clock.Mono() + uint64(reopenAfter)
		a.mu.Unlock()
	}
}

// tell logs a failure when it begins, changes and ends, and keeps it for the status.
func (a *auditor) tell(err error) {
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	a.mu.Lock()
	before := a.failure
	a.failure = failure
	if err != nil {
		a.failures++
	}
	a.mu.Unlock()
	switch {
	case failure == before:
	case errors.Is(err, errNothingYet): // at every start
		a.logger.Info("no checkpoint is signed yet", "because", err)
	case failure != "":
		a.logger.Error("no checkpoint is signed into the transparency log; payments go on, and it is tried again", "error", err)
	default:
		a.logger.Info("checkpoints are signed into the transparency log", "folder", a.dir, "entries", a.open().Published().Size)
	}
}

func (a *auditor) state(ctx context.Context) error {
	log, err := a.reach(ctx)
	if err != nil {
		return err
	}
	s, err := a.statement(ctx)
	if err != nil {
		return fmt.Errorf("what to state: %w", err)
	}
	s.Made = a.clock.Wall()
	last, stated := log.Last()
	if stated {
		s.Made = max(s.Made, last.Made) // a clock that was set back
		if s.Seq < last.Seq {
			return fmt.Errorf("the proof is through block %d, what is signed through block %d: it has to catch up", s.Seq, last.Seq)
		}
		if last.SameState(&s) && s.Made-last.Made < uint64(restate) {
			return nil
		}
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("it is not signed: %w", err)
	}
	_, err = log.Append(ctx, s)
	return err
}

// reach returns the log, and opens it where it is not open.
func (a *auditor) reach(ctx context.Context) (*audit.Log, error) {
	a.mu.RLock()
	log, failure, reopen := a.log, a.failure, a.reopen
	a.mu.RUnlock()
	if log != nil {
		return log, nil
	}
	if a.clock.Mono() < reopen {
		return nil, errors.New(failure)
	}
	log, err := audit.OpenLog(ctx, a.key, audit.LogOptions{Dir: a.dir, Cell: a.cell, Clock: a.clock})
	if err != nil {
		return nil, err
	}
	if err := a.checkJournal(ctx, log); err != nil {
		return nil, errors.Join(err, log.Close(ctx))
	}
	a.mu.Lock()
	a.log = log
	a.mu.Unlock()
	return log, nil
}

// checkJournal refuses to go on where the journal is not the one whose block was signed last.
func (a *auditor) checkJournal(ctx context.Context, log *audit.Log) error {
	last, stated := log.Last()
	if !stated || last.Seq == 0 {
		return nil
	}
	h, err := a.header(ctx, last.Seq)
	if err != nil {
		return fmt.Errorf("%w: block %d was signed, and can't be read now: %w", audit.ErrDamaged, last.Seq, err)
	}
	if h.Hash() != last.Hash {
		return fmt.Errorf("%w: block %d of the journal is %x, and was signed as %x: one of the two was replaced", audit.ErrDamaged, last.Seq, h.Hash(), last.Hash)
	}
	return nil
}

var errAuditClosed = fmt.Errorf("%w: it is not open", audit.ErrLog)

// Trusted implements api.AuditLog.
func (a *auditor) Trusted() audit.Trusted { return audit.Trusted{Key: a.key.Public(), Cell: a.cell} }

// Published implements api.AuditLog.
func (a *auditor) Published() (audit.Checkpoint, error) {
	if log := a.open(); log != nil {
		return log.Published(), nil
	}
	return audit.Checkpoint{}, errAuditClosed
}

// Entries implements api.AuditLog.
func (a *auditor) Entries(ctx context.Context, before uint64, limit int) ([]audit.Entry, error) {
	if log := a.open(); log != nil {
		return log.Entries(ctx, before, limit)
	}
	return nil, errAuditClosed
}

// File implements api.AuditLog.
func (a *auditor) File(ctx context.Context, path string) ([]byte, error) {
	if log := a.open(); log != nil {
		return log.File(ctx, path)
	}
	return nil, errAuditClosed
}

// Failure implements api.AuditLog.
func (a *auditor) Failure() string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.failure
}

// collectors are the auditor's metrics.
func (a *auditor) collectors() []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sterling_audit_" + name, Help: help}, value)
	}
	last := func() (s audit.Statement) {
		if log := a.open(); log != nil {
			s, _ = log.Last()
		}
		return s
	}
	return []prometheus.Collector{
		gauge("failing", "1 while no checkpoint is signed into the transparency log; payments go on.", func() float64 { return boolean(a.Failure() != "") }),
		gauge("entries", "Signed checkpoints in the transparency log; 0 while it is not open.", func() float64 {
			c, err := a.Published()
			if err != nil {
				return 0
			}
			return float64(c.Size)
		}),
		gauge("last_entry_seconds", "When the last checkpoint was signed, in seconds since 1970; 0 while the log is not open.", func() float64 { return float64(last().Made) / 1e9 }),
		gauge("last_entry_seq", "The block that the last signed checkpoint names.", func() float64 { return float64(last().Seq) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sterling_audit_failures_total", Help: "Checkpoints that could not be signed into the transparency log, since the start."}, func() float64 {
			a.mu.RLock()
			defer a.mu.RUnlock()
			return float64(a.failures)
		}),
	}
}

var errNothingYet = errors.New("the watch has recomputed no block yet")

// statement is what watch states, by its own count, of the last block that it has recomputed. Without a watch it is the
// journal's head alone: the chain is still signed, and no sum is claimed that nobody has checked.
func (n *Node) statement(ctx context.Context) (audit.Statement, error) {
	m := n.watch.Load()
	if m == nil {
		return n.headStatement(ctx)
	}
	w := m.Statement()
	if w.Seq == 0 {
		return audit.Statement{}, errNothingYet
	}
	assets := n.cell.Assets()
	return statedByWatch(&w, func(number uint32) string {
		asset, ok := assets.Asset(number)
		if !ok {
			return ""
		}
		return asset.String()
	})
}

func (n *Node) headStatement(ctx context.Context) (audit.Statement, error) {
	h, err := n.cell.Header(ctx, n.cell.Head())
	if err != nil {
		return audit.Statement{}, err
	}
	return audit.Statement{Cell: h.Cell, Seq: h.Seq, Hash: h.Hash(), Time: h.Time}, nil
}
