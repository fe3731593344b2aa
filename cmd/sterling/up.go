package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/console"
	"github.com/sterlingrun/sterling/node"
)

// stopTime is how long calls in flight may take when the process is told to end.
const stopTime = 20 * time.Second

type upFlags struct {
	config, data, listen string
	level, format        string
	store, advertise     string
	cellsSecret          string
	cell                 uint32
	readModel, shadowOf  string
	exposed, demo        bool
}

func newUp() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use: "up", Short: "Start a ledger on this machine", Args: cobra.NoArgs,
		Long: `Starts everything in this process: the journal, the index and the API (gRPC and
JSON over HTTP on one port). The first start makes the data folder and an admin
token in it. It runs until it is interrupted.`,
		Example: `  sterling up
  sterling up --data /var/lib/sterling --listen 127.0.0.1:7600
  sterling up --store postgres://sterling@db1,db2,db3/sterling   # the journal in a database; more nodes stand by
  sterling up --read-model sqlite:ledger.db       # and the ledger as tables, for SQL
  sterling up --demo            # and a bank with customers on it, all of whose money is proven`,
		RunE: func(c *cobra.Command, _ []string) error { return up(c, &f) },
	}
	c.Flags().StringVar(&f.config, "config", "", "YAML file; flags override it")
	c.Flags().StringVar(&f.data, "data", "", "data folder (default sterling-data)")
	c.Flags().StringVar(&f.listen, "listen", "", "address of the API (default 127.0.0.1:7600)")
	c.Flags().BoolVar(&f.exposed, "exposed", false, "allow an address that other machines reach")
	c.Flags().StringVar(&f.store, "store", "", "database that has the journal: postgres://… or mysql://…, or file:PATH of a file with that (default: the data folder)")
	c.Flags().StringVar(&f.readModel, "read-model", "", "database that gets the ledger as tables: postgres://…, mysql://…, sqlite:FILE, or file:PATH of a file with that")
	c.Flags().StringVar(&f.shadowOf, "shadow-of", "", "data folder of another ledger: become its shadow, which takes the shadow traffic of load tests and nothing else")
	c.Flags().StringVar(&f.advertise, "advertise", "", "where clients and other nodes reach this node, with --store (default: --listen)")
	c.Flags().Uint32Var(&f.cell, "cell", 0, "number of the node's cell (default 1)")
	c.Flags().StringVar(&f.cellsSecret, "cells-secret", "", "file that all nodes of all cells share, where the ledger has several, with --store")
	c.Flags().StringVar(&f.level, "log-level", "", "debug, info, warn or error")
	c.Flags().StringVar(&f.format, "log-format", "", "text or json")
	c.Flags().BoolVar(&f.demo, "demo", false, "run the demo bank on it, gently and without end; a new folder becomes a demonstration's")
	return c
}

func (f *upFlags) load() (node.Config, error) {
	config := node.DefaultConfig()
	if f.config != "" {
		var err error
		if config, err = node.LoadConfig(f.config); err != nil {
			return config, err
		}
	}
	for flag, key := range map[*string]*string{&f.data: &config.Data, &f.listen: &config.Listen, &f.level: &config.Log.Level, &f.format: &config.Log.Format, &f.advertise: &config.Store.Advertise, &f.cellsSecret: &config.Cells.SecretFile, &f.shadowOf: &config.Shadow.Of} {
		if *flag != "" {
			*key = *flag
		}
	}
	if f.store != "" {
		_ = storeFlag{&config.Store}.Set(f.store) // any text will do; config.Check looks at it
	}
	if path, isFile := strings.CutPrefix(f.readModel, "file:"); isFile {
		config.ReadModel.DSN, config.ReadModel.DSNFile = "", path
	} else if f.readModel != "" {
		config.ReadModel.DSN, config.ReadModel.DSNFile = f.readModel, ""
	}
	if f.cell != 0 {
		config.Cell = f.cell
	}
	config.Exposed = config.Exposed || f.exposed
	if f.demo && config.Shadow.Of != "" {
		return config, usage("--demo is not for a shadow: run `sterling demo --shadow` beside it")
	}
	if f.demo && config.TLS != nil {
		return config, usage("--demo speaks plain text: start it without tls, or run `sterling demo --tls` beside the server")
	}
	return config, config.Check()
}

