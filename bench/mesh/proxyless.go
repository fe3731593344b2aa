package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	xdscreds "google.golang.org/grpc/credentials/xds"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/xds"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/mesh/control"
)

// bootstrapEnv is where gRPC programs find their control plane; without it they are plain.
const bootstrapEnv = "GRPC_XDS_BOOTSTRAP_CONFIG"

// calls is what a caller of gRPC is asked for, and what it answers.
type calls struct {
	AtATime int           `json:"at_a_time,omitempty"`
	Span    time.Duration `json:"span,omitempty"`
	Count   int           `json:"count,omitempty"`
	Errors  int           `json:"errors,omitempty"`
	P50     float64       `json:"p50,omitempty"` // microseconds
	P99     float64       `json:"p99,omitempty"`
}

// server makes the gRPC server of this process: plain, or with all its security from the control plane.
func server(options ...grpc.ServerOption) (interface{ Serve(net.Listener) error }, error) {
	if os.Getenv(bootstrapEnv) == "" {
		return grpc.NewServer(options...), nil
	}
	creds, err := xdscreds.NewServerCredentials(xdscreds.ServerOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return nil, fmt.Errorf("make credentials: %w", err)
	}
	return xds.NewGRPCServer(append(options, grpc.Creds(creds))...)
}

// serveCalls makes gRPC calls to a target as standard input asks for them.
func serveCalls(target string) error {
	creds := insecure.NewCredentials()
	if os.Getenv(bootstrapEnv) != "" {
		var err error
		if creds, err = xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: creds}); err != nil {
			return fmt.Errorf("make credentials: %w", err)
		}
	}
	clients, err := dialGRPC(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer clients.close()
	s := &subject{name: "proxyless", subject: target}
	s.call = clients.one
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var c calls
		if err := in.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what to do: %w", err)
		}
		took, err := s.drive(c.AtATime, c.Span)
		if err != nil {
			return err
		}
		slices.Sort(took.all)
		n := len(took.all)
		c = calls{Count: n, Errors: took.errors, P50: float64(took.all[n/2]) / 1e3, P99: float64(took.all[n*99/100]) / 1e3}
		if err := out.Encode(c); err != nil {
			return fmt.Errorf("tell what was done: %w", err)
		}
	}
}

// duo is a gRPC server and the process that calls it.
type duo struct {
	pids []int
	in   io.Writer
	out  *json.Decoder
}

// duo starts both: plain at any address where there is no plane.
func (f *fleet) duo(p *plane) (*duo, error) {
	defer func() { f.env = nil }()
	address, target := "", ""
	var err error
	if p != nil {
		if f.env, err = p.bootstrap("book"); err != nil {
			return nil, err
		}
		address, target = p.book, "xds:///book"
	}
	if address, err = f.self("grpc-backend", address); err != nil {
		return nil, err
	}
	d := &duo{pids: []int{f.last()}}
	if p == nil {
		target = "passthrough:///" + address
	} else if f.env, err = p.bootstrap("shop"); err != nil {
		return nil, err
	}
	cmd, err := f.role("grpc-caller", target)
	if err != nil {
		return nil, err
	}
	if d.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a caller: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a caller: %w", err)
	}
	d.out = json.NewDecoder(bufio.NewReader(out))
	pid, err := f.start(cmd)
	d.pids = append(d.pids, pid)
	return d, err
}

