package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

func newWatchBreaks(f *ledgerFlags) *cobra.Command {
	var state, flow, class string
	var all bool
	var limit int
	c := &cobra.Command{
		Use: "breaks", Short: "List what is wrong, newest first", Args: cobra.NoArgs,
		Long: `Lists open breaks, of each root cause the first. --state shows those in another state, --all
every break in any state, also those that follow from another.`,
		Example: `  sterling watch breaks
  sterling watch breaks --flow card-payment --class duplicate_post
  sterling watch breaks --state accepted --output json`,
		RunE: func(c *cobra.Command, _ []string) error {
			r := &watchv1.ListBreaksRequest{Flow: flow, Class: strings.ReplaceAll(class, "-", "_"), Roots: !all, State: watchv1.BreakState_BREAK_STATE_OPEN}
			switch {
			case limit < 1:
				return usage("--limit: want 1 or more, not %d", limit)
			case state != "":
				v, err := enumValue(watchv1.BreakState_value, "BREAK_STATE_", state, "state")
				if err != nil {
					return err
				}
				r.State = watchv1.BreakState(v)
			case all:
				r.State = watchv1.BreakState_BREAK_STATE_UNSPECIFIED
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.breaks(ctx, r, limit) })
		},
	}
	c.Flags().StringVar(&state, "state", "", "open (the default), explained, repaired or accepted")
	c.Flags().StringVar(&flow, "flow", "", "only of this flow")
	c.Flags().StringVar(&class, "class", "", "only of this class, such as duplicate_post")
	c.Flags().BoolVar(&all, "all", false, "in any state, and those that follow from another, too")
	c.Flags().IntVar(&limit, "limit", 100, "how many at most")
	return c
}

// breaks lists pages until there are limit breaks.
func (s *session) breaks(ctx context.Context, r *watchv1.ListBreaksRequest, limit int) error {
	all := &watchv1.ListBreaksResponse{}
	for {
		const most = 1000                                       // of a page
		r.Limit = uint32(min(most, limit-len(all.GetBreaks()))) //nolint:gosec // up to 1,000
		bounded, cancel := s.call(ctx)
		page, err := s.client.Watch().ListBreaks(bounded, r)
		cancel()
		if err != nil {
			return err
		}
		all.Breaks, all.Next = append(all.GetBreaks(), page.GetBreaks()...), page.GetNext()
		if r.After = page.GetNext(); r.GetAfter() == "" || len(all.GetBreaks()) >= limit {
			break
		}
	}
	if err := s.print(all, breakHead, breakRows(all.GetBreaks())); err != nil || s.flags.output == "json" {
		return err
	}
	if all.GetNext() != "" {
		s.note("there are more: --limit %d", 10*limit)
	}
	return nil
}

const breakHead = "ID CLASS FLOW KEY AT-RISK STATE FIRST-SEEN OTHERS SUMMARY"

func breakRows(list []*watchv1.Break) (rows [][]string) {
	for _, b := range list {
		rows = append(rows, []string{
			b.GetId(), b.GetClass(), dash(b.GetFlow()), dash(shown(b.GetKey())), riskText(b), short(b.GetState().String()), moment(b.GetFirstSeen()),
			strconv.FormatUint(uint64(b.GetOthers()), 10), shown(b.GetSummary()),
		})
	}
	return rows
}

// shown is a text of somebody else's as a terminal may have it.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\ufffd'
	}, text)
}

func riskText(b *watchv1.Break) string {
	if b.GetAsset() == "" {
		return dash(b.GetAmountAtRisk())
	}
	return decimal(b.GetAmountAtRisk(), b.GetAsset()) + " " + b.GetAsset()
}

func newWatchBreak(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "break ID", Short: "Show a break: evidence side by side, what followed, its history", Args: cobra.ExactArgs(1),
		Long: `Shows the records that a break stands on beside each other. What contradicts the others is
marked with "<".`,
		RunE: func(c *cobra.Command, args []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Watch().GetBreak(ctx, &watchv1.GetBreakRequest{Id: args[0]})
				if err != nil {
					return err
				}
				if s.flags.output == "json" {
					return s.printJSON(r)
				}
				return s.showBreak(r.GetFound(), r.GetGroup())
			})
		},
	}
}

