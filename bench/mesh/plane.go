package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/durable"
)

const meshDomain = "bank.example"

// plane is a mesh of real processes: a control plane, and two nodes with which a shop calls a service of payments. Of
// the services, pay is behind a node, and book is a proxyless gRPC server.
type plane struct {
	f      *fleet
	dir    string
	app    string // the plain program behind pay
	port   string // where the shop calls pay
	pay    string // where pay's node takes calls
	book   string // where book takes calls
	nodes  map[string]int
	starts int
}

// program is the sterling program: as named, or built.
func (f *fleet) program() (string, error) {
	if f.sterlingPath != "" {
		return filepath.Abs(f.sterlingPath)
	}
	path := filepath.Join(f.dir, "sterling")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	out, err := exec.Command("go", "build", "-o", path, "github.com/sterlingrun/sterling/cmd/sterling").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build sterling (name a program by -sterling instead): %w\n%s", err, out)
	}
	return path, nil
}

// plane starts a control plane whose certificates are good for lifetime, and the nodes of pay and of the shop.
func (f *fleet) plane(app string, lifetime time.Duration) (*plane, error) {
	dir, err := os.MkdirTemp(f.dir, "mesh-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	p := &plane{f: f, dir: dir, app: app, nodes: map[string]int{}}
	for _, at := range []*string{&p.port, &p.pay, &p.book} {
		if *at, err = freeAddress(); err != nil {
			return nil, err
		}
	}
	if err := p.allow(true); err != nil {
		return nil, err
	}
	err = p.start("mesh", "control", "--state", p.state(), "--domain", meshDomain, "--data", dir, "--certificates", lifetime.String())
	if err != nil {
		return nil, err
	}
	for _, service := range []string{"pay", "shop"} {
		if err := p.node(service); err != nil {
			return nil, err
		}
	}
	return p, p.await(func() bool { status, _ := p.once(); return status == "200" })
}

func (p *plane) state() string         { return filepath.Join(p.dir, "mesh.yaml") }
func (p *plane) socket() string        { return filepath.Join(p.dir, "control.sock") }
func (p *plane) id(name string) string { return "spiffe://" + meshDomain + "/cell/c1/svc/" + name }

// node starts the node of a service; where one runs, the new one takes its listeners over.
func (p *plane) node(service string) error {
	err := p.start("mesh", "node", "--data", filepath.Join(p.dir, service), "--control", "unix:"+p.socket(), "--identity", p.id(service))
	p.nodes[service] = p.f.last()
	return err
}

// start starts the sterling program, with its log in a file, and waits until it is ready.
func (p *plane) start(args ...string) error {
	path, err := p.f.program()
	if err != nil {
		return err
	}
	p.starts++
	logged, err := os.Create(filepath.Join(p.dir, fmt.Sprintf("%d.log", p.starts)))
	if err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	defer func() { _ = logged.Close() }() // the process has its own
	cmd := exec.Command(path, args...)
	cmd.Stderr = logged
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start sterling: %w", err)
	}
	if _, err := p.f.start(cmd); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "Sterling is ready") {
		text, _ := os.ReadFile(logged.Name())
		return fmt.Errorf("start sterling %s: said %q; %w\n%s", strings.Join(args, " "), line, err, text)
	}
	return nil
}

// logged counts the lines of all logs that have a text.
func (p *plane) logged(text string) (n int, err error) {
	for i := range p.starts {
		b, err := os.ReadFile(filepath.Join(p.dir, fmt.Sprintf("%d.log", i+1)))
		if err != nil {
			return 0, fmt.Errorf("read a log: %w", err)
		}
		n += bytes.Count(b, []byte(text))
	}
	return n, nil
}

// allow writes the desired state: callers may call all methods that they call here, or one that nobody does.
func (p *plane) allow(all bool) error {
	to := "[/nothing]"
	if all {
		to = "[/v1/*, " + grpcCall + "]"
	}
	_, port, err := net.SplitHostPort(p.port)
	if err != nil {
		return err
	}
	var b strings.Builder
	object := func(kind, name, spec string, args ...any) {
		fmt.Fprintf(&b, "apiVersion: mesh.sterling.run/v1\nkind: %s\nmetadata: {name: %s}\nspec: %s\n---\n", kind, name, fmt.Sprintf(spec, args...))
	}
	object("Cells", "cells", `{buckets: 1, cells: [{name: c1, region: r1, zone: z1, buckets: ["0"]}]}`)
	object("Service", "pay", `{protocol: http, port: %s, money: {methods: [/v1/payments]}, backends: [{cell: c1, address: "%s", app: "%s"}]}`, port, p.pay, p.app)
	object("Service", "book", `{protocol: grpc, limits: {requests: 1000}, ejection: {failurePercent: 100, requests: 20, interval: 1s, time: 1s, maxPercent: 50}, backends: [{cell: c1, address: "%s"}]}`, p.book)
	for _, service := range []string{"pay", "book"} {
		object("Authorization", service, "{service: %s, allow: [{from: [{service: shop}], to: %s}]}", service, to)
	}
	for _, service := range []string{"pay", "book", "shop"} {
		object("Identity", service, "{service: %s, cell: c1, unix: {uid: %d}}", service, os.Getuid())
	}
	return durable.WriteFile(p.state(), []byte(b.String()))
}

// once sends one request as the shop.
func (p *plane) once() (status string, err error) {
	o := &offer{address: p.port, class: "v1/payments"}
	c, status, err := o.ask(time.Now().Add(patience), 0)
	if c != nil {
		_ = c.Close() // it is for this request
	}
	return status, err
}

// await waits for what takes seconds at most.
func (p *plane) await(is func() bool) error {
	for end := time.Now().Add(20 * time.Second); !is(); {
		if time.Now().After(end) {
			return errors.New("wait for the mesh: it is not ready after 20 s")
		}
		_ = clock.Sleep(context.Background(), clock.NewSystem(), 10*time.Millisecond) // it ends by itself
	}
	return nil
}

// memory measures a node with 1,000 idle connections, each of which has carried a request.
func (p *plane) memory(r *Report) (err error) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close())
		}
	}()
	for range 1000 {
		c, err := net.DialTimeout("tcp", p.port, patience)
		if err != nil {
			return fmt.Errorf("open 1,000 connections to a node: %w", err)
		}
		conns = append(conns, c)
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(c, requestText); err != nil {
			return err
		}
		if err := readAnswer(bufio.NewReaderSize(c, 1024)); err != nil {
			return err
		}
	}
	proc, err := procfs.NewProc(p.nodes["shop"])
	if err != nil {
		return fmt.Errorf("look at a node: %w", err)
	}
	status, err := proc.NewStatus()
	if err != nil {
		return fmt.Errorf("look at a node: %w", err)
	}
	// Of the program's file, the kernel maps what happens to be in its cache, nearly all of it; all processes share that.
	r.most("memory of a node with 1,000 idle connections", float64(status.RssAnon)/1e6, "MB", 64, 32)
	r.row("the same with cached pages of the program's file", float64(status.VmRSS)/1e6, "MB")
	return nil
}
