package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/proxy"
)

// subject is one proxy, or a pair of them, that is ready to carry requests.
type subject struct {
	name, subject string // the case, and who does it
	address       string
	pids          []int
	connections   []int
	call          func(end time.Time) ([]int64, error) // requests one after the other; nil: as HTTP/1.1 or gRPC, by name
}

// fleet is the processes of a run.
type fleet struct {
	plan
	dir   string
	other bool     // what starts next is the build beside this one
	env   []string // of what starts next; nil: this process's

	ctx     context.Context //nolint:containedctx // of the run
	keeping sync.WaitGroup  // of certificates
	procs   []*exec.Cmd
	n       int
}

func (f *fleet) end() (err error) {
	for _, p := range f.procs {
		if e := p.Process.Kill(); e != nil && !errors.Is(e, os.ErrProcessDone) {
			err = errors.Join(err, e)
		}
		_ = p.Wait() // killed
	}
	return err
}

func (f *fleet) start(cmd *exec.Cmd) (pid int, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	f.procs = append(f.procs, cmd)
	return cmd.Process.Pid, nil
}

// self starts this program in a role and returns the address that it announces.
func (f *fleet) self(role, config string) (string, error) {
	cmd, err := f.role(role, config)
	if err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("start as %s: %w", role, err)
	}
	if _, err := f.start(cmd); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("start as %s: %w", role, err)
	}
	return strings.TrimSpace(line), nil
}

// file writes a file of a subject and returns its path.
func (f *fleet) file(name, text string) (string, error) {
	f.n++
	path := filepath.Join(f.dir, fmt.Sprintf("%d-%s", f.n, name))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write a configuration: %w", err)
	}
	return path, nil
}

