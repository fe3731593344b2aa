package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/sterlingrun/sterling/clock"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

func newWatch() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "watch", Short: "See how far all money is proven safe, what is wrong, and mend it",
		Long: `The watch recomputes the whole ledger from its journal, and joins it with what was ordered
and what channels and banks say was paid. "status" tells through when all of it agrees;
what does not agree is a break: explain it, accept it, or have it repaired, which takes
two people.`,
		Example: `  sterling watch status --follow
  sterling watch breaks
  sterling watch break 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10
  sterling watch repair 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "booked twice after the failover"
  sterling watch observe --source orders orders.jsonl`,
	}
	f.register(c)
	c.AddCommand(
		newWatchStatus(&f), newWatchProof(&f), newWatchBreaks(&f), newWatchBreak(&f),
		newWatchDecide(&f, watchv1.BreakState_BREAK_STATE_EXPLAINED), newWatchDecide(&f, watchv1.BreakState_BREAK_STATE_ACCEPTED),
		newWatchDecide(&f, watchv1.BreakState_BREAK_STATE_OPEN), newWatchRepair(&f),
		newWatchFlows(&f), newWatchSources(&f), newWatchCheck(), newWatchObserve(&f), newWatchImport(&f),
	)
	return c
}

func newWatchStatus(f *ledgerFlags) *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use: "status", Short: "Show through when all money is proven safe, and what holds it up", Args: cobra.NoArgs,
		Long: `Shows one screen: the proof and its reason, the money at risk, and every flow with its
coverage. With --follow, again each second until it is interrupted.`,
		Example: `  sterling watch status
  sterling watch status --follow`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				for {
					p, err := s.proof(ctx)
					if err != nil {
						if ctx.Err() != nil && follow {
							return nil
						}
						return err
					}
					if err := s.showStatus(p, follow); err != nil || !follow {
						return err
					}
					if clock.Sleep(ctx, clock.NewSystem(), time.Second) != nil {
						return nil
					}
				}
			})
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "show it again each second, until interrupted")
	return c
}

func (s *session) proof(ctx context.Context) (*watchv1.GetProofResponse, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return s.client.Watch().GetProof(ctx, &watchv1.GetProofRequest{})
}

// home puts the cursor of a terminal into its first line and clears what is below.
const home = "\x1b[H\x1b[J"

func (s *session) showStatus(p *watchv1.GetProofResponse, follow bool) error {
	if s.flags.output == "json" {
		return s.printJSON(p)
	}
	if f, ok := s.c.OutOrStdout().(*os.File); ok && follow && term.IsTerminal(int(f.Fd())) {
		s.printf(home)
	}
	s.printf("safe through  %s\n", proofText(p))
	if p.GetReason() != "" {
		s.printf("held up by    %s\n", p.GetReason())
	}
	if names := unproven(p.GetFlows()); names != "" {
		s.printf("not proven    %s\n", names)
	}
	s.printf("open breaks   %d%s\n", p.GetOpenBreaks(), atRiskText(p))
	if text := transitText(p); text != "" {
		s.printf("in transit    %s\n", text)
	}
	s.printf("recomputed    block %d of %d, %d events, %d open cases\n", p.GetAppliedSeq(), p.GetHeadSeq(), p.GetEvents(), p.GetOpenKeys())
	if p.GetDryRun() {
		s.printf("stop-loss     dry run: freezes are only reported\n")
	}
	s.printf("\n")
	return s.print(nil, flowHead, flowRows(p.GetFlows()))
}

// unproven names what the proof does not cover: nobody must take it for safe.
func unproven(flows []*watchv1.FlowProof) string {
	var names []string
	for _, x := range flows {
		if !x.GetProven() {
			names = append(names, x.GetFlow())
		}
	}
	return strings.Join(names, ", ")
}

// proofText is the moment of a proof, and how old it is.
func proofText(p *watchv1.GetProofResponse) string {
	if p.GetSafeThrough() == 0 {
		return "nothing yet"
	}
	return fmt.Sprintf("%s (%s behind the server's clock)", moment(p.GetSafeThrough()), proofAge(p).Round(time.Millisecond))
}

func proofAge(p *watchv1.GetProofResponse) time.Duration {
	if p.GetNow() < p.GetSafeThrough() {
		return 0
	}
	return time.Duration(p.GetNow() - p.GetSafeThrough()) //nolint:gosec // until 2262
}

// moment writes ns since 1970 for people; "-" for zero.
func moment(ns uint64) string {
	if ns == 0 {
		return "-"
	}
	return time.Unix(0, int64(ns)).UTC().Format("2006-01-02T15:04:05.000Z") //nolint:gosec // until 2262
}

func atRiskText(p *watchv1.GetProofResponse) string {
	var list []string
	for _, a := range p.GetAtRisk() {
		list = append(list, decimal(a.GetAmount(), a.GetAsset())+" "+a.GetAsset())
	}
	if len(list) == 0 {
		return ""
	}
	return ", at risk " + strings.Join(list, ", ")
}

const flowHead = "FLOW PROVEN SAFE-THROUGH BREAKS OPEN COMPLETE LATE WITNESSES HELD-UP-BY"

func flowRows(flows []*watchv1.FlowProof) (rows [][]string) {
	for _, x := range flows {
		proven := "no"
		if x.GetProven() {
			proven = "yes"
		}
		rows = append(rows, []string{
			x.GetFlow(), proven, moment(x.GetSafeThrough()), count(x.GetOpenBreaks()), count(x.GetOpenKeys()), count(x.GetClosedKeys()),
			count(x.GetLateKeys()), dash(strings.Join(x.GetSources(), ",")), x.GetReason(),
		})
	}
	return rows
}

