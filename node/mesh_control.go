package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// Names in the folder of a control plane or of a mesh node.
const (
	MeshControlSocket = "control.sock" // xDS and the SPIFFE Workload API
	MeshAdminSocket   = "admin.sock"   // what `sterling mesh status` asks
	meshLastGood      = "state.yaml"   // the last desired state that was applied
	meshDir           = "mesh"         // in a node's data folder
)

// maxRemote is how many connections other machines may have: one for each workload, and those that join.
const maxRemote = 1 << 14

// The first node is watched for defaultMeshWatch, where no other time is named: for several of its reports.
const (
	defaultMeshWatch = 5 * time.Second
	maxMeshWatch     = time.Hour
)

// stateLook is how often a control plane looks at the file of the desired state: most of a change's way to being
// enforced. A look takes some microseconds.
const stateLook = 5 * time.Millisecond

// Mesh runs the mesh's control plane in this process.
type Mesh struct {
	// State is the file of the desired state (docs/mesh.md), followed as it changes. Empty: no control plane.
	State string `yaml:"state"`
	// Domain is the trust domain, such as bank.example. It can't change later: the root is made for it.
	Domain string `yaml:"domain"`
	// Socket is where programs of this machine find the control plane; empty: control.sock in the folder mesh of the data
	// folder. Programs of other users must be able to reach it: the kernel says who they are.
	Socket string `yaml:"socket"`
	// Listen is host:port for nodes that join from other machines, always by mutual TLS; empty: none do.
	Listen string `yaml:"listen"`
	// Certificates is how long certificates of workloads are good, 4s to 1h.
	Certificates time.Duration `yaml:"certificates"`
	// Upstream signs the mesh's authority; without it, a root in the folder mesh does.
	Upstream MeshUpstream `yaml:"upstream"`
	Bundle   MeshBundle   `yaml:"bundle"`
	// Watch is how long the first node that gets a new configuration is watched for a rise in failures, if it has calls,
	// before the others get it: 0 (not at all) to 1h. Changes of who may call whom go to all at once.
	Watch time.Duration `yaml:"watch"`
	// Control is where another process has the control plane, for cells.mesh: unix:PATH on this machine, or host:port.
	Control string `yaml:"control"`
	// JoinTokenFile has a token of `sterling mesh token`, for the first start with a control plane on another machine.
	JoinTokenFile string `yaml:"join_token_file"`
}

func (m *Mesh) check(fault func(format string, args ...any)) {
	if m.Control != "" {
		m.checkMember(fault)
		return
	}
	if m.State == "" {
		if *m != (Mesh{Certificates: m.Certificates, Watch: m.Watch}) {
			fault("mesh.state: want the file of the desired state")
		}
		return
	}
	if !mesh.ValidDomain(m.Domain) {
		fault("mesh.domain: want a trust domain such as bank.example, not %q", m.Domain)
	}
	if m.Listen != "" {
		if _, _, err := net.SplitHostPort(m.Listen); err != nil {
			fault("mesh.listen: want host:port, not %q", m.Listen)
		}
	}
	m.checkTrust(fault)
	if m.Certificates < control.MinLifetime || m.Certificates > control.MaxLifetime {
		fault("mesh.certificates: want %s to %s, not %s", control.MinLifetime, control.MaxLifetime, m.Certificates)
	}
	if m.Watch < 0 || m.Watch > maxMeshWatch {
		fault("mesh.watch: want 0s to %s, not %s", maxMeshWatch, m.Watch)
	}
}

// DefaultMesh is a Mesh without a control plane.
func DefaultMesh() Mesh { return Mesh{Certificates: control.MaxLifetime, Watch: defaultMeshWatch} }

// MeshControl is a running control plane.
type MeshControl struct {
	config    Mesh
	folder    string
	authority *control.Authority
	plane     *control.Plane
	clock     clock.Clock
	log       *slog.Logger

	grpc    *grpc.Server
	remote  *http.Server // nil: nobody joins from elsewhere
	address net.Addr     // of remote
	bundle  *http.Server // nil: the trust bundle is not published
	// published is the address of bundle.
	published net.Addr
	admin     *http.Server
	stop      context.CancelFunc
	running   sync.WaitGroup

	mu      sync.Mutex
	refusal string // why the file is not in use; empty: it is
	good    []byte // what is
}

