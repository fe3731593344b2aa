package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/node"
)

// Folders of mesh commands, where no other is named.
const (
	meshControlData = "sterling-mesh"
	meshNodeData    = "sterling-node"
)

func newMesh() *cobra.Command {
	c := &cobra.Command{
		Use: "mesh", Short: "Put services under a mesh: identities, mutual TLS, retries that can't pay twice",
		Long: `A control plane ("sterling mesh control", or the section mesh of the configuration of
"sterling up") turns a file of desired state into what data planes do. A node
("sterling mesh node") is the data plane beside services that don't speak to the mesh
themselves.`,
		Example: `  sterling mesh check mesh.yaml --domain bank.example
  sterling mesh control --state mesh.yaml --domain bank.example
  sterling mesh node --identity spiffe://bank.example/cell/c1/svc/orders
  sterling mesh status
  sterling mesh tap`,
	}
	c.AddCommand(newMeshControl(), newMeshNode(), newMeshToken(), newMeshCheck(), newMeshStatus(), newMeshRoutes(), newMeshCerts(), newMeshTap(), newMeshTopology())
	return c
}

type meshLog struct{ level, format string }

func (l *meshLog) register(c *cobra.Command) {
	c.Flags().StringVar(&l.level, "log-level", "info", "debug, info, warn or error")
	c.Flags().StringVar(&l.format, "log-format", "text", "text or json")
}

func (l *meshLog) logger(w io.Writer) (*slog.Logger, error) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, l.level) || l.format != "text" && l.format != "json" {
		return nil, usage("--log-level and --log-format: see --help")
	}
	return newLogger(w, node.Log{Level: l.level, Format: l.format}), nil
}

