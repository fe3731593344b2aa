package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/backup"
)

// keptJobs is how many operations are remembered.
const keptJobs = 100

// Kinds of an operation.
const (
	kindBackup  = "backup"
	kindArchive = "archive"
)

// jobs runs the node's operations, one at a time. It implements api.Operations.
type jobs struct {
	n       *Node
	ctx     context.Context // ends with the node
	stop    context.CancelFunc
	running sync.WaitGroup
	counts  *prometheus.CounterVec // of operations that ended
	success *prometheus.GaugeVec   // when the last backup of each target was well

	mu      sync.Mutex
	count   int
	list    []*job // oldest first
	current *job   // nil: none runs
}

type job struct {
	api.Operation
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
}

func newJobs(n *Node) *jobs {
	j := &jobs{
		n: n,
		counts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sterling_operations_total", Help: "Operations that ended, by kind, target and how they ended.",
		}, []string{"kind", "target", "state"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "sterling_backup_success_timestamp_seconds", Help: "When the last backup that went well began, since 1970.",
		}, []string{"target"}),
	}
	n.registry.MustRegister(j.counts, j.success)
	j.ctx, j.stop = context.WithCancel(context.Background())
	if n.config.Backup != nil && n.config.Backup.Every > 0 {
		j.running.Go(func() { j.schedule(j.ctx) })
	}
	return j
}

// close ends what runs, and waits for it.
func (j *jobs) close() {
	j.stop()
	j.mu.Lock()
	current := j.current
	j.mu.Unlock()
	if current != nil {
		<-current.ended
	}
	j.running.Wait()
}

// start begins an operation; work fills in what it did.
func (j *jobs) start(kind, target, by string, work func(ctx context.Context, o *job) error) (*job, api.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ctx.Err() != nil {
		return nil, api.Operation{}, fmt.Errorf("%w: the node stops", api.ErrBusy)
	}
	if c := j.current; c != nil {
		return nil, api.Operation{}, fmt.Errorf("%w: %s %s to %s; one runs at a time", api.ErrBusy, c.Kind, c.ID, c.Target)
	}
	j.count++
	ctx, cancel := context.WithCancel(j.ctx)
	o := &job{cancel: cancel, ended: make(chan struct{}), Operation: api.Operation{
		ID: strconv.Itoa(j.count), Kind: kind, Target: target, State: api.Running, Began: j.n.clock.Wall(),
	}}
	j.list = append(j.list, o)
	if len(j.list) > keptJobs {
		j.list = j.list[1:]
	}
	j.current = o
	log := j.n.logger.With("operation", o.ID, "kind", kind, "target", target, "by", by)
	log.Info("operation begins")
	go func() { // close waits for it
		defer close(o.ended)
		defer cancel()
		err := work(ctx, o)
		j.end(o, err, ctx.Err() != nil, log)
	}()
	return o, o.Operation, nil
}

func (j *jobs) end(o *job, err error, canceled bool, log *slog.Logger) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o.Ended, o.err, j.current = j.n.clock.Wall(), err, nil
	defer func() { j.counts.WithLabelValues(o.Kind, o.Target, stateName(o.State)).Inc() }()
	switch {
	case err == nil:
		o.State = api.Done
		if o.Kind == kindBackup {
			j.success.WithLabelValues(o.Target).Set(float64(o.Began) / 1e9)
		}
		log.Info("operation is done", "done", o.Done)
	case canceled:
		o.State, o.Error = api.Canceled, "canceled"
		log.Warn("operation was canceled")
	default:
		o.State, o.Error = api.Failed, err.Error()
		log.Error("operation failed", "error", err)
	}
}

func stateName(s api.OperationState) string {
	switch s {
	case api.Done:
		return "done"
	case api.Canceled:
		return "canceled"
	default:
		return "failed"
	}
}

// progress returns a function that tells how far o is.
func (j *jobs) progress(o *job) func(done, total uint64) {
	return func(done, total uint64) {
		j.mu.Lock()
		defer j.mu.Unlock()
		o.Done, o.Total = done, total
	}
}

