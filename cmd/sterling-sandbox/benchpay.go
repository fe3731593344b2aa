package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox/gvisor"
)

// The load of the service that is compared. At this rate two cores are busy for at most half of the time with our
// containers, and a third of it with runc's: few payments wait for another one, on either side. The service needs less than one
// processor, and Go is told so in all containers: threads that wake each other for nothing cost a sandbox the most.
const (
	payRate        = 233 // payments a second; not in step with a kernel's clock, which ticks 100, 250 or 1,000 times
	payConnections = 16
	payTime        = 2 * time.Second // of a round
	payUser        = 65534           // nobody, as policies have it
	payProcessors  = "1"             // GOMAXPROCS
)

// payBench is the service "sterling demo payments" before a ledger of its own, in several containers at once. One of
// them is called at a time.
type payBench struct {
	*benchmark
	folder, ledger string        // of the ledger, its address
	next           atomic.Uint64 // id of a payment
	ends           []func() error
	sockets        map[string]string // of the services, by kind
}

// payments measures a real service: each request is checked, and recorded by a ledger on a disk before it is answered.
// Callers and ledger are outside. The containers of runc are in the host's network and call the ledger by loopback, which
// is the shortest way there is; ours have no network, and call it through the runner.
func (b *benchmark) payments(ctx context.Context) (rows []benchRow, err error) {
	if b.sterling == "" {
		return nil, nil
	}
	p := &payBench{benchmark: b, folder: filepath.Join(b.folder, "pay"), sockets: map[string]string{}}
	defer func() {
		for _, end := range slices.Backward(p.ends) {
			err = errors.Join(err, end())
		}
	}()
	if err := p.startLedger(ctx); err != nil {
		return nil, err
	}
	if err := p.startServices(ctx); err != nil {
		return nil, err
	}
	parts, err := p.measure(ctx)
	if err != nil {
		return nil, err
	}
	parts["rate"], parts["connections"] = payRate, payConnections
	audit := benchRow{Name: "p99 of a payment service, all recorded ÷ the least", Least: 1.10, Aim: 1.03, Parts: parts}
	audit.Value = parts["all_recorded_p99_ms"] / parts["least_recorded_p99_ms"]
	rows = []benchRow{audit.judged(false)}
	if b.runc != "" {
		row := benchRow{Name: "p99 of a payment service ÷ runc", Least: 1.5, Aim: 1.1, Parts: parts}
		row.Value = parts["least_recorded_p99_ms"] / parts["runc_p99_ms"]
		rows = append(rows, row.judged(false))
	}
	return rows, nil
}

// startLedger starts a ledger as users have it, with two accounts, and makes a token for the services.
func (p *payBench) startLedger(ctx context.Context) error {
	if err := os.Mkdir(p.folder, 0o755); err != nil { //nolint:gosec // what is in it is nobody's
		return fmt.Errorf("make a folder: %w", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("find a free port: %w", err)
	}
	p.ledger = free.Addr().String()
	data := filepath.Join(p.folder, "ledger")
	cmd := exec.CommandContext(ctx, p.sterling, "up", "--data", data, "--listen", p.ledger)
	if err := free.Close(); err != nil {
		return err
	}
	if err := p.start(cmd); err != nil {
		return err
	}
	if err := p.await(ctx, func() bool { return answers(ctx, http.DefaultTransport, "http://"+p.ledger+"/readyz") }); err != nil {
		return fmt.Errorf("wait for the ledger: %w", err)
	}
	for _, args := range [][]string{
		{"ledger", "create-accounts", "--data", data, "--server", p.ledger, "--asset", "CNY/2", "--code", "1", "100", "101"},
		{"token", "create", "--data", data, "--role", "teller", "bench"},
	} {
		_, out, err := p.timed(exec.CommandContext(ctx, p.sterling, args...))
		if err == nil {
			err = os.WriteFile(p.token(), []byte(strings.TrimSpace(out)), 0o600) // the last one is the token
		}
		if err != nil {
			return err
		}
	}
	known := func() bool { // the ledger reads its list of tokens now and then
		_, _, err := p.timed(exec.CommandContext(ctx, p.sterling, "ledger", "accounts", "--server", p.ledger, "--token-file", p.token(), "100"))
		return err == nil
	}
	if err := p.await(ctx, known); err != nil {
		return fmt.Errorf("wait for the ledger to know the token: %w", err)
	}
	return os.Chown(p.token(), payUser, payUser)
}

func (p *payBench) token() string { return filepath.Join(p.folder, "token") }

// start starts a command that end ends by SIGTERM.
func (p *payBench) start(cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %q: %w", cmd.Args, err)
	}
	p.ends = append(p.ends, func() error {
		if err := errors.Join(cmd.Cancel(), cmd.Wait()); err != nil {
			return fmt.Errorf("end %q: %w: %s", cmd.Args, err, said.Bytes())
		}
		return nil
	})
	return nil
}