// sidecarConfig is what the node proxy beside a workload gets.
func sidecarConfig(snapshot *mesh.Snapshot, id mesh.ID) ([]byte, error) {
	config, err := proxy.Compile(snapshot, id)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(config)
}

// CheckMesh tells what is wrong with a file of desired state, as a control plane of the trust domain would.
func CheckMesh(domain, file string) (*mesh.Snapshot, error) {
	text, err := readState(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	snapshot, err := control.Check(domain, file, text, sidecarConfig)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return snapshot, nil
}

// readState reads at most what the parser takes, and a byte more so that it says so.
func readState(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the desired state: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(f, mesh.MaxText+1))
	if err != nil {
		return nil, fmt.Errorf("read the desired state: %w", err)
	}
	return text, nil
}

// Check tells what is wrong with the section, where there is a control plane.
func (m *Mesh) Check() error {
	var faults []error
	m.check(func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) })
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
}

// StartMeshControl starts a control plane with its root and its sockets in folder. A desired state that can't be used is
// told and not in use; the last good one is, if there was any.
func StartMeshControl(ctx context.Context, folder string, config Mesh, clk clock.Clock, logger *slog.Logger) (*MeshControl, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the mesh: %w", err)
	}
	if config.Socket == "" {
		config.Socket = filepath.Join(folder, MeshControlSocket)
	}
	upstream, err := config.openUpstream(folder, clk)
	if err != nil {
		return nil, err
	}
	authority, err := control.NewAuthority(ctx, config.Domain, config.Certificates, upstream, clk)
	if err != nil {
		return nil, err
	}
	m := &MeshControl{
		config: config, folder: folder, authority: authority, clock: clk, log: logger,
		plane: control.New(control.Options{Authority: authority, Clock: clk, Log: logger, Sidecar: sidecarConfig, Watch: config.Watch}),
	}
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, start := range []func() error{m.serveLocal, m.serveRemote, m.serveAdmin, func() error { return m.startTrust(ctx) }} {
		if err := start(); err != nil {
			m.Close()
			return nil, err
		}
	}
	m.begin(ctx)
	return m, nil
}

func (m *MeshControl) serveLocal() error {
	l, err := listenUnix("unix", m.config.Socket, 0o666)
	if err != nil {
		return err
	}
	m.grpc = grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	m.plane.Register(m.grpc)
	m.running.Go(func() {
		if err := m.grpc.Serve(l); err != nil {
			m.log.Error("the mesh's control plane serves no more", "error", err)
		}
	})
	return nil
}

func (m *MeshControl) serveRemote() error {
	if m.config.Listen == "" {
		return nil
	}
	joins, err := control.OpenJoins(m.folder, m.plane)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", m.config.Listen)
	if err != nil {
		return fmt.Errorf("listen for nodes of the mesh: %w", err)
	}
	streams := grpc.NewServer()
	m.plane.Register(streams)
	m.address = l.Addr()
	m.remote = &http.Server{
		Handler: joins.Handler(streams), TLSConfig: joins.ServerTLS(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0), // of handshakes: whoever scans ports must not fill the log
	}
	m.running.Go(func() {
		if err := m.remote.ServeTLS(netutil.LimitListener(l, maxRemote), "", ""); !errors.Is(err, http.ErrServerClosed) {
			m.log.Error("the mesh's control plane serves other machines no more", "error", err)
		}
	})
	return nil
}

// serveHTTP serves on a Unix socket that only its owner reaches.
func serveHTTP(running *sync.WaitGroup, l *net.UnixListener, h http.Handler, logger *slog.Logger) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	running.Go(func() { serveUntilClosed(s, l, logger) })
	return s
}

func serveUntilClosed(s *http.Server, l net.Listener, logger *slog.Logger) {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("nothing is served there any more", "address", l.Addr().String(), "error", err)
	}
}

func (m *MeshControl) serveAdmin() error {
	l, err := listenUnix("unix", filepath.Join(m.folder, MeshAdminSocket), 0o600)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, m.Status()) })
	mux.HandleFunc("GET /topology", m.serveTopology)
	m.admin = serveHTTP(&m.running, l, mux, m.log)
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the caller is gone
}

// MeshStatus is what a control plane or a mesh node says of itself; one of the two is nil.
type MeshStatus struct {
	Control *MeshControlStatus `json:"control,omitempty"`
	Node    *MeshNodeStatus    `json:"node,omitempty"`
}

