package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/engines"
)

const (
	kindPostgres = "postgres"
	kindGalera   = "galera"
)

// trio is what both kinds of cluster can do. Nodes are 0 to 2.
type trio interface {
	DSN() string
	Kill(node int) error
	Stop(node int) error
	Continue(node int) error
	Start(ctx context.Context, node int) error
	Cut(node int) error
	Heal(node int) error
	Pid(node int) int
	Settled(ctx context.Context) error
	Status(ctx context.Context) []engines.NodeStatus
	Close() error
}

const nodes = 3

// waitWithin is shorter than what the caller waits, so that it hears what was missing.
const waitWithin = callWithin - 20*time.Second

func startTrio(ctx context.Context, dir, kind string, log *slog.Logger) (trio, error) {
	o := engines.Options{Dir: dir, Logger: log}
	switch kind {
	case kindPostgres:
		return engines.StartPostgresTrio(ctx, o)
	case kindGalera:
		return engines.StartGaleraTrio(ctx, o)
	default:
		return nil, fmt.Errorf("unknown kind %q; want %s or %s", kind, kindPostgres, kindGalera)
	}
}

// serve owns the servers until ctx ends (SIGTERM).
func serve(ctx context.Context, dir, kind string) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	t, err := startTrio(ctx, dir, kind, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	port, _ := l.Addr().(*net.TCPAddr) // what Listen("tcp4") gives
	s := state{Kind: kind, Pid: os.Getpid(), Port: port.Port, Token: rand.Text(), DSN: t.DSN()}
	server := &http.Server{Handler: guard(s.Token, handler(t)), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := s.write(dir); err != nil {
		return errors.Join(err, server.Close())
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve commands: %w", err)
	case <-ctx.Done():
		return server.Close()
	}
}

// guard lets only callers in that know the token: any user of this machine can reach the port.
func guard(token string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+token)) != 1 {
			http.Error(w, "not with this token", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func handler(t trio) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ping", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /status", func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(t.Status(r.Context())); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /wait", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), waitWithin)
		defer cancel()
		answer(w, t.Settled(ctx))
	})
	for name, do := range map[string]func(ctx context.Context, node int) error{
		"kill": func(_ context.Context, node int) error { return t.Kill(node) },
		"stop": func(_ context.Context, node int) error { return t.Stop(node) },
		"cut":  func(_ context.Context, node int) error { return t.Cut(node) },
		"heal": func(_ context.Context, node int) error { return t.Heal(node) },
		"start": func(ctx context.Context, node int) error {
			if t.Pid(node) != 0 {
				return t.Continue(node)
			}
			return t.Start(ctx, node)
		},
	} {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			node, err := whichNode(t, r.FormValue("node"))
			if err == nil {
				err = do(r.Context(), node)
			}
			answer(w, err)
		})
	}
	return mux
}

// whichNode is the index of "1" to "3", or of the primary where there is one.
func whichNode(t trio, name string) (int, error) {
	if p, ok := t.(interface{ Primary() int }); ok && name == "primary" {
		return p.Primary(), nil
	}
	n, err := strconv.Atoi(name)
	if err != nil || n < 1 || n > nodes {
		return 0, fmt.Errorf("no node %q: want 1 to %d, or, of a PostgreSQL cluster, primary", name, nodes)
	}
	return n - 1, nil
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}
