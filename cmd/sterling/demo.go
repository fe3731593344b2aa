package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo"
	"github.com/sterlingrun/sterling/node"
)

// What `up --demo` runs.
const (
	gentleRate     = 50 // stories a second
	gentleAccounts = 500
	gentleDay      = 10 * time.Minute
)

func newDemo() *cobra.Command {
	var (
		f      ledgerFlags
		inject string
		d      = demo.Config{Accounts: 1000, Rate: 100, Duration: time.Minute}
	)
	c := &cobra.Command{
		Use: "demo", Short: "Run a bank with customers, merchants and a sale in the evening", Args: cobra.NoArgs,
		Long: `Lives a bank's day on a running server: card payments (reserved, then captured whole
or in parts, voided or expired), refunds, salaries, payments, instalments, currency
exchange and, from eight in the evening, a sale with cash back at several times the
usual load. Every transfer goes through the API.

Accounts have the same ids in every run and are made once. Transfers have ids made
from the seed: with the same --seed and the other flags alike, a second run finds
them all and moves nothing.

Where the server's watch has the bank's flows (sterling up --demo on a new folder), the
bank's witnesses tell it what was ordered, and what card schemes and other banks say. Only
one bank can do so at a time. Then --inject makes faults, for real: money moves that nobody
ordered, an order is not carried out, a card scheme pays twice. Only a demonstration's
folder takes that.

With --shadow it is the load of a load test: marked as shadow traffic, on the accounts of
the live bank by their ids, but in the ledger's shadow. It has no witnesses.`,
		Example: `  sterling demo
  sterling demo --rate 2000 --accounts 100000 --duration 5m
  sterling demo --seed 7 --duration 10s   # and the same again: all of it exists
  sterling demo --inject list
  sterling demo --inject duplicate_post,missing_post`,
		RunE: func(c *cobra.Command, _ []string) error {
			if inject != "" {
				return runInject(c, &f, inject)
			}
			return runDemo(c, &f, d)
		},
	}
	flags := c.Flags()
	flags.StringVar(&inject, "inject", "", "make faults of these classes in a demonstration whose bank is at work, and follow them until the watch has found them; list: what there is")
	flags.StringVar(&f.server, "server", node.DefaultConfig().Listen, "address of the server, host:port")
	flags.StringVar(&f.data, "data", node.DefaultConfig().Data, "data folder, where the admin token is looked for")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token (default: "+tokenEnv+", or else "+auth.AdminFile+" in the data folder)")
	f.registerTLS(flags)
	f.registerShadow(flags)
	flags.IntVar(&d.Accounts, "accounts", d.Accounts, "customers")
	flags.Float64Var(&d.Rate, "rate", d.Rate, "payments and other stories begun a second, on average over the day")
	flags.DurationVar(&d.Duration, "duration", d.Duration, "how long stories begin (0: until interrupted)")
	flags.DurationVar(&d.Day, "day", 0, "how long the bank's day takes (default: the duration, or 10m)")
	flags.Uint64Var(&d.Seed, "seed", 0, "makes the plan (default: another one every time)")
	flags.DurationVar(&d.Patience, "patience", 5*time.Minute, "how long to wait for a server that went away")
	c.AddCommand(newDemoPayments())
	return c
}

func runDemo(c *cobra.Command, f *ledgerFlags, d demo.Config) (err error) {
	d.Shadow = f.shadow
	if d.Day == 0 {
		if d.Day = d.Duration; d.Day == 0 {
			d.Day = gentleDay
		}
	}
	if d.Seed == 0 {
		d.Seed = demo.SeedOf(time.Now().String(), strconv.Itoa(os.Getpid()))
	}
	token, err := f.token()
	if err != nil {
		return err
	}
	if d.Client, err = f.dial(token.token); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Client.Close()) }()
	if d.Witnesses, err = f.dial(token.token); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Witnesses.Close()) }()
	line := newStatusLine(c.ErrOrStderr())
	d.Warn = func(why string) {
		line.clear()
		c.PrintErrln("warning: " + why)
	}
	d.Progress = func(s demo.Status) { line.show(func() string { return demoProgress(s) }) }
	summary, err := demo.Run(c.Context(), d)
	line.clear()
	if errors.Is(err, demo.ErrConfig) {
		return &exitError{exitUsage, err}
	}
	_, printErr := fmt.Fprintf(c.OutOrStdout(), "seed %d\n", d.Seed)
	return errors.Join(err, printErr, summary.WriteText(c.OutOrStdout()))
}

func demoProgress(s demo.Status) string {
	if s.Opening {
		return "opening accounts"
	}
	note := ""
	if s.Unreachable {
		note = "   the server can't be reached: trying again"
	}
	return fmt.Sprintf("%02d:%02d   %d transfers   %.0f/s   p99 %.1f ms   %d refused%s", int(s.TimeOfDay.Hours()), int(s.TimeOfDay.Minutes())%60,
		s.Transfers, s.PerSecond, float64(s.P99)/1e6, s.Refused, note)
}

// startDemo begins to run the bank gently on a node of this process; stop ends that and waits. Errors of the bank are no
// reason to stop the server.
func startDemo(ctx context.Context, w io.Writer, address string, config node.Config, logger *slog.Logger) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := gentleDemo(ctx, w, address, config, logger); err != nil {
			logger.Error("the demo bank stopped; the server goes on", "error", err)
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// gentleDemo says what to look at, and runs.
func gentleDemo(ctx context.Context, w io.Writer, address string, config node.Config, logger *slog.Logger) (err error) {
	token, err := os.ReadFile(filepath.Join(config.Data, auth.AdminFile))
	if err != nil {
		return fmt.Errorf("read the admin token: %w", err)
	}
	var ends [2]*client.Client // of the bank, and of its witnesses
	for i := range ends {
		c, err := client.Dial(address, strings.TrimSpace(string(token)), client.WithPlaintext()) // it does not leave the process
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		ends[i] = c
	}
	_, _ = fmt.Fprintf(w, `
A demo bank with %d customers is at work, a day in %v. Look at:
  %[3]s ledger statement%[4]s %[5]s   a customer
  %[3]s ledger accounts%[4]s %[6]s %[7]s   a merchant, and the bank's fees
  %[3]s watch status%[4]s --follow   through when all of its money is proven safe
  %[3]s demo%[4]s --inject duplicate_post   what happens when it is not (--inject list: what else can go wrong)
  curl -s http://%[8]s/metrics | grep ^sterling_
`, gentleAccounts, gentleDay, program(), clientFlags(config, address),
		demo.AccountID(demo.Customer, 0), demo.AccountID(demo.Merchant, 0), demo.AccountID(demo.Fees, 0), address)
	summary, err := demo.Run(ctx, demo.Config{
		Client: ends[0], Witnesses: ends[1], Warn: func(why string) { logger.Warn(why) }, Seed: demo.SeedOf(time.Now().String()), Accounts: gentleAccounts, Rate: gentleRate, Day: gentleDay,
	})
	if summary != nil {
		logger.Info("the demo bank has closed", "created", summary.Created, "refused", summary.Refused)
	}
	return err
}