func count(n uint64) string { return strconv.FormatUint(n, 10) }

func newWatchProof(f *ledgerFlags) *cobra.Command {
	var within time.Duration
	c := &cobra.Command{
		Use: "proof", Short: "Print the proof for a program, and fail if it is too old", Args: cobra.NoArgs,
		Long: `Prints through when all money is proven safe. With --within it ends with 1 if that is longer
ago, or if money is not proven at all: a check for a script or a supervisor.`,
		Example: `  sterling watch proof --output json
  sterling watch proof --within 10s || page-somebody`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				p, err := s.proof(ctx)
				if err != nil {
					return err
				}
				if s.flags.output == "json" {
					err = s.printJSON(p)
				} else {
					s.printf("%s\n", moment(p.GetSafeThrough()))
				}
				if err != nil || within == 0 || p.GetSafeThrough() != 0 && proofAge(p) <= within {
					return err
				}
				return fmt.Errorf("money is proven safe through %s, not within %v: %s", proofText(p), within, p.GetReason())
			})
		},
	}
	c.Flags().DurationVar(&within, "within", 0, "fail if the proof is older than this (default: never)")
	return c
}

func newWatchFlows(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "flows [NAME]", Short: "List the flows with their coverage, or print one as it is configured", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Watch().ListFlows(ctx, &watchv1.ListFlowsRequest{})
				if err != nil {
					return err
				}
				if len(args) == 0 {
					return s.print(r, flowHead, flowRows(r.GetFlows()))
				}
				for i, x := range r.GetFlows() {
					if x.GetFlow() != args[0] {
						continue
					}
					if s.flags.output == "json" {
						return s.printJSON(&watchv1.ListFlowsResponse{Flows: r.GetFlows()[i : i+1], Definitions: r.GetDefinitions()[i : i+1]})
					}
					_, err := io.WriteString(c.OutOrStdout(), r.GetDefinitions()[i])
					return err
				}
				return fmt.Errorf("there is no flow %q: sterling watch flows lists them", args[0])
			})
		},
	}
}

func newWatchSources(f *ledgerFlags) *cobra.Command {
	c := &cobra.Command{
		Use: "sources", Short: "List the witnesses and how far each has told", Args: cobra.NoArgs,
		Long: `A source that is silent, or of which observations are missing, lets nothing that only it
witnesses count as safe. SPEAKER is the caller who speaks for it: the first one who did.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Watch().ListSources(ctx, &watchv1.ListSourcesRequest{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, x := range r.GetSources() {
					missing, state := "-", "speaks"
					if x.GetMissingFrom() != 0 {
						missing = fmt.Sprintf("%d-%d", x.GetMissingFrom(), x.GetMissingTo())
					}
					switch {
					case x.GetSilent():
						state = "silent"
					case x.GetHeard() == 0:
						state = "not heard"
					}
					rows = append(rows, []string{
						x.GetName(), state, count(x.GetThroughSeq()), moment(x.GetThroughTime()), moment(x.GetHeard()), missing, dash(x.GetSpeaker()),
					})
				}
				return s.print(r, "SOURCE STATE THROUGH THROUGH-TIME HEARD MISSING SPEAKER", rows)
			})
		},
	}
	c.AddCommand(&cobra.Command{
		Use: "release NAME", Short: "Let the next caller speak for a source, such as one whose token was replaced", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Watch().ReleaseSource(ctx, &watchv1.ReleaseSourceRequest{Source: args[0]})
				switch {
				case err != nil:
					return err
				case s.flags.output == "json":
					return s.printJSON(r)
				case r.GetSpeaker() == "":
					s.printf("nobody spoke for %s\n", args[0])
				default:
					s.printf("%s spoke for %s; the next caller does\n", r.GetSpeaker(), args[0])
				}
				return nil
			})
		},
	})
	return c
}

// maxFlowFile bounds a flow file, in bytes.
const maxFlowFile = 1 << 20

func newWatchCheck() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE…", Short: "Tell what is wrong with flow files, without a server", Args: cobra.MinimumNArgs(1),
		Long: `Reads flow files as the watch does: keys, types and rules. Every fault is told with its line
and column; it ends with 2 if there is one.`,
		Example: `  sterling watch check flows/*.yaml`,
		RunE: func(c *cobra.Command, args []string) error {
			var wrong []error
			names := map[string]string{}
			for _, path := range args {
				flow, err := readFlow(path)
				if err != nil {
					wrong = append(wrong, err)
					continue
				}
				if before, twice := names[flow.Name]; twice {
					wrong = append(wrong, fmt.Errorf("%s: the flow %q is in %s, too", path, flow.Name, before))
					continue
				}
				names[flow.Name] = path
				if _, err := fmt.Fprintf(c.OutOrStdout(), "%s is good: flow %s\n", path, flow.Name); err != nil {
					return err
				}
			}
			if len(wrong) > 0 {
				return usage("%w", errors.Join(wrong...))
			}
			return nil
		},
	}
}

func readFlow(path string) (flow *watch.Flow, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	text, err := io.ReadAll(io.LimitReader(file, maxFlowFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxFlowFile:
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxFlowFile)
	}
	return watch.Parse(filepath.Base(path), text)
}