func newMeshControl() *cobra.Command {
	config, data, logs := node.DefaultMesh(), "", meshLog{}
	c := &cobra.Command{
		Use: "control", Short: "Run the mesh's control plane", Args: cobra.NoArgs,
		Long: `Signs the identities of workloads and brings the desired state to data planes, to one
of them first. The file is followed: what is wrong with a new version is told, here and
by "sterling mesh status", and the last good one stays in use. The folder has the root's
key: keep it as you keep money.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if config.State == "" {
				return usage("--state: want the file of the desired state")
			}
			if err := config.Check(); err != nil {
				return err
			}
			logger, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			m, err := node.StartMeshControl(c.Context(), data, config, clock.NewSystem(), logger)
			if err != nil {
				return err
			}
			defer m.Close()
			printf(c, "Sterling is ready: the control plane of %s on %s\n", config.Domain, m.Socket())
			if at := m.Address(); at != nil {
				printf(c, "  machines join at %s with a token of: %s mesh token --data %s --node NAME --identity ID\n", at, program(), data)
			}
			<-c.Context().Done()
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", meshControlData, "folder of the root, its key, and the nodes that joined")
	c.Flags().StringVar(&config.State, "state", "", "file of the desired state: docs/mesh.md")
	c.Flags().StringVar(&config.Domain, "domain", "", "trust domain, such as bank.example")
	c.Flags().StringVar(&config.Socket, "socket", "", "where programs of this machine find it (default control.sock in --data)")
	c.Flags().StringVar(&config.Listen, "listen", "", "host:port for nodes on other machines, by mutual TLS (default: none)")
	c.Flags().StringVar(&config.Upstream.Certificate, "upstream-certificate", "", "certificate of an authority that your own certified, which then signs (default: a root in --data)")
	c.Flags().StringVar(&config.Upstream.Key, "upstream-key", "", "its key, mode 0600")
	c.Flags().StringVar(&config.Upstream.Roots, "upstream-roots", "", "the roots that workloads are to trust")
	c.Flags().StringVar(&config.Bundle.Listen, "bundle-listen", "", "host:port where other trust domains find the trust bundle (default: nowhere)")
	c.Flags().StringVar(&config.Bundle.Certificate, "bundle-certificate", "", "certificate of that host's name (default: the mesh's own identity)")
	c.Flags().StringVar(&config.Bundle.Key, "bundle-key", "", "its key")
	c.Flags().DurationVar(&config.Certificates, "certificates", config.Certificates, "how long workloads' certificates are good, at most 1h")
	c.Flags().DurationVar(&config.Watch, "watch", config.Watch, "how long the first node is watched for a rise in failures before others get a change")
	logs.register(c)
	return c
}

// printf prints to standard output, which may be gone.
func printf(c *cobra.Command, format string, args ...any) {
	_, _ = fmt.Fprintf(c.OutOrStdout(), format, args...)
}

func newMeshNode() *cobra.Command {
	config, token, logs := node.MeshNodeConfig{}, "", meshLog{}
	c := &cobra.Command{
		Use: "node", Short: "Run the data plane beside services of this machine", Args: cobra.NoArgs,
		Long: `Takes calls of the mesh for the plain programs of its workloads, and offers on loopback
the services that they may call. It keeps going with the last good configuration and
certificates while the control plane is away.

Started again in the same folder, it takes the listeners over from the process that has
them, which ends once its connections have: an upgrade without a failed request.`,
		Example: `  sterling mesh node --identity spiffe://bank.example/cell/c1/svc/orders
  sterling mesh node --control 10.0.0.1:7643 --join-token token.txt     # on another machine
  sterling mesh node --control 10.0.0.1:7643 --workload-socket /run/sterling/workload.sock`,
		RunE: func(c *cobra.Command, _ []string) error {
			if token != "" {
				text, err := os.ReadFile(token)
				if err != nil {
					return usage("--join-token: %w", err)
				}
				config.Token = strings.TrimSpace(string(text))
			}
			logger, err := logs.logger(c.ErrOrStderr())
			if err != nil {
				return err
			}
			defer runtime.KeepAlive(proxy.HeapFloor())
			n, err := node.StartMeshNode(c.Context(), config, clock.NewSystem(), logger)
			if err != nil {
				return err
			}
			defer n.Close(c.Context())
			printf(c, "Sterling is ready: a node of the mesh; look at it with: %s mesh status --data %s\n", program(), config.Data)
			select {
			case <-c.Context().Done():
			case <-n.TakenOver():
			}
			return nil
		},
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "node"
	}
	c.Flags().StringVar(&config.Data, "data", meshNodeData, "folder of certificates and of what is kept")
	c.Flags().StringVar(&config.Control, "control", "unix:"+filepath.Join(meshControlData, node.MeshControlSocket), "the control plane: unix:PATH, or host:port on another machine")
	c.Flags().StringArrayVar(&config.Identities, "identity", nil, "SPIFFE id of a workload; again for more")
	c.Flags().StringVar(&token, "join-token", "", "file with a join token, for the first start on another machine")
	c.Flags().StringArrayVar(&config.Addresses, "address", nil, "address of a backend that is here; again for more (default: those with an IP address of this machine)")
	c.Flags().StringVar(&config.Offer, "offer", "127.0.0.1", "loopback address where workloads find the services they call")
	c.Flags().StringVar(&config.Metrics, "metrics", "", "host:port of Prometheus metrics, such as 127.0.0.1:9090 (default: none)")
	c.Flags().StringVar(&config.WorkloadSocket, "workload-socket", "", "where programs of a machine that joined find the SPIFFE Workload API (default: nowhere)")
	c.Flags().StringVar(&config.AccessLog, "access-log", "", "file that gets a line of JSON for each request (default: none)")
	c.Flags().StringVar(&config.Name, "name", name, "name of this data plane")
	logs.register(c)
	return c
}

func newMeshToken() *cobra.Command {
	var data, nodeName string
	var identities []string
	var ttl time.Duration
	c := &cobra.Command{
		Use: "token", Short: "Make a token with which one machine joins the mesh, once", Args: cobra.NoArgs,
		Long: `Run it where the control plane's folder is. The token is a secret until it is used:
whoever shows it first becomes the node, and gets certificates for its identities.`,
		Example: `  sterling mesh token --node pay-1 --identity spiffe://bank.example/cell/c1/svc/pay > token.txt`,
		RunE: func(c *cobra.Command, _ []string) error {
			now := time.Now()
			ticket := control.Ticket{Node: nodeName, Expires: now.Add(ttl)}
			for _, text := range identities {
				id, err := mesh.ParseID(text)
				if err != nil {
					return usage("--identity: %w", err)
				}
				ticket.Workloads = append(ticket.Workloads, id)
			}
			text, err := control.NewTicket(data, ticket, now)
			if errors.Is(err, control.ErrTicket) {
				return usage("%w", err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	c.Flags().StringVar(&data, "data", meshControlData, "folder of the control plane")
	c.Flags().StringVar(&nodeName, "node", "", "name of the machine in the mesh")
	c.Flags().StringArrayVar(&identities, "identity", nil, "SPIFFE id that the machine may have for a workload; again for more")
	c.Flags().DurationVar(&ttl, "ttl", 10*time.Minute, "how long the token waits for its use, at most 1h")
	return c
}

func newMeshCheck() *cobra.Command {
	var domain string
	c := &cobra.Command{
		Use: "check FILE", Short: "Tell what is wrong with a file of desired state, without applying it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			snapshot, err := node.CheckMesh(domain, args[0])
			if err != nil {
				return err
			}
			printf(c, "%s is good: %d services, %d identities, %d cells\n", args[0], len(snapshot.Services), len(snapshot.Identities), len(snapshot.Cells.Cells))
			return nil
		},
	}
	c.Flags().StringVar(&domain, "domain", "bank.example", "trust domain that it is for")
	return c
}

// meshLook asks a node or a control plane on this machine.
type meshLook struct{ data, output string }

func (l *meshLook) register(c *cobra.Command) {
	c.Flags().StringVar(&l.data, "data", meshNodeData, "folder of the node (or of the control plane, for status)")
	l.registerOutput(c)
}

func (l *meshLook) registerOutput(c *cobra.Command) {
	c.Flags().StringVar(&l.output, "output", "text", "text or json")
}

func (l *meshLook) get(ctx context.Context, path string) (*http.Response, error) {
	if l.output != "text" && l.output != "json" {
		return nil, usage("--output: want text or json, not %q", l.output)
	}
	socket := filepath.Join(l.data, node.MeshAdminSocket)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%w; does a node or a control plane run in %s? name its folder with --data", err, l.data)
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1024)) // the status tells enough
		return nil, errors.Join(fmt.Errorf("ask for %s: %s: %s", path, response.Status, strings.TrimSpace(string(text))), response.Body.Close())
	}
	return response, nil
}

// ask decodes an answer into v; where JSON is wanted, it is printed as well, and printed says so.
func (l *meshLook) ask(c *cobra.Command, path string, v any) (printed bool, err error) {
	response, err := l.get(c.Context(), path)
	if err != nil {
		return false, err
	}
	defer func() { _ = response.Body.Close() }() // all was read, or nobody reads on
	text, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return false, fmt.Errorf("ask for %s: %w", path, err)
	}
	if l.output == "json" {
		_, err = c.OutOrStdout().Write(text)
	}
	return l.output == "json", err
}

func meshTable(c *cobra.Command, head string, rows [][]string) error {
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t")) // Flush returns the error
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}
