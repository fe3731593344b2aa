package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// Folders in that of the mesh.
const (
	memberFolder  = "node"   // of this machine's own certificate, where it joined a mesh
	cellsIdentity = "ledger" // of the certificate that other cells' nodes see
)

// checkMember wants what a node needs to have its identity from the mesh of another process.
func (m *Mesh) checkMember(fault func(format string, args ...any)) {
	path, local := strings.CutPrefix(m.Control, "unix:")
	_, _, err := net.SplitHostPort(m.Control)
	switch {
	case m.State != "":
		fault("mesh.control: is for a control plane elsewhere; with mesh.state there is one here")
	case m.Listen != "" || m.Socket != "":
		fault("mesh.control: excludes mesh.listen and mesh.socket, which are the control plane's")
	case local && path == "", !local && err != nil:
		fault("mesh.control: want unix:PATH or host:port, not %q", m.Control)
	case local && m.JoinTokenFile != "":
		fault("mesh.join_token_file: is for a control plane on another machine; on this one the kernel says who a process is")
	case !mesh.ValidDomain(m.Domain):
		fault("mesh.domain: want the mesh's trust domain such as bank.example, not %q", m.Domain)
	}
}

// member is this node's part in the mesh of another process: an identity in files, the last of which count while the
// control plane is away, also over a restart.
type member struct {
	meshIdentity
	stop    context.CancelFunc
	running sync.WaitGroup
}

// joinMesh gets the node an identity of the mesh that its configuration names, and keeps it. It returns when there is one.
func (n *Node) joinMesh(ctx context.Context, id mesh.ID) (*member, error) {
	folder := filepath.Join(n.config.Data, meshDir)
	m := &member{meshIdentity: meshIdentity{folder: filepath.Join(folder, cellsIdentity)}}
	for _, f := range []string{m.folder, filepath.Join(folder, memberFolder)} {
		if err := os.MkdirAll(f, 0o700); err != nil {
			return nil, fmt.Errorf("make the folder of the mesh: %w", err)
		}
	}
	if err := m.load(); err != nil && !errors.Is(err, os.ErrNotExist) {
		n.logger.Warn("the certificates that were kept can't be used", "error", err)
	}
	keep, err := n.keeper(ctx, m, filepath.Join(folder, memberFolder), id)
	if err != nil {
		return nil, err
	}
	var life context.Context
	life, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	keep(life)
	for m.current.Load() == nil {
		if err := clock.Sleep(ctx, n.clock, meshRetryFirst); err != nil {
			m.close()
			return nil, fmt.Errorf("wait for a certificate of %s: %w", id, err)
		}
	}
	return m, nil
}

// keeper returns what renews m's files: by the Unix socket of a control plane, or as a machine that has joined.
func (n *Node) keeper(ctx context.Context, m *member, folder string, id mesh.ID) (func(life context.Context), error) {
	reload := func() {
		if err := m.load(); err != nil {
			n.logger.Error("a renewed certificate can't be used; the last one stays", "error", err)
		}
	}
	if socket, local := strings.CutPrefix(n.config.Mesh.Control, "unix:"); local {
		return func(life context.Context) {
			m.running.Go(func() {
				for {
					err := control.KeepFiles(life, socket, m.folder, id, n.logger, reload)
					if err == nil {
						return // life is over
					}
					n.logger.Error("certificates are not renewed", "error", err)
					if clock.Sleep(life, n.clock, meshRetryMost) != nil {
						return
					}
				}
			})
		}, nil
	}
	joined := &control.Member{Server: n.config.Mesh.Control, Folder: folder, Clock: n.clock, Log: n.logger}
	if file := n.config.Mesh.JoinTokenFile; file != "" {
		token, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // once it has joined, it may be gone
			return nil, fmt.Errorf("read mesh.join_token_file: %w", err)
		}
		if err == nil {
			if _, err := joined.Join(ctx, strings.TrimSpace(string(token))); err != nil {
				return nil, err
			}
		}
	}
	if _, err := joined.Workloads(); err != nil {
		return nil, fmt.Errorf("%w; a machine joins with a token of `sterling mesh token`", err)
	}
	return func(life context.Context) {
		m.running.Go(func() { joined.Keep(life, nil, folder, func() {}) })
		m.running.Go(func() { joined.Keep(life, &id, m.folder, reload) })
	}, nil
}

// age is a third of a certificate's life, as far as it tells: clocks may differ by half a minute at both ends.
func (m *member) age() time.Duration {
	told := m.current.Load().told
	return max(told.NotAfter.Sub(told.NotBefore)-time.Minute, 3*time.Second) / 3
}

func (m *member) close() {
	m.stop()
	m.running.Wait()
}
