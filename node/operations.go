package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"

	"github.com/prometheus/procfs"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
)

// Version is what this build calls itself: the module's version, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			version += " " + s.Value[:12]
		}
	}
	return version
}

// operations is what operators see and steer.
type operations struct{ n *Node }

// Status implements api.Node.
func (o operations) Status(context.Context) (api.NodeStatus, error) {
	s := o.n.cell.Stats()
	status := api.NodeStatus{
		Cell: o.n.cell.ID(), Seq: s.Head, Epoch: s.Epoch, Head: s.Head, IndexSeq: min(s.Followed, o.n.index.Applied()), Index: o.n.index.Building(), Accounts: s.Accounts,
		Transfers: s.Transfers, MemoryBytes: residentMemory(), ClockHeld: s.ClockHeld, DiskFull: s.NoRoom, Version: Version(),
	}
	o.n.standing(&status)
	return status, nil
}

// Drain implements api.Node.
func (o operations) Drain(ctx context.Context, by auth.Principal) error {
	if o.n.member == nil {
		return fmt.Errorf("%w: the journal is in this node's own folder, no other node can lead", api.ErrNotConfigured)
	}
	o.n.logger.Info("this node is drained", "by", by.Name)
	return o.n.member.Drain(ctx)
}

// AcceptClock implements api.Node.
func (o operations) AcceptClock(_ context.Context, by auth.Principal) error {
	o.n.logger.Warn("the clock was accepted as it is", "by", by.Name)
	o.n.cell.AcceptClock()
	return nil
}

// RebuildIndex implements api.Node.
func (o operations) RebuildIndex(_ context.Context, by auth.Principal) error {
	if err := o.n.index.Rebuild(); err != nil {
		return err
	}
	o.n.logger.Info("the index is built anew", "by", by.Name)
	return nil
}

// residentMemory is what the process has in memory, in bytes; 0 where the system doesn't tell.
func residentMemory() uint64 {
	p, err := procfs.Self()
	if err != nil {
		return 0
	}
	s, err := p.Stat()
	if err != nil {
		return 0
	}
	return uint64(s.ResidentMemory()) //nolint:gosec // ≥ 0
}

// healthz answers whether the process does its work at all.
func (n *Node) healthz(w http.ResponseWriter, _ *http.Request) {
	if err := n.cell.Err(); err != nil {
		http.Error(w, "the cell has stopped: "+err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// readyz answers whether writes are taken right now.
func (n *Node) readyz(w http.ResponseWriter, _ *http.Request) {
	s := n.cell.Stats()
	var why error
	switch {
	case n.cell.Err() != nil:
		why = errors.New("the cell has stopped")
	case s.ClockHeld:
		why = errors.New("the clock jumped forward: sterling ledger accept-clock")
	case s.NoRoom:
		why = errors.New("the disk is full")
	}
	if why != nil {
		http.Error(w, why.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}
