package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
)

func newCellMove(f *ledgerFlags) *cobra.Command {
	var to uint64
	var dryRun bool
	c := &cobra.Command{
		Use: "move BUCKETS", Short: "Move buckets of accounts to another cell, while calls go on", Args: cobra.ExactArgs(1),
		Long: `Moves buckets of accounts, with all that is known of them, from the cells that have them
to another cell. Name the nodes of any one cell by --server; the token has to be an
admin's. Buckets are numbers from 0 to 1023: "cell map ACCOUNT" tells an account's.

Calls go on meanwhile. Those that touch a bucket wait while it changes cells, for
milliseconds; the pause of each bucket is shown. Interrupted, the bucket that is under way
is finished, and the others stay. Sent again, it goes on: buckets that are there already
are done.

Before anything moves, the journal is read for the ids of the buckets, which takes as long
as it takes to read it. --dry-run tells how much would move.`,
		Example: `  sterling cell move 12 --to 2
  sterling cell move 0-255 --to 3 --server a1:7600,a2:7600
  sterling cell move 3,7,100-120 --to 2 --dry-run`,
		RunE: func(c *cobra.Command, args []string) error {
			buckets, err := parseBuckets(args[0])
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				m := &cellMove{session: s, to: to, dryRun: dryRun}
				return m.run(ctx, buckets)
			})
		},
	}
	c.Flags().Uint64Var(&to, "to", 0, "cell that they move to")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "tell how much would move, and move nothing")
	_ = c.MarkFlagRequired("to") // the flag was made above
	return c
}

// parseBuckets reads numbers and ranges such as 3,7,100-120.
func parseBuckets(text string) ([]uint32, error) {
	var in [router.Buckets]bool
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 16)
		to, err2 := strconv.ParseUint(last, 10, 16)
		if err != nil || err2 != nil || from > to || to >= router.Buckets {
			return nil, usage("%q: want buckets from 0 to %d such as 12, 0-511 or 3,7,100-120", part, router.Buckets-1)
		}
		for b := from; b <= to; b++ {
			in[b] = true
		}
	}
	var list []uint32
	for b, asked := range in {
		if asked {
			list = append(list, uint32(b))
		}
	}
	return list, nil
}

// cellMove moves buckets of several cells, one cell after the other.
type cellMove struct {
	*session
	to     uint64
	dryRun bool
	done   []*ledgerv1.MoveProgress
}

func (m *cellMove) run(ctx context.Context, buckets []uint32) error {
	known, err := m.getMap(ctx, m.client)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(known.GetCells(), func(c *ledgerv1.LedgerCell) bool { return c.GetId() == m.to }) {
		return &exitError{exitUsage, fmt.Errorf("--to: cell %d is not in the map of cells: it has %s", m.to, cellNames(known))}
	}
	owners := ownersOf(known, buckets)
	if len(owners[m.to]) == len(buckets) {
		return m.printMoved(fmt.Sprintf("nothing to do: cell %d has all of these %d buckets", m.to, len(buckets)))
	}
	for _, c := range known.GetCells() {
		list := owners[c.GetId()]
		if len(list) == 0 || c.GetId() == m.to {
			continue
		}
		p, err := m.moveFrom(ctx, known, c, list)
		if p != nil {
			m.done = append(m.done, p)
		}
		if err != nil {
			return errors.Join(m.printMoved(""), fmt.Errorf("cell %d: %w", c.GetId(), err))
		}
		if p.GetState() == ledgerv1.MoveState_MOVE_STATE_STOPPED {
			return errors.Join(m.printMoved(""), errors.New("interrupted: buckets that have moved are there, the others are where they were; move again to go on"))
		}
	}
	return m.printMoved("")
}

func (s *session) getMap(ctx context.Context, c *client.Client) (*ledgerv1.GetMapResponse, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return c.Moves().GetMap(ctx, &ledgerv1.GetMapRequest{})
}

