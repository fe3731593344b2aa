package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newSinks() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "sinks", Short: "Look at deliveries of the change feed, and work off what was given up",
		Long: `Sinks deliver the change feed to NATS, Kafka and webhooks; they are set in the
server's configuration file. What a receiver never takes becomes a dead letter.`,
		Example: `  sterling sinks list
  sterling sinks dead partners
  sterling sinks redeliver partners 1-000000000004711-00003`,
	}
	f.register(c)
	c.AddCommand(newSinksList(&f), newSinksDead(&f), newSinksShow(&f), newSinksRedeliver(&f), newSinksDrop(&f))
	return c
}

func positionText(m *ledgerv1.FeedPosition) string {
	p, err := feed.PositionOf(m)
	if err != nil {
		return "-"
	}
	return p.String()
}

func newSinksList(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Show how far each sink is", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.Sinks().ListSinks(ctx, &ledgerv1.ListSinksRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, k := range response.GetSinks() {
					rows = append(rows, []string{
						k.GetName(), k.GetKind(), short(k.GetState().String()), positionText(k.GetDelivered()), strconv.FormatUint(k.GetLagBlocks(), 10),
						strconv.FormatUint(k.GetEvents(), 10), strconv.FormatUint(k.GetRetries(), 10), strconv.FormatUint(k.GetDeadLetters(), 10), k.GetLastError(),
					})
				}
				return s.print(response, "SINK KIND STATE DELIVERED BLOCKS-BEHIND EVENTS RETRIES DEAD ERROR", rows)
			})
		},
	}
}

func newSinksDead(f *ledgerFlags) *cobra.Command {
	var after string
	var limit uint32
	c := &cobra.Command{
		Use: "dead SINK", Short: "List a sink's dead letters, oldest first", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.Sinks().ListDeadLetters(ctx, &ledgerv1.ListDeadLettersRequest{Sink: args[0], After: after, Limit: limit})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, l := range response.GetDeadLetters() {
					rows = append(rows, []string{
						l.GetId(), stamp(l.GetTimestamp()), strconv.FormatUint(uint64(l.GetEvents()), 10), strconv.FormatUint(uint64(l.GetAttempts()), 10), l.GetError(),
					})
				}
				return s.print(response, "ID GIVEN-UP EVENTS ATTEMPTS ERROR", rows)
			})
		},
	}
	c.Flags().StringVar(&after, "after", "", "list those after this id")
	c.Flags().Uint32Var(&limit, "limit", 100, "how many, up to 1,000")
	return c
}

func newSinksShow(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show SINK ID", Short: "Show a dead letter with its events", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				response, err := s.client.Sinks().GetDeadLetter(ctx, &ledgerv1.GetDeadLetterRequest{Sink: args[0], Id: args[1]})
				if err != nil {
					return err
				}
				if s.flags.output == "json" {
					return s.printJSON(response)
				}
				l := response.GetDeadLetter()
				s.printf("id        %s\ngiven up  %s after %d attempts\nerror     %s\nevents    %d\n", l.GetId(), stamp(l.GetTimestamp()), l.GetAttempts(), l.GetError(), l.GetEvents())
				for _, e := range response.GetEvents() {
					if err := s.printEvent(e); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func newSinksRedeliver(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "redeliver SINK ID…", Short: "Deliver dead letters once more; those that arrive are removed", Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				return s.eachDead(ctx, args, "redelivered", func(ctx context.Context, sink, id string) error {
					_, err := s.client.Sinks().RedeliverDeadLetter(ctx, &ledgerv1.RedeliverDeadLetterRequest{Sink: sink, Id: id})
					return err
				})
			})
		},
	}
}

func newSinksDrop(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "drop SINK ID…", Short: "Remove dead letters for good", Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				return s.eachDead(ctx, args, "dropped", func(ctx context.Context, sink, id string) error {
					_, err := s.client.Sinks().DropDeadLetter(ctx, &ledgerv1.DropDeadLetterRequest{Sink: sink, Id: id})
					return err
				})
			})
		},
	}
}

// eachDead does one call for each id, in order, up to the first that fails.
func (s *session) eachDead(ctx context.Context, args []string, done string, call func(ctx context.Context, sink, id string) error) error {
	for _, id := range args[1:] {
		ctx, cancel := s.call(ctx)
		err := call(ctx, args[0], id)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", id, s.explain(err))
		}
		s.note("%s %s", done, id)
	}
	return nil
}