// MeshControlStatus is about a control plane.
type MeshControlStatus struct {
	Domain     string            `json:"domain"`
	State      string            `json:"state"` // the file
	Refusal    string            `json:"refusal,omitempty"`
	Generation uint64            `json:"generation"` // 0: none is in use
	Nodes      []MeshPlaneStatus `json:"nodes"`
}

// MeshPlaneStatus is a data plane as the control plane knows it.
type MeshPlaneStatus struct {
	Name       string `json:"name"`
	Generation uint64 `json:"generation"`
	Refusal    string `json:"refusal,omitempty"`
}

// Status tells how the control plane is.
func (m *MeshControl) Status() MeshStatus {
	nodes, generation := m.plane.Nodes()
	out := &MeshControlStatus{Domain: m.config.Domain, State: m.config.State, Generation: generation, Nodes: []MeshPlaneStatus{}}
	for _, n := range nodes {
		out.Nodes = append(out.Nodes, MeshPlaneStatus{n.Name, n.Generation, n.Refusal})
	}
	m.mu.Lock()
	out.Refusal = m.refusal
	m.mu.Unlock()
	return MeshStatus{Control: out}
}

// Address is where nodes join; nil where none do.
func (m *MeshControl) Address() net.Addr { return m.address }

// Socket is where programs of this machine find the control plane.
func (m *MeshControl) Socket() string { return m.config.Socket }

// startMesh runs the control plane that the configuration asks for.
func (n *Node) startMesh(ctx context.Context) (err error) {
	if n.config.Mesh.State != "" && n.mesh == nil { // the cells may have needed it before
		n.mesh, err = StartMeshControl(ctx, filepath.Join(n.config.Data, meshDir), n.config.Mesh, n.clock, n.logger)
	}
	return err
}

// begin applies the desired state, or the last good one, and follows the file.
func (m *MeshControl) begin(ctx context.Context) {
	at := fileMark(m.config.State)
	if !m.load(ctx) {
		m.useLastGood(ctx)
	}
	m.running.Go(func() {
		for clock.Sleep(ctx, m.clock, stateLook) == nil {
			if now := fileMark(m.config.State); now != at {
				at = now
				m.load(ctx)
			}
		}
	})
}

// fileMark changes when a file does.
func fileMark(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "none"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// load applies the file and tells whether it is in use.
func (m *MeshControl) load(ctx context.Context) bool {
	text, err := readState(m.config.State)
	if err == nil {
		m.mu.Lock()
		same := m.good != nil && bytes.Equal(text, m.good)
		m.mu.Unlock()
		if !same {
			err = m.plane.Apply(ctx, m.config.State, text)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		if m.refusal = err.Error(); ctx.Err() == nil {
			m.log.Error("the desired state is refused; what was in use stays", "error", err)
		}
		return false
	}
	if m.good == nil || m.refusal != "" || !bytes.Equal(text, m.good) {
		m.log.Info("the desired state is in use", "file", m.config.State)
	}
	m.refusal, m.good = "", text
	if err := durable.WriteFile(filepath.Join(m.folder, meshLastGood), text); err != nil {
		m.log.Error("the last good desired state is not kept", "error", err)
	}
	return true
}

func (m *MeshControl) useLastGood(ctx context.Context) {
	file := filepath.Join(m.folder, meshLastGood)
	text, err := readState(file)
	if err == nil {
		err = m.plane.Apply(ctx, file, text)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		m.log.Warn("no desired state was ever good: data planes get nothing until one is")
	case err != nil:
		m.log.Error("the last good desired state can't be used either", "error", err)
	default:
		m.mu.Lock()
		m.good = text
		m.mu.Unlock()
		m.log.Warn("the last good desired state is in use")
	}
}

// Close ends the control plane. Data planes go on with what they have.
func (m *MeshControl) Close() {
	if m == nil {
		return
	}
	m.stop()
	if m.grpc != nil {
		m.grpc.Stop()
		_ = os.Remove(m.config.Socket) // a socket that nobody answers on is no harm
	}
	for _, s := range []*http.Server{m.remote, m.admin, m.bundle} {
		if s != nil {
			_ = s.Close() // streams of data planes, which come again
		}
	}
	m.running.Wait()
}
