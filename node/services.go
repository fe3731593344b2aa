package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/supervisor"
)

// Services runs declared services in sandboxes (docs/sandbox.md).
type Services struct {
	// Dir is the folder of what is declared, and of all that runs. Empty: none are run. Short: paths of Unix sockets in it
	// are at most 107 bytes long.
	Dir string `yaml:"dir"`
	// Program is sterling-sandbox; empty: the one beside this program.
	Program string `yaml:"program"`
	// Control is the mesh's control plane that gives services their identities, unix:PATH. Empty: this process's own, where
	// it has one.
	Control string `yaml:"control"`
}

func (s *Services) check(fault func(format string, args ...any)) {
	if s.Dir == "" && *s != (Services{}) {
		fault("services.dir: want a folder")
	}
	if s.Control != "" && (!strings.HasPrefix(s.Control, "unix:") || s.Control == "unix:") {
		fault("services.control: want unix:PATH, not %q", s.Control)
	}
}

// Supervised are services that are run in this process: their replicas are not in it, and go on when it ends.
type Supervised struct {
	socket  string
	server  *http.Server
	stop    context.CancelFunc
	running sync.WaitGroup
	ended   error // once running is over
}

// joinTime is how long a service's data plane may take to have a certificate and a configuration, before the next try.
const joinTime = 30 * time.Second

// StartServices runs what was declared in the folder, and takes declarations at a socket in it.
func StartServices(ctx context.Context, config Services, clk clock.Clock, logger *slog.Logger) (*Supervised, error) {
	if config.Program == "" {
		var err error
		if config.Program, err = FindSandbox(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(config.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of services: %w", err)
	}
	o := supervisor.Options{
		Dir: dir, Clock: clk, Log: logger,
		Boxes: &supervisor.Program{Path: config.Program, State: filepath.Join(dir, supervisor.SandboxDir)},
	}
	if config.Control != "" {
		o.Join = func(ctx context.Context, j supervisor.Joining) (supervisor.Workload, error) {
			return joinService(ctx, j, filepath.Join(dir, meshDir, j.Service), config.Control, clk, logger)
		}
	}
	runner, err := supervisor.Open(o)
	if err != nil {
		return nil, err
	}
	s := &Supervised{socket: filepath.Join(dir, supervisor.Socket), server: runner.Server()}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.running.Go(func() { s.ended = runner.Run(ctx) })
	l, err := replaceUnix("unix", s.socket, 0o600) // whoever had it is gone: the folder is locked
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.running.Go(func() {
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("declarations of services are taken no more", "error", err)
		}
	})
	return s, nil
}

// Close ends the supervisor. Services go on, those in the mesh without being called.
func (s *Supervised) Close() error {
	if s == nil {
		return nil
	}
	_ = s.server.Close() // who asks sees the end
	s.stop()
	s.running.Wait()
	return s.ended
}

// serviceInMesh is the data plane of one service.
type serviceInMesh struct {
	node *MeshNode
	log  *slog.Logger
}

// joinService starts the data plane of a service: its replicas reach it by sockets in a folder of their own, and so it
// knows who they are.
func joinService(ctx context.Context, j supervisor.Joining, data, control string, clk clock.Clock, logger *slog.Logger) (supervisor.Workload, error) {
	if err := errors.Join(os.RemoveAll(j.Folder), os.MkdirAll(j.Folder, 0o700)); err != nil {
		return nil, fmt.Errorf("make the folder of a service's sockets: %w", err)
	}
	ctx, cancel := clock.Within(ctx, clk, joinTime)
	defer cancel()
	n, err := StartMeshNode(ctx, MeshNodeConfig{
		Data: data, Control: control, Identities: []string{j.Identity}, Offer: "127.0.0.1", Sockets: j.Folder, Name: "supervisor",
	}, clk, logger.With("service", j.Service))
	if err != nil {
		return nil, err
	}
	return &serviceInMesh{n, logger}, nil
}

// Use implements supervisor.Workload.
func (s *serviceInMesh) Use(sockets []string) {
	for _, one := range s.node.sidecars {
		if err := one.setPrograms(sockets); err != nil {
			s.log.Error("calls go to the replicas of before", "workload", one.id.String(), "error", err)
		}
	}
}

// Close implements supervisor.Workload.
func (s *serviceInMesh) Close() { s.node.Close(context.Background()) }

func (n *Node) startServices(ctx context.Context) error {
	if n.config.Services.Dir == "" {
		return nil
	}
	config := n.config.Services
	if config.Control == "" && n.mesh != nil {
		config.Control = "unix:" + n.mesh.Socket()
	}
	var err error
	n.services, err = StartServices(ctx, config, n.clock, n.logger)
	return err
}