// subjects starts every proxy of every case.
func (f *fleet) subjects(backend, calls string) (list []*subject, skipped []string, err error) {
	few, many := []int{16, 64}, []int{1, 16, 64}
	for _, one := range []struct {
		name, who   string
		connections []int
		start       func(backend string) (address string, pids []int, err error)
	}{
		{"grpc", "haproxy", few, f.haproxyGRPC},
		{"grpc", "nginx", few, f.nginxGRPC},
		{"grpc", "sterling", few, f.sterlingGRPC},
		{"l7", "haproxy", many, f.haproxy("http", "", "")},
		{"l7", "nginx", many, f.nginx},
		{"l7", "sterling", many, f.sterling("http", "", "")},
		{"mtls-pair", "haproxy", few, f.pair(f.haproxy("http", "tls", ""), f.haproxy("http", "", "tls"))},
		{"mtls-pair", "sterling", few, f.pair(f.sterling("http", "tls", ""), f.sterling("http", "", "tls"))},
		{"l4", "haproxy", few, f.haproxy("tcp", "", "")},
		{"l4", "sterling", few, f.sterling("tcp", "", "")},
		{"grpc", besideUs, few, f.sterlingGRPC},
		{"l7", besideUs, many, f.sterling("http", "", "")},
		{"mtls-pair", besideUs, few, f.pair(f.sterling("http", "tls", ""), f.sterling("http", "", "tls"))},
		{"l4", besideUs, few, f.sterling("tcp", "", "")},
	} {
		if f.other = one.who == besideUs; !f.has(one.name) || f.other && f.beside == "" {
			continue
		}
		to := backend
		if one.name == "grpc" {
			to = calls
		}
		address, pids, err := one.start(to)
		if errors.Is(err, exec.ErrNotFound) {
			skipped = append(skipped, fmt.Sprintf("%s %s: %v", one.name, one.who, err))
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		list = append(list, &subject{name: one.name, subject: one.who, address: address, pids: pids, connections: one.connections})
	}
	f.other = false
	return list, skipped, nil
}

// besideUs is our proxy as another build has it.
const besideUs = "sterling-beside"

type starter = func(to string) (address string, pids []int, err error)

// pair puts two proxies behind each other: outer takes from the client, inner reaches the endpoint.
func (f *fleet) pair(inner, outer starter) starter {
	return func(to string) (string, []int, error) {
		between, pids, err := inner(to)
		if err != nil {
			return "", nil, err
		}
		address, more, err := outer(between)
		return address, append(pids, more...), err
	}
}

// haproxy is HAProxy in a mode; in and out are "tls" where that side speaks mTLS.
func (f *fleet) haproxy(mode, in, out string) starter {
	return func(to string) (string, []int, error) {
		path, err := find("haproxy")
		if err != nil {
			return "", nil, err
		}
		address, err := freeAddress()
		if err != nil {
			return "", nil, err
		}
		bind, server := "", ""
		if in != "" {
			bind = fmt.Sprintf(" ssl crt %s/cert.pem ca-file %s/ca.pem verify required ssl-min-ver TLSv1.3", f.dir, f.dir)
		}
		if out != "" {
			server = fmt.Sprintf(" ssl crt %s/cert.pem ca-file %s/ca.pem verify required ssl-min-ver TLSv1.3", f.dir, f.dir)
		}
		reuse := ""
		if mode == "http" {
			reuse = " http-reuse always\n"
		}
		config, err := f.file("haproxy.cfg", fmt.Sprintf(`global
 maxconn 5000
defaults
 mode %s
 timeout connect 2s
 timeout client 60s
 timeout server 60s
frontend in
 bind %s%s
 default_backend app
backend app
%s server app %s%s
`, mode, address, bind, reuse, to, server))
		if err != nil {
			return "", nil, err
		}
		pid, err := f.start(exec.Command(path, "-q", "-db", "-f", config))
		if err != nil {
			return "", nil, err
		}
		return address, []int{pid}, waitFor(address)
	}
}

// nginx is nginx as an HTTP proxy, in one process.
func (f *fleet) nginx(to string) (string, []int, error) {
	path, err := find("nginx")
	if err != nil {
		return "", nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return "", nil, err
	}
	config, err := f.file("nginx.conf", fmt.Sprintf(`daemon off; master_process off; pid %[1]s/nginx.pid; error_log stderr crit;
events { worker_connections 4096; }
http {
 access_log off; keepalive_requests 1000000000; client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
 upstream app { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
 server { listen %[2]s; location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
`, f.dir, address, to))
	if err != nil {
		return "", nil, err
	}
	pid, err := f.start(exec.Command(path, "-c", config))
	if err != nil {
		return "", nil, err
	}
	return address, []int{pid}, waitFor(address)
}

const meshID = "spiffe://bank.example/cell/1/svc/bench"

// sterling is our proxy with what a route for money has: a limiter, a deadline, trace and identity, statistics.
func (f *fleet) sterling(mode, in, out string) starter {
	return func(to string) (string, []int, error) {
		listener, cluster, routes := `caller: "`+meshID+`"`, "", ""
		if in != "" {
			listener = "mtls: true"
		}
		if out != "" {
			cluster = `, mtls: true, peers: ["` + meshID + `"]`
		}
		if mode == "tcp" {
			listener += ", cluster: app"
		} else {
			routes = `routes: [{name: pay, match: {hosts: [pay.bank.example], prefix: /v1}, money: true, priority: pay, retry: {attempts: 2}, timeout: 5s, backends: [{cluster: app}]}]`
		}
		config, err := f.file("proxy.yaml", fmt.Sprintf(`listeners: [{name: in, address: "127.0.0.1:0", protocol: %s, %s}]
clusters: [{name: app, adaptive: true, endpoints: [{address: "%s"}]%s}]
%s
`, mode, listener, to, cluster, routes))
		if err != nil {
			return "", nil, err
		}
		address, err := f.self("proxy", config)
		return address, []int{f.last()}, err
	}
}

// serveProxy runs our proxy until it is ended. It announces the address of its listener.
func serveProxy(config string) error {
	defer runtime.KeepAlive(proxy.HeapFloor()) // as a node of the mesh does
	text, err := os.ReadFile(filepath.Clean(config))
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	c, err := proxy.ParseConfig(text)
	if err != nil {
		return err
	}
	id, err := loadIdentity(filepath.Dir(config))
	if err != nil {
		return err
	}
	p, err := proxy.New(c, proxy.Options{Identity: id, Clock: clock.NewSystem(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	if _, err := fmt.Println(p.Addr("in")); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	<-ctx.Done()
	return p.Shutdown(context.Background())
}

// identity is the certificate of a run.
type identity struct {
	cert  tls.Certificate
	roots *x509.CertPool
}

func (i *identity) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return &i.cert, nil
}

func (i *identity) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return &i.cert, nil
}

func (i *identity) Roots(string) (*x509.CertPool, error) { return i.roots, nil }

func loadIdentity(dir string) (*identity, error) {
	file := filepath.Join(dir, "cert.pem")
	cert, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return nil, fmt.Errorf("load the certificate: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(filepath.Clean(dir), "ca.pem"))
	if err != nil {
		return nil, fmt.Errorf("load the authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &identity{cert, roots}, nil
}

// certificates makes an authority and one certificate, for both sides of every proxy.
func (f *fleet) certificates() error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	id, err := url.Parse(meshID)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "bench"}, URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("make the authority: %w", err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return fmt.Errorf("make the certificate: %w", err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the key: %w", err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	return errors.Join(
		os.WriteFile(filepath.Join(f.dir, "ca.pem"), block("CERTIFICATE", caDER), 0o600),
		os.WriteFile(filepath.Join(f.dir, "cert.pem"), append(block("CERTIFICATE", leafDER), block("PRIVATE KEY", keyDER)...), 0o600))
}

func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		return "", fmt.Errorf("%w: install with apt-get install %s", exec.ErrNotFound, name)
	}
	return path, nil
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// waitFor waits until somebody listens at address.
func waitFor(address string) error {
	var err error
	for range 500 {
		var c net.Conn
		if c, err = net.DialTimeout("tcp", address, time.Second); err == nil {
			return c.Close()
		}
		_ = clock.Sleep(context.Background(), clock.NewSystem(), 10*time.Millisecond) // it ends by itself
	}
	return fmt.Errorf("wait for %s: %w", address, err)
}
