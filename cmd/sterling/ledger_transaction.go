package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const transactionExample = `  code: 10
  control_sum: 100 CNY
  meta: {order: A-17}
  legs:
    - {from: customer:7, to: merchant:1001, amount: 99.40 CNY}
    - {from: customer:7, to: fees:card, amount: 0.60 CNY, code: 11}`

func newTransaction(f *ledgerFlags) *cobra.Command {
	var id, sum string
	var cycles bool
	c := &cobra.Command{
		Use: "transaction FILE", Short: "Record several transfers, all or none, from a file of YAML or JSON", Args: cobra.ExactArgs(1),
		Long: `Records the legs of a file in order, all or none of them; - is standard input. The id makes
it happen once: with the same id the same file can be sent again. Without --id and
without an id in the file, a new one is made and printed.

` + transactionExample + `

A leg has from, to, amount; or post or void with the id of a pending transfer. Besides:
asset, code, pending, timeout, keep_remainder, flags, booking_date, meta, user_data_128,
user_data_64, user_data_32. Asset and code of the file count for legs that have none.
Without a type in its key, metadata is what YAML takes it for.`,
		Example: `  sterling ledger transaction payment.yaml --id 1700
  sterling ledger transaction - --control-sum "100 CNY" <payment.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			file, err := loadTransaction(c, args[0])
			if err != nil {
				return err
			}
			if id != "" {
				file.ID = id
			}
			if sum != "" {
				file.ControlSum = sum
			}
			file.AllowCycles = file.AllowCycles || cycles
			return f.with(c, func(ctx context.Context, s *session) error { return s.transaction(ctx, args[0], file) })
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of the transaction (default: that of the file, or a new one)")
	c.Flags().StringVar(&sum, "control-sum", "", `what the legs must add up to, such as "100 CNY"; minor units where they have several assets`)
	c.Flags().BoolVar(&cycles, "allow-cycles", false, "let money come back to an account that it left")
	return c
}

// loadTransaction reads and parses a file.
func loadTransaction(c *cobra.Command, path string) (*transactionFile, error) {
	data, err := readInput(c, path)
	if err != nil {
		return nil, err
	}
	file, err := parseTransaction(data)
	if err != nil {
		return nil, usage("%s: %w", path, err)
	}
	return file, nil
}

// transaction records a file and prints what came of each leg.
func (s *session) transaction(ctx context.Context, name string, file *transactionFile) error {
	r, err := s.transactionRequest(ctx, name, file)
	if err != nil {
		return err
	}
	if r.Id, err = s.giveID(file.ID); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.CreateTransaction(ctx, r)
	if err != nil {
		return fmt.Errorf("transaction %s: %w", r.GetId(), s.explain(err))
	}
	rows := [][]string{{"transaction", r.GetId(), short(response.GetStatus().String()), stamp(response.GetTimestamp())}}
	for i, leg := range response.GetLegs() {
		rows = append(rows, []string{"leg " + strconv.Itoa(i), response.GetLegIds()[i], short(leg.GetStatus().String()), stamp(leg.GetTimestamp())})
	}
	if err := s.print(response, "WHAT ID STATUS TIME", rows); err != nil {
		return err
	}
	if recorded(response.GetStatus()) {
		return nil
	}
	var hints hints
	hints.add(transferHint(response.GetStatus()))
	for i, leg := range response.GetLegs() {
		if status := leg.GetStatus(); status != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_LINKED_EVENT_FAILED {
			s.note("%s: legs[%d] failed, so none was recorded: %s", name, i, short(status.String()))
			hints.add(transferHint(status))
		}
	}
	hints.print(s)
	return &exitError{exitRefused, fmt.Errorf("transaction %s refused: %s", r.GetId(), short(response.GetStatus().String()))}
}

func newGetTransaction(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "get-transaction ID", Short: "Show a transaction with its legs as they were recorded", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := parseID("id", args[0])
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.GetTransaction(ctx, &ledgerv1.GetTransactionRequest{Id: id})
				if err != nil {
					return err
				}
				if s.flags.output != "json" {
					t := response.GetTransaction()
					s.printf("transaction  %s\ntime         %s\ncode         %d\nbooked       %s\nmetadata     %s\n\n",
						t.GetId(), stamp(response.GetTimestamp()), t.GetCode(), dash(t.GetBookingDate()), metaText(t.GetMetadata()))
				}
				return s.printTransfers(ctx, response, response.GetTransaction().GetLegs())
			})
		},
	}
}