// Backup implements api.Operations.
func (j *jobs) Backup(_ context.Context, by auth.Principal, target string, full bool) (api.Operation, error) {
	_, o, err := j.backup(by.Name, target, full)
	return o, err
}

func (j *jobs) backup(by, target string, full bool) (*job, api.Operation, error) {
	names := j.n.config.Backup.names()
	if b := j.n.config.Backup; b == nil || b.Targets[target].URL == "" {
		if len(names) == 0 {
			return nil, api.Operation{}, fmt.Errorf("%w: there are no backup targets (backup.targets)", api.ErrNotConfigured)
		}
		return nil, api.Operation{}, fmt.Errorf("%w: target %q; there are: %s", api.ErrNotConfigured, target, strings.Join(names, ", "))
	}
	return j.start(kindBackup, target, by, func(ctx context.Context, o *job) error {
		r, err := j.n.backUp(ctx, target, full, j.progress(o))
		if err != nil {
			return err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		o.Backup = backupDone(r)
		return nil
	})
}

func backupDone(r *backup.Result) *api.BackupDone {
	m := r.Manifest
	d := &api.BackupDone{
		ID: m.ID, New: r.New, Kind: string(m.Kind), FirstSeq: m.FirstSeq, LastSeq: m.LastSeq,
		Bytes: uint64(r.Bytes), Objects: uint64(r.Objects + r.Reused), //nolint:gosec // ≥ 0
	}
	for _, err := range r.Skipped {
		d.Skipped = append(d.Skipped, err.Error())
	}
	return d
}

// scheduled backs up and waits for the end. Where another operation runs, it waits for that one first.
func (j *jobs) scheduled(ctx context.Context, target string) error {
	for {
		o, _, err := j.backup("the schedule", target, false)
		if errors.Is(err, api.ErrBusy) {
			if err := j.wait(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		<-o.ended // it ends with ctx
		return o.err
	}
}

// wait returns when the operation that runs has ended.
func (j *jobs) wait(ctx context.Context) error {
	j.mu.Lock()
	current := j.current
	j.mu.Unlock()
	if current == nil {
		return ctx.Err()
	}
	select {
	case <-current.ended:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Archive implements api.Operations.
func (j *jobs) Archive(_ context.Context, by auth.Principal, seq uint64, before time.Time) (api.Operation, error) {
	dir := j.n.config.Archive.Dir
	if dir == "" {
		return api.Operation{}, fmt.Errorf("%w: there is no archive folder (archive.dir)", api.ErrNotConfigured)
	}
	b := ArchiveBounds{Seq: seq}
	if !before.IsZero() {
		b.Time = uint64(max(1, before.UnixNano()))
	}
	_, o, err := j.start(kindArchive, dir, by.Name, func(ctx context.Context, o *job) error {
		r, err := moveOld(ctx, j.n.store, j.n.index.Durable(), dir, b, j.progress(o))
		if err != nil {
			return err
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		o.Archive = &api.ArchiveDone{
			Segments: uint64(r.Segments), Bytes: uint64(r.Bytes), ThroughSeq: r.Through, Bound: r.Bound, //nolint:gosec // ≥ 0
		}
		return nil
	})
	return o, err
}

// Operation implements api.Operations.
func (j *jobs) Operation(_ context.Context, id string) (api.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if o := j.find(id); o != nil {
		return o.Operation, nil
	}
	return api.Operation{}, fmt.Errorf("%w: %q; the last %d since the node's start are known", api.ErrNoOperation, id, keptJobs)
}

// Cancel implements api.Operations.
func (j *jobs) Cancel(_ context.Context, by auth.Principal, id string) (api.Operation, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	o := j.find(id)
	if o == nil {
		return api.Operation{}, fmt.Errorf("%w: %q", api.ErrNoOperation, id)
	}
	if o.State == api.Running {
		j.n.logger.Warn("operation is canceled", "operation", id, "by", by.Name)
		o.cancel()
	}
	return o.Operation, nil
}

func (j *jobs) find(id string) *job {
	for _, o := range j.list {
		if o.ID == id {
			return o
		}
	}
	return nil
}

var _ api.Operations = (*jobs)(nil)
