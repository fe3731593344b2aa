package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

type feedFlags struct {
	ledgerFlags
	after, since     string
	now, follow      bool
	accounts, assets []string
	codes            []uint
	kinds            []string
}

func newFeed() *cobra.Command {
	var f feedFlags
	c := &cobra.Command{
		Use: "feed", Short: "Print what happens in a running ledger, event by event", Args: cobra.NoArgs,
		Long: `Prints the events of the journal in order, without gaps: those there are, then each
new one, until it is interrupted. Every event has a position: --after POSITION goes
on behind it. Filters are combined: an event must match each of them.`,
		Example: `  sterling feed
  sterling feed --after 1:4711:3 --output json
  sterling feed --now --account 2 --kind transfer_created`,
		RunE: func(c *cobra.Command, _ []string) error {
			request, err := f.request()
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.feed(ctx, request, f.follow) })
		},
	}
	f.register(c)
	c.Flags().StringVar(&f.after, "after", "", "begin after this position, CELL:SEQ:INDEX (default: at the beginning)")
	c.Flags().StringVar(&f.since, "since", "", "begin at this time")
	c.Flags().BoolVar(&f.now, "now", false, "begin with what comes from now on")
	c.Flags().BoolVar(&f.follow, "follow", true, "wait for new events; false: end with the last one there is")
	c.Flags().StringSliceVar(&f.accounts, "account", nil, "only events of this account; may be repeated")
	c.Flags().StringSliceVar(&f.assets, "asset", nil, "only events in this asset, CODE/SCALE; may be repeated")
	c.Flags().UintSliceVar(&f.codes, "code", nil, "only transfers with this code; may be repeated")
	c.Flags().StringSliceVar(&f.kinds, "kind", nil, "only events of this kind, such as transfer_created; may be repeated")
	return c
}

// request reads the flags.
func (f *feedFlags) request() (*ledgerv1.SubscribeRequest, error) {
	r := &ledgerv1.SubscribeRequest{
		Start: &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true}, Filter: &ledgerv1.EventFilter{AccountIds: f.accounts, Assets: f.assets},
	}
	given := 0
	if f.after != "" {
		p, err := feed.ParsePosition(f.after)
		if err != nil {
			return nil, usage("--after: %w", err)
		}
		r.Start = &ledgerv1.SubscribeRequest_After{After: p.Message()}
		given++
	}
	if f.since != "" {
		ns, err := parseTime(f.since)
		if err != nil {
			return nil, err
		}
		r.Start = &ledgerv1.SubscribeRequest_FromTimestamp{FromTimestamp: ns}
		given++
	}
	if f.now {
		r.Start = &ledgerv1.SubscribeRequest_FromNow{FromNow: true}
		given++
	}
	if given > 1 {
		return nil, usage("say where to begin once: --after, --since or --now")
	}
	for _, code := range f.codes {
		if code == 0 || code > 1<<16-1 {
			return nil, usage("--code: want 1 to 65,535, not %d", code)
		}
		r.Filter.TransferCodes = append(r.Filter.TransferCodes, uint32(code))
	}
	for _, name := range f.kinds {
		k, err := feed.ParseKind(strings.ReplaceAll(name, "-", "_"))
		if err != nil {
			return nil, usage("--kind: %w", err)
		}
		r.Filter.Kinds = append(r.Filter.Kinds, ledgerv1.EventKind(k))
	}
	_, err := feed.FilterOf(r.GetFilter())
	if err != nil {
		return nil, usage("%w", err)
	}
	return r, nil
}