// bootstrap keeps the certificates of a service in a folder until the run ends, and returns the environment of a gRPC
// program that is that service.
func (p *plane) bootstrap(service string) ([]string, error) {
	folder, err := os.MkdirTemp(p.dir, service+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	id, err := mesh.ParseID(p.id(service))
	if err != nil {
		return nil, err
	}
	have := make(chan struct{}, 1024)
	broken := make(chan error, 1)
	p.f.keeping.Go(func() {
		broken <- control.KeepFiles(p.f.ctx, p.socket(), folder, id, slog.New(slog.DiscardHandler), func() {
			select {
			case have <- struct{}{}:
			default: // nobody wants to know of more
			}
		})
	})
	select {
	case <-have:
	case err := <-broken:
		return nil, err
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("wait for the certificate of %s: none after 20 s", service)
	}
	text, err := control.Bootstrap(p.socket(), folder, p.id(service)+"#bench")
	if err != nil {
		return nil, fmt.Errorf("make a bootstrap: %w", err)
	}
	// Without the severity, grpc-go logs as an error that it serves.
	return append(os.Environ(), "GRPC_GO_LOG_SEVERITY_LEVEL=none", bootstrapEnv+"="+string(text)), nil
}

func (d *duo) measure(n int, span time.Duration) (Result, error) {
	var c calls
	var before float64
	for _, span := range []time.Duration{span / 4, span} {
		var err error
		if before, err = cpuTime(d.pids); err != nil {
			return Result{}, err
		}
		if err := json.NewEncoder(d.in).Encode(calls{AtATime: n, Span: span}); err != nil {
			return Result{}, fmt.Errorf("ask a caller: %w", err)
		}
		c = calls{}
		if err := d.out.Decode(&c); err != nil {
			return Result{}, fmt.Errorf("ask a caller: %w", err)
		}
	}
	after, err := cpuTime(d.pids)
	if err != nil || c.Count == 0 {
		return Result{}, errors.Join(err, fmt.Errorf("measure gRPC calls: %d were answered", c.Count))
	}
	return Result{CPUMicros: (after - before) * 1e6 / float64(c.Count), PerSecond: float64(c.Count) / span.Seconds(), P50Micros: c.P50, P99Micros: c.P99, Errors: c.Errors}, nil
}

// proxyless compares calls under the mesh without a proxy (mTLS, authorisation, circuit breaker, ejection) with plain ones.
func (f *fleet) proxyless(r *Report, p *plane) error {
	plain, err := f.duo(nil)
	if err != nil {
		return err
	}
	meshed, err := f.duo(p)
	if err != nil {
		return err
	}
	for _, n := range []int{16, 64} {
		results := []Result{{Subject: "plain"}, {Subject: "proxyless"}}
		for range 2*f.rounds - 1 { // they differ by less than others do
			for i, d := range []*duo{plain, meshed} {
				one, err := d.measure(n, f.span)
				if err != nil {
					return err
				}
				results[i].add(one)
			}
		}
		for i := range results {
			results[i].Case, results[i].Connections = "proxyless", n
			results[i].settle()
		}
		r.Results = append(r.Results, results...)
		r.most(fmt.Sprintf("proxyless gRPC with mTLS, RBAC, breaker, %d at a time: CPU of client and server / plaintext", n), results[1].CPUMicros/results[0].CPUMicros, "ratio", 1.35, 1.2)
	}
	return nil
}

// direct measures the change of a policy with a proxyless server and client. This process is the client.
func (p *plane) direct(r *Report) error {
	env, err := p.bootstrap("shop")
	if err != nil {
		return err
	}
	text, _ := strings.CutPrefix(env[len(env)-1], bootstrapEnv+"=")
	builder, err := xds.NewXDSResolverWithConfigForTesting([]byte(text)) // in a program it is the environment's
	if err != nil {
		return fmt.Errorf("make a client: %w", err)
	}
	creds, err := xdscreds.NewClientCredentials(xdscreds.ClientOptions{FallbackCreds: insecure.NewCredentials()})
	if err != nil {
		return fmt.Errorf("make credentials: %w", err)
	}
	clients, err := dialGRPC("xds:///book", grpc.WithTransportCredentials(creds), grpc.WithResolvers(builder))
	if err != nil {
		return err
	}
	defer clients.close()
	return p.policy(r, "proxyless gRPC", func() (bool, error) {
		ctx, cancel := context.WithTimeout(p.f.ctx, patience)
		defer cancel()
		err := clients.call(ctx, clients.list[0])
		if status.Code(err) == codes.PermissionDenied {
			return false, nil
		}
		return err == nil, err
	})
}

func (f *fleet) last() int { return f.procs[len(f.procs)-1].Process.Pid }

// role is this program in a role, not started.
func (f *fleet) role(role, config string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if f.other {
		path = f.beside
	}
	cmd := exec.Command(path, "-role", role, "-config", config)
	cmd.Stderr, cmd.Env = os.Stderr, f.env
	return cmd, nil
}