func (s *session) showBreak(b *watchv1.Break, group []*watchv1.Break) error {
	s.printf("%s\n\n", shown(b.GetSummary()))
	rows := [][]string{
		{"break", b.GetId()},
		{"class", b.GetClass()},
		{"state", short(b.GetState().String())},
		{"flow", dash(b.GetFlow())},
		{"key", dash(shown(b.GetKey()))},
		{"at risk", riskText(b)},
		{"accounts", dash(strings.Join(b.GetAccountIds(), ", "))},
		{"happened", moment(b.GetHappened())},
		{"first seen", moment(b.GetFirstSeen())},
	}
	if l := b.GetStopLoss(); l != nil {
		rows = append(rows, []string{"stop-loss", fmt.Sprintf("%s: %s (freeze %s, %s)", l.GetSelector(), l.GetState(), l.GetFreezeId(), moment(l.GetTime()))})
	}
	if p := b.GetRepairProposalId(); p != "" {
		rows = append(rows, []string{"proposal", p})
	}
	if err := s.lines(rows); err != nil {
		return err
	}
	if err := s.showEvidence(b.GetEvidence()); err != nil {
		return err
	}
	if err := s.showRepair(b); err != nil {
		return err
	}
	if len(group) > 0 {
		s.printf("\nof the same cause\n")
		if err := s.print(nil, breakHead, breakRows(group)); err != nil {
			return err
		}
	}
	s.printf("\n")
	rows = nil
	for _, e := range b.GetHistory() {
		rows = append(rows, []string{moment(e.GetTime()), short(e.GetState().String()), shown(e.GetWho()), dash(shown(e.GetWhy()))})
	}
	return s.print(nil, "TIME STATE WHO WHY", rows)
}

// lines prints rows in columns, without a head.
func (s *session) lines(rows [][]string) error {
	w := tabwriter.NewWriter(s.c.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t")) // Flush returns the error
	}
	return w.Flush()
}

// showEvidence prints the records in columns, four at a time.
func (s *session) showEvidence(list []*watchv1.Evidence) error {
	const beside = 4
	for part := range slices.Chunk(list, beside) {
		names := []string{}
		for _, e := range part {
			for _, x := range e.GetFields() {
				if !slices.Contains(names, x.GetName()) {
					names = append(names, x.GetName())
				}
			}
		}
		head := []string{"EVIDENCE"}
		source, place, at := []string{"source"}, []string{"number"}, []string{"time"}
		for _, e := range part {
			head = append(head, strings.ToUpper(e.GetWhat()))
			source, at = append(source, e.GetSource()), append(at, moment(e.GetTime()))
			if e.GetSource() == "journal" {
				place = append(place, fmt.Sprintf("%d:%d", e.GetSeq(), e.GetIndex()))
			} else {
				place = append(place, count(e.GetSeq()))
			}
		}
		rows := [][]string{head, source, place, at}
		for _, name := range names {
			row := []string{name}
			for _, e := range part {
				row = append(row, fieldText(e, name))
			}
			rows = append(rows, row)
		}
		s.printf("\n")
		if err := s.lines(rows); err != nil {
			return err
		}
	}
	return nil
}

func fieldText(e *watchv1.Evidence, name string) string {
	for _, x := range e.GetFields() {
		if x.GetName() == name && x.GetWrong() {
			return shown(x.GetValue()) + " <"
		} else if x.GetName() == name {
			return shown(x.GetValue())
		}
	}
	return ""
}

func (s *session) showRepair(b *watchv1.Break) error {
	if len(b.GetRepair()) == 0 {
		return nil
	}
	s.printf("\nwould be mended by\n")
	if err := s.print(nil, repairHead, repairRows(b.GetRepair(), nil)); err != nil {
		return err
	}
	if b.GetRepairProposalId() == "" {
		s.note("propose it: sterling watch repair %s --why …", b.GetId())
	} else {
		s.note("it is proposed: sterling books proposals %s", b.GetRepairProposalId())
	}
	return nil
}

const repairHead = "TRANSFER DEBIT CREDIT AMOUNT ASSET CODE USER-DATA"