func cellNames(m *ledgerv1.GetMapResponse) string {
	var names []string
	for _, c := range m.GetCells() {
		names = append(names, strconv.FormatUint(c.GetId(), 10))
	}
	return strings.Join(names, ", ")
}

// ownersOf sorts buckets by the cells that have them.
func ownersOf(m *ledgerv1.GetMapResponse, buckets []uint32) map[uint64][]uint32 {
	owners := map[uint64][]uint32{}
	for _, b := range buckets {
		for _, s := range m.GetSpans() {
			if s.GetFrom() <= b && b <= s.GetTo() {
				owners[s.GetCell()] = append(owners[s.GetCell()], b)
			}
		}
	}
	return owners
}

// connect returns a client of a cell's nodes, which the caller closes.
func (s *session) connect(m *ledgerv1.GetMapResponse, c *ledgerv1.LedgerCell) (*client.Client, func() error, error) {
	if c.GetId() == m.GetCell() {
		return s.client, func() error { return nil }, nil
	}
	f := *s.flags
	f.server = strings.Join(c.GetNodes(), ",")
	conn, err := f.dial(s.token.token)
	if err != nil {
		return nil, nil, err
	}
	return conn, conn.Close, nil
}

// moveEvery is how often a move is asked how far it is.
const moveEvery = 100 * time.Millisecond

// moveFrom has one cell move buckets, and follows that to its end. What a new leader of the cell does not know of goes on
// by being asked for again.
func (m *cellMove) moveFrom(ctx context.Context, known *ledgerv1.GetMapResponse, c *ledgerv1.LedgerCell, buckets []uint32) (p *ledgerv1.MoveProgress, err error) {
	conn, closeIt, err := m.connect(known, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeIt()) }()
	request := &ledgerv1.MoveBucketsRequest{Buckets: buckets, To: m.to, DryRun: m.dryRun}
	response, err := m.start(ctx, conn, request)
	if err != nil || m.dryRun {
		return response.GetProgress(), err
	}
	p = response.GetProgress()
	line := newStatusLine(m.c.ErrOrStderr())
	defer line.clear()
	stopped := false
	for p.GetEnded() == 0 {
		line.show(func() string { return moveLine(c.GetId(), p) })
		if !stopped && sleep(ctx, moveEvery) != nil { // interrupted: the bucket that is under way is finished
			stopped = true
			ctx = context.WithoutCancel(ctx)
			if err := m.stop(ctx, conn); err != nil {
				return p, err
			}
		} else if stopped {
			_ = sleep(ctx, moveEvery) // it does not end
		}
		next, err := m.progress(ctx, conn)
		if err != nil {
			return p, err
		}
		switch {
		case next != nil:
			p = next
		case stopped:
			return p, errors.New("another node leads the cell since: it finishes the bucket that was under way, and moves no other")
		default: // another node leads since
			if response, err = m.start(ctx, conn, request); err != nil {
				return p, err
			}
			p = response.GetProgress()
		}
	}
	if p.GetState() == ledgerv1.MoveState_MOVE_STATE_FAILED {
		return p, errors.New(p.GetError())
	}
	return p, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *cellMove) start(ctx context.Context, conn *client.Client, r *ledgerv1.MoveBucketsRequest) (*ledgerv1.MoveBucketsResponse, error) {
	ctx, cancel := m.call(ctx)
	defer cancel()
	return conn.Moves().MoveBuckets(ctx, r)
}

func (m *cellMove) stop(ctx context.Context, conn *client.Client) error {
	ctx, cancel := m.call(ctx)
	defer cancel()
	_, err := conn.Moves().StopMove(ctx, &ledgerv1.StopMoveRequest{})
	return err
}

// progress is nil where the node that leads has moved nothing.
func (m *cellMove) progress(ctx context.Context, conn *client.Client) (*ledgerv1.MoveProgress, error) {
	ctx, cancel := m.call(ctx)
	defer cancel()
	r, err := conn.Moves().GetMove(ctx, &ledgerv1.GetMoveRequest{})
	return r.GetProgress(), err
}