func up(c *cobra.Command, f *upFlags) error {
	config, err := f.load()
	if err != nil {
		return err
	}
	logger := newLogger(c.ErrOrStderr(), config.Log)
	audit.RouteDriverLog(logger)
	if f.demo {
		is, err := node.MarkDemo(config.Data)
		if err != nil {
			return err
		}
		if is && len(config.Watch.StopLoss.Rules) == 0 {
			config.Watch.StopLoss = node.DemoStopLoss()
		}
	}
	n, err := node.Start(c.Context(), config, logger, recoveryBar(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	greet(c.OutOrStdout(), n, config)
	stopDemo := func() {}
	if f.demo {
		stopDemo = startDemo(c.Context(), c.OutOrStdout(), n.Address(), config, logger)
	}
	select {
	case <-c.Context().Done():
		logger.Info("stopping: calls in flight are answered first")
	case err = <-n.Fatal():
	}
	stopDemo()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), stopTime)
	defer cancel()
	if stopErr := n.Stop(ctx); err == nil {
		err = stopErr
	}
	return err
}

func newLogger(w io.Writer, config node.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(config.Level)) // Check has seen it
	options := &slog.HandlerOptions{Level: level}
	if config.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// recoveryBar shows how far recovery is, when a person watches and it takes long enough to see.
func recoveryBar(w io.Writer) func(seq, head uint64) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(seq, head uint64) {
		if bar == nil {
			bar = progressbar.NewOptions64(int64(head), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("recovering"), //nolint:gosec // 48 bits
				progressbar.OptionClearOnFinish(), progressbar.OptionSetItsString("blocks"), progressbar.OptionShowIts(), progressbar.OptionThrottle(100*time.Millisecond))
		}
		_ = bar.Set64(int64(seq)) //nolint:gosec // 48 bits
	}
}

// greet says where things are and what to try. Scripts wait for its first line.
func greet(w io.Writer, n *node.Node, config node.Config) {
	token := filepath.Join(config.Data, auth.AdminFile)
	scheme := "http"
	if config.TLS != nil {
		scheme = "https"
	}
	if config.Shadow.Of != "" {
		greetShadow(w, scheme, n, config)
		return
	}
	_, _ = fmt.Fprintf(w, `Sterling is ready on %[6]s://%[1]s

  console       %[6]s://%[3]s/%[7]s
  admin token   %[2]s (the console asks for it)
  health        curl %[6]s://%[3]s/readyz

Try next, in another terminal:
  %[4]s ledger create-accounts%[5]s --asset CNY/2 --code 1 1 2
  %[4]s ledger transfer%[5]s --from 1 --to 2 --amount "12.34 CNY" --code 1
  %[4]s ledger accounts%[5]s 1 2
`, n.Address(), token, n.Address(), program(), clientFlags(config, n.Address()), scheme, unbuilt())
}

// unbuilt says so where this program came without the console's pages.
func unbuilt() string {
	if console.Built() {
		return ""
	}
	return " (not built: make console, then make build)"
}

// clientFlags are what a command needs to find this server, where the defaults won't do.
func clientFlags(config node.Config, address string) string {
	flags := ""
	if config.Data != node.DefaultConfig().Data {
		flags = " --data " + config.Data
	}
	if config.Listen != node.DefaultConfig().Listen {
		flags += " --server " + address
	}
	if config.TLS != nil {
		flags += " --tls"
	}
	return flags
}

// program is what this program was called as, so that what it prints can be typed.
func program() string { return os.Args[0] }
