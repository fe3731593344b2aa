package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/export"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newExport() *cobra.Command {
	c := &cobra.Command{
		Use: "export", Short: "Write accounts, transfers, balances or a whole journal into a file",
		Long: `An export shows one moment: everything up to the last transfer that was recorded when
it began. The file appears when it is whole. See docs/guides/export.md.`,
		Example: `  sterling export transfers --format csv --out transfers.csv --since 2026-01-01
  sterling export balances --format parquet --out balances.parquet --until 2026-01-31T23:59:59.999999999Z
  sterling export journal --format hledger --out sterling.journal`,
	}
	c.AddCommand(
		newExportOf(export.Accounts, "Every field of the accounts, with their balances"),
		newExportOf(export.Transfers, "Every field of the transfers, as recorded"),
		newExportOf(export.Balances, "Totals and balance of each account, now or at an earlier time"),
		newExportOf(export.Journal, "Everything, for a plain-text accounting tool that checks it"),
	)
	return c
}

// exportFlags are the flags of an export.
type exportFlags struct {
	ledgerFlags
	format, out, since, until, asset, names string
	accounts                                []string
	code                                    uint16
}

func newExportOf(what export.What, short string) *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use: string(what), Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o, err := f.options(what)
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return f.run(ctx, s, o) })
		},
	}
	f.register(c)
	c.Flags().StringVar(&f.out, "out", "", "file to write, or - for standard output")
	c.Flags().StringVar(&f.until, "until", "", "the moment: up to then, inclusive: 2026-01-31, 2026-01-31T12:00:00Z or nanoseconds since 1970")
	c.Flags().StringVar(&f.asset, "asset", "", "only this asset, CODE/SCALE or an ISO 4217 code")
	if what == export.Journal {
		c.Flags().StringVar(&f.format, "format", "", "hledger or beancount")
		c.Flags().StringVar(&f.names, "map", "", "YAML file that says under which name accounts go, by their code")
		return c
	}
	c.Flags().StringVar(&f.format, "format", "csv", "csv, jsonl or parquet")
	c.Flags().StringArrayVar(&f.accounts, "account", nil, "only this account; may be given several times")
	c.Flags().Uint16Var(&f.code, "code", 0, "only rows with this code")
	if what == export.Transfers {
		c.Flags().StringVar(&f.since, "since", "", "from then on, inclusive")
	}
	return c
}

func (f *exportFlags) options(what export.What) (o export.Options, err error) {
	o = export.Options{What: what, Format: export.Format(f.format), Code: uint32(f.code)}
	if f.out == "" {
		return o, usage("an export needs --out FILE, or --out - for standard output")
	}
	if o.Since, err = parseTime(f.since); err != nil {
		return o, err
	}
	if o.Until, err = parseTime(f.until); err != nil {
		return o, err
	}
	if o.Asset, err = assetName("asset", f.asset); err != nil {
		return o, err
	}
	for _, text := range f.accounts {
		id, err := money.Parse(text)
		if err != nil {
			return o, usage("--account: %w", err)
		}
		o.Accounts = append(o.Accounts, id)
	}
	if f.names != "" {
		if o.Names, err = export.LoadNames(f.names); err != nil {
			return o, usage("--map: %w", err)
		}
	}
	return o, nil
}

func (f *exportFlags) run(ctx context.Context, s *session, o export.Options) (err error) {
	o.Now = uint64(time.Now().UnixNano())
	if o.Progress, err = s.exportBar(ctx, o); err != nil {
		return err
	}
	var sum export.Summary
	write := func(w io.Writer) (err error) {
		sum, err = export.Run(ctx, s.client, w, o)
		return err
	}
	if f.out == "-" {
		err = write(s.c.OutOrStdout())
	} else {
		err = export.ToFile(f.out, write)
	}
	if errors.Is(err, export.ErrOptions) {
		return usage("%w", err)
	}
	if err != nil {
		return err
	}
	return f.report(s, o, sum)
}

// report tells what was written: on standard error if the rows are on standard output.
func (f *exportFlags) report(s *session, o export.Options, sum export.Summary) error {
	if o.Format == export.Beancount && sum.Digits > export.BeancountDigits {
		s.note("amounts have up to %d digits, beancount counts with %d: docs/guides/export.md says how it counts with more", sum.Digits, export.BeancountDigits)
	}
	w := s.c.OutOrStdout()
	if f.out == "-" {
		w = s.c.ErrOrStderr()
	}
	if f.output == "json" {
		return json.NewEncoder(w).Encode(sum)
	}
	through := stamp(sum.Through)
	if through == "" {
		through = "none"
	}
	_, err := fmt.Fprintf(w, "rows     %d\nthrough  %s\nblock    %d\n", sum.Rows, through, sum.Seq)
	return err
}

// exportBar shows how far an export is, when a person watches.
func (s *session) exportBar(ctx context.Context, o export.Options) (func(rows int), error) {
	w := s.c.ErrOrStderr()
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil, nil
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	status, err := s.admin.Status(ctx, &ledgerv1.StatusRequest{})
	if err != nil {
		return nil, err
	}
	rows := status.GetTransfers()
	if o.What != export.Transfers {
		rows += status.GetAccounts()
	}
	bar := progressbar.NewOptions64(int64(rows), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription("exporting"), progressbar.OptionClearOnFinish(), //nolint:gosec // a count
		progressbar.OptionSetItsString("rows"), progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond))
	return func(done int) { _ = bar.Set(min(done, int(rows))) }, nil //nolint:gosec // a count
}