// moveLine says how far a move is, and how long the rest will take.
func moveLine(from uint64, p *ledgerv1.MoveProgress) string {
	done, total, what := p.GetBlocksRead(), p.GetBlocks(), "blocks read for ids"
	if p.GetPhase() == "moving" {
		done, total, what = uint64(len(p.GetMoved())), uint64(p.GetBuckets()-p.GetAlready()), "buckets moved"
	}
	text := fmt.Sprintf("cell %d → %d: %s, %d of %d %s, %d ids carried", from, p.GetTo(), p.GetPhase(), done, total, what, p.GetIds())
	if elapsed := time.Since(time.Unix(0, int64(p.GetBegan()))); p.GetPhase() == "carrying" && done > 0 && elapsed > time.Second { //nolint:gosec // until the year 2262
		text += fmt.Sprintf(", %v left", (elapsed * time.Duration(total-done) / time.Duration(done)).Round(time.Second)) //nolint:gosec // small
	}
	return text
}

// printMoved shows what has moved; note is said where nothing had to.
func (m *cellMove) printMoved(note string) error {
	if m.flags.output == "json" {
		return m.printJSON(&ledgerv1.GetMoveResponse{Progress: m.sum()})
	}
	p := m.sum()
	var err error
	switch {
	case note != "":
		_, err = fmt.Fprintln(m.c.OutOrStdout(), note)
	case m.dryRun:
		_, err = fmt.Fprintf(m.c.OutOrStdout(), "%d buckets would move to cell %d, with %d accounts and %d open reservations; %d blocks of the journal would be read for their ids\n",
			p.GetBuckets()-p.GetAlready(), m.to, p.GetAccounts(), p.GetReservations(), p.GetBlocks())
	default:
		err = m.printPauses(p)
	}
	return err
}

// sum adds the moves from all cells up.
func (m *cellMove) sum() *ledgerv1.MoveProgress {
	all := &ledgerv1.MoveProgress{To: m.to, State: ledgerv1.MoveState_MOVE_STATE_DONE}
	for _, p := range m.done {
		all.Buckets, all.Already = all.GetBuckets()+p.GetBuckets(), all.GetAlready()+p.GetAlready()
		all.Blocks, all.BlocksRead, all.Ids = all.GetBlocks()+p.GetBlocks(), all.GetBlocksRead()+p.GetBlocksRead(), all.GetIds()+p.GetIds()
		all.Accounts, all.Reservations = all.GetAccounts()+p.GetAccounts(), all.GetReservations()+p.GetReservations()
		all.Moved = append(all.Moved, p.GetMoved()...)
		all.State, all.Error = p.GetState(), p.GetError()
	}
	return all
}

func (m *cellMove) printPauses(p *ledgerv1.MoveProgress) error {
	var longest time.Duration
	var accounts, reservations uint64
	rows := make([][]string, len(p.GetMoved()))
	for i, b := range p.GetMoved() {
		pause := time.Duration(b.GetPauseNs()) //nolint:gosec // short
		longest, accounts, reservations = max(longest, pause), accounts+b.GetAccounts(), reservations+b.GetReservations()
		rows[i] = []string{
			strconv.FormatUint(uint64(b.GetBucket()), 10), strconv.FormatUint(b.GetAccounts(), 10), strconv.FormatUint(b.GetReservations(), 10),
			pause.Round(100 * time.Microsecond).String(),
		}
	}
	if err := m.print(nil, "BUCKET ACCOUNTS RESERVATIONS PAUSE", rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(m.c.OutOrStdout(), "moved to cell %d: buckets %d, accounts %d, reservations %d, ids carried %d; longest pause %v\n",
		m.to, len(rows), accounts, reservations, p.GetIds(), longest.Round(100*time.Microsecond))
	return err
}