// feed prints events, and subscribes again when the connection is lost, until it is interrupted.
func (s *session) feed(ctx context.Context, r *ledgerv1.SubscribeRequest, follow bool) error {
	var at feed.Position // after what was printed; zero: nothing was received yet
	for {
		received, done, err := s.feedOnce(ctx, r, follow, &at)
		if at.Cell != 0 {
			r.Start = &ledgerv1.SubscribeRequest_After{After: at.Message()}
		}
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			if at.Cell != 0 {
				s.note("go on with --after %v", at)
			}
			return nil
		case status.Code(err) != codes.Unavailable || !received:
			if at.Cell != 0 {
				s.note("go on with --after %v", at)
			}
			return err
		}
		s.note("the connection was lost: going on after %v", at)
		if err := s.awaitServer(ctx); err != nil {
			s.note("go on with --after %v", at)
			return err
		}
	}
}

// awaitServer waits until the server answers again, for as long as a call may take.
func (s *session) awaitServer(ctx context.Context) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	const pause = 200 * time.Millisecond
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		_, err := s.admin.Status(ctx, &ledgerv1.StatusRequest{})
		if err == nil || status.Code(err) != codes.Unavailable {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// feedOnce prints the events of one subscription and keeps the position.
func (s *session) feedOnce(ctx context.Context, r *ledgerv1.SubscribeRequest, follow bool, at *feed.Position) (received, done bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.Feed().Subscribe(ctx, r)
	if err != nil {
		return false, false, err
	}
	var head uint64
	for {
		b, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = status.Error(codes.Unavailable, "the server ended the subscription")
			}
			return received, false, err
		}
		if !received {
			received, head = true, b.GetHead()
		}
		for _, e := range b.GetEvents() {
			if err := s.printEvent(e); err != nil {
				return received, true, err
			}
		}
		if *at, err = feed.PositionOf(b.GetResumeAfter()); err != nil {
			return received, false, fmt.Errorf("the server's position: %w", err)
		}
		if !follow && at.Compare(feed.AfterBlock(at.Cell, head)) >= 0 {
			return received, true, nil
		}
	}
}

func (s *session) printEvent(e *ledgerv1.FeedEvent) error {
	if s.flags.output == "json" {
		return s.printJSON(e)
	}
	p, err := feed.PositionOf(e.GetPosition())
	if err != nil {
		return fmt.Errorf("the server's position: %w", err)
	}
	_, err = fmt.Fprintf(s.c.OutOrStdout(), "%-14s %s %-19s %s\n", p, stamp(e.GetTimestamp()), e.GetKindName(), eventText(e))
	return err
}

// eventText is what a person wants to know of an event, on the rest of the line.
func eventText(e *ledgerv1.FeedEvent) string {
	switch b := e.GetBody().(type) {
	case *ledgerv1.FeedEvent_Account:
		return fmt.Sprintf("%s %s code %d", b.Account.GetId(), b.Account.GetAsset(), b.Account.GetCode())
	case *ledgerv1.FeedEvent_Transfer:
		t := b.Transfer
		text := fmt.Sprintf("%s: %s → %s, %s %s (minor units), code %d", t.GetId(), t.GetDebitAccountId(), t.GetCreditAccountId(), t.GetAmount(), t.GetAsset(), t.GetCode())
		for _, f := range t.GetFlags() {
			text += " " + short(f.String())
		}
		if p := t.GetPendingId(); p != "0" {
			text += " of " + p
		}
		return text
	case *ledgerv1.FeedEvent_Expired:
		return fmt.Sprintf("%s: %s %s (minor units)", b.Expired.GetPendingId(), b.Expired.GetAmount(), b.Expired.GetAsset())
	case *ledgerv1.FeedEvent_Freeze:
		return fmt.Sprintf("%s %s %q", b.Freeze.GetId(), short(b.Freeze.GetMode().String()), b.Freeze.GetReason())
	case *ledgerv1.FeedEvent_Unfreeze:
		return fmt.Sprintf("%s %q", b.Unfreeze.GetFreezeId(), b.Unfreeze.GetReason())
	case *ledgerv1.FeedEvent_Limit:
		return fmt.Sprintf("%s %s", b.Limit.GetAccountId(), short(b.Limit.GetSide().String()))
	case *ledgerv1.FeedEvent_Asset:
		return b.Asset.GetName()
	}
	return feed.EventKey(e)
}