func repairRows(list []*watchv1.RepairTransfer, ids []string) (rows [][]string) {
	for i, t := range list {
		id := strconv.Itoa(i + 1)
		if i < len(ids) {
			id = ids[i]
		}
		rows = append(rows, []string{
			id, t.GetDebitAccountId(), t.GetCreditAccountId(), decimal(t.GetAmount(), t.GetAsset()), t.GetAsset(), strconv.FormatUint(uint64(t.GetCode()), 10),
			fmt.Sprintf("%s/%d/%d", dash(t.GetUserData_128()), t.GetUserData_64(), t.GetUserData_32()),
		})
	}
	return rows
}

// newWatchDecide is explain, accept or reopen.
func newWatchDecide(f *ledgerFlags, state watchv1.BreakState) *cobra.Command {
	var why string
	var group bool
	c := &cobra.Command{
		Use: "explain ID", Short: "Say why a break is there; the money is still not where it belongs", Args: cobra.ExactArgs(1),
		Example: `  sterling watch explain 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "the scheme delivers its file tomorrow"`,
	}
	switch state { //nolint:exhaustive // the others are not for people
	case watchv1.BreakState_BREAK_STATE_ACCEPTED:
		c.Use, c.Short = "accept ID", "Take a loss or a difference as it is: the break ends"
		c.Example = `  sterling watch accept 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "0.01 CNY, booked as a loss, note 4711"`
	case watchv1.BreakState_BREAK_STATE_OPEN:
		c.Use, c.Short = "reopen ID", "Take an explanation back"
		c.Example = `  sterling watch reopen 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "the file came without it"`
	}
	c.Flags().StringVar(&why, "why", "", "why, up to 512 bytes; required")
	c.Flags().BoolVar(&group, "group", false, "all breaks of the same cause, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		if strings.TrimSpace(why) == "" {
			return usage("--why: say why, for those who read it later")
		}
		return f.with(c, func(ctx context.Context, s *session) error {
			ctx, cancel := s.call(ctx)
			defer cancel()
			r, err := s.client.Watch().DecideBreak(ctx, &watchv1.DecideBreakRequest{Id: args[0], State: state, Why: why, Group: group})
			if err != nil {
				return err
			}
			if s.flags.output == "json" {
				return s.printJSON(r)
			}
			s.printf("%s  %s\n", r.GetFound().GetId(), short(r.GetFound().GetState().String()))
			return nil
		})
	}
	return c
}

func newWatchRepair(f *ledgerFlags) *cobra.Command {
	var why, file string
	c := &cobra.Command{
		Use: "repair ID", Short: "Propose the transfers that would mend a break; another person approves them", Args: cobra.ExactArgs(1),
		Long: `Proposes what the watch suggests ("sterling watch break ID" shows it), or the transfers of a
file of JSON lines. Nothing is booked until another person approves. The transfers' ids
follow from the break: asked for twice, or approved twice, it is booked once.`,
		Example: `  sterling watch repair 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "booked twice after the failover"
  echo '{"debitAccountId":"2","creditAccountId":"1","amount":"500","asset":"CNY/2","code":3}' |
    sterling watch repair 3f2a17c09b6d4e5f8a7b6c5d4e3f2a10 --why "half was right" --transfers -`,
		RunE: func(c *cobra.Command, args []string) error {
			if strings.TrimSpace(why) == "" {
				return usage("--why: say why, for the person who approves")
			}
			r := &watchv1.ProposeRepairRequest{Id: args[0], Why: why}
			if file != "" {
				err := eachLine(c, file, func(line []byte) error {
					t := &watchv1.RepairTransfer{}
					r.Transfers = append(r.Transfers, t)
					return protojson.Unmarshal(line, t)
				})
				if err != nil {
					return err
				}
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.repair(ctx, r) })
		},
	}
	c.Flags().StringVar(&why, "why", "", "why, up to 64 bytes; required")
	c.Flags().StringVar(&file, "transfers", "", "file of JSON lines with the transfers, - for standard input (default: what the watch suggests)")
	return c
}

func (s *session) repair(ctx context.Context, ask *watchv1.ProposeRepairRequest) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	r, err := s.client.Watch().ProposeRepair(ctx, ask)
	if err != nil {
		return err
	}
	if s.flags.output == "json" {
		err = s.printJSON(r)
	} else {
		s.printf("proposal %s\n\n", r.GetProposalId())
		err = s.print(nil, repairHead, repairRows(r.GetTransfers(), r.GetTransferIds()))
	}
	s.note("another person approves it: sterling books approve %s --reason …", r.GetProposalId())
	return err
}