// await asks until there is an answer, for 20 seconds.
func (p *payBench) await(ctx context.Context, there func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for !there() {
		if err := clock.Sleep(ctx, p.runner.Clock, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func answers(ctx context.Context, by http.RoundTripper, url string) bool {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	answer, err := by.RoundTrip(q)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// startServices starts the service in each kind of container.
func (p *payBench) startServices(ctx context.Context) error {
	image := filepath.Join(p.folder, "image")
	digest, err := gvisor.Build(p.sterling, image)
	if err != nil {
		return err
	}
	for kind, more := range map[string]string{"least_recorded": "", "all_recorded": "audit: {events: [file, network, identity]}\n"} {
		policy := filepath.Join(p.folder, kind+".yaml")
		err := os.WriteFile(policy, fmt.Appendf(nil, "version: 1\nname: pay\nroot: {image: %q, digest: %q}\ncommand: %s\nenvironment: {GOMAXPROCS: %q}\nsecrets: [{name: token, file: %q}]\n"+
			"network: {listen: [http], egress: [{name: ledger, address: %q}]}\nlimits: {cpu: %d, memory: 1GiB, processes: 1000}\n%s",
			image, digest, payCommand("unix:/run/services/ledger"), payProcessors, p.token(), p.ledger, runtime.NumCPU(), more), 0o600)
		if err != nil {
			return err
		}
		id := "pay-" + strings.ReplaceAll(kind, "_", "-")
		if _, _, err := p.timed(exec.CommandContext(ctx, p.runner.Program, "run", "--detach", policy, "--id", id, "--state", p.runner.State)); err != nil {
			return err
		}
		p.ends = append(p.ends, func() error {
			return errors.Join(p.runner.Stop(context.WithoutCancel(ctx), id), p.runner.Remove(id))
		})
		status, err := p.runner.Inspect(id)
		if err != nil {
			return err
		}
		p.sockets[kind] = status.Listen["http"]
	}
	if p.runc != "" {
		if err := p.startRunc(ctx, image, digest); err != nil {
			return err
		}
	}
	for kind, socket := range p.sockets {
		by := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}}
		if err := p.await(ctx, func() bool { return answers(ctx, by, "http://pay/healthz") }); err != nil {
			return fmt.Errorf("wait for the service %s: %w", kind, err)
		}
	}
	return nil
}

// payCommand is the service's command line, in JSON.
func payCommand(ledger string) []byte {
	text, _ := json.Marshal([]string{ // texts are never refused
		"/sterling", "demo", "payments", "--listen", "/run/listen/http", "--server", ledger, "--token-file", "/run/secrets/token",
	})
	return text
}

// startRunc starts the service in a container as runc makes it by default, but in the host's network.
func (p *payBench) startRunc(ctx context.Context, image, digest string) error {
	root, scratch, listen := filepath.Join(p.folder, "rootfs"), filepath.Join(p.folder, "layout"), filepath.Join(p.folder, "listen")
	for _, folder := range []string{root, scratch, listen} {
		if err := os.Mkdir(folder, 0o755); err != nil { //nolint:gosec // what is in it is nobody's
			return fmt.Errorf("make a folder: %w", err)
		}
	}
	if err := os.Chown(listen, payUser, payUser); err != nil {
		return err
	}
	if _, err := gvisor.Unpack(image, digest, scratch, root); err != nil {
		return err
	}
	if _, _, err := p.timed(exec.CommandContext(ctx, p.runc, "spec", "--bundle", p.folder)); err != nil {
		return err
	}
	err := respec(filepath.Join(p.folder, "config.json"), func(process, all map[string]any) error {
		process["args"], process["user"] = json.RawMessage(payCommand(p.ledger)), map[string]any{"uid": payUser, "gid": payUser}
		environment, ok := process["env"].([]any)
		mounts, has := all["mounts"].([]any)
		linux, too := all["linux"].(map[string]any)
		if !ok || !has || !too {
			return errors.New("runc's configuration has no environment, mounts or namespaces")
		}
		process["env"] = append(environment, "GOMAXPROCS="+payProcessors)
		for source, target := range map[string]string{listen: "/run/listen", p.token(): "/run/secrets/token"} {
			mounts = append(mounts, map[string]any{"source": source, "destination": target, "type": "bind", "options": []string{"rbind", "rw"}})
		}
		all["mounts"], linux["namespaces"] = mounts, []map[string]string{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}
		return nil
	})
	if err != nil {
		return err
	}
	p.sockets["runc"] = filepath.Join(listen, "http")
	return p.start(exec.CommandContext(ctx, p.runc, "--root", filepath.Join(p.folder, "runc"), "run", "--bundle", p.folder, fmt.Sprintf("bench-pay-%d", os.Getpid())))
}
