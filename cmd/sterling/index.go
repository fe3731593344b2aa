package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newIndex() *cobra.Command {
	c := &cobra.Command{
		Use: "index", Short: "Build the index anew",
		Long: `The index answers queries and statements. It holds nothing that the journal does not,
and can be built from it at any time.`,
	}
	var f ledgerFlags
	f.register(c)
	c.AddCommand(newIndexRebuild(&f))
	return c
}

func newIndexRebuild(f *ledgerFlags) *cobra.Command {
	var (
		offline bool
		number  uint32
	)
	c := &cobra.Command{
		Use: "rebuild", Short: "Build the index anew from the journal", Args: cobra.NoArgs,
		Long: `Asks the running server, which builds it in the background while the present index
goes on answering ("sterling ledger status" shows how far it is); or, with --offline,
does it here, while nothing runs on the data folder.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if offline {
				err := node.RebuildIndex(c.Context(), f.data, number, recoveryBar(c.ErrOrStderr()))
				if err != nil {
					return fmt.Errorf("rebuild the index: %w", err)
				}
				return nil
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.History().RebuildIndex(ctx, &ledgerv1.RebuildIndexRequest{})
				if err == nil && s.flags.output == "json" {
					err = s.printJSON(response)
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "build it here, in --data; no server may run on the folder")
	c.Flags().Uint32Var(&number, "cell", node.DefaultConfig().Cell, "number of the cell, with --offline")
	return c
}
