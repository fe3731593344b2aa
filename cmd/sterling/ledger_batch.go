package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// maxLine bounds a line of transfers, in bytes.
const maxLine = 64 << 10

func newCreateTransfers(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "create-transfers [FILE]", Short: "Create transfers from JSON lines, of a file or standard input", Args: cobra.MaximumNArgs(1),
		Long: `Each line is one transfer as the API has it. They are sent in order, up to 8,190 in
one atomic step; linked transfers stay together. Accounts may be addresses. With --output json, one answer for
each step. It may be repeated: what was recorded the first time answers "exists".`,
		Example: `  echo '{"id":"10","debitAccountId":"1","creditAccountId":"2","amount":"100","asset":"CNY/2","code":1}' |
    sterling ledger create-transfers`,
		RunE: func(c *cobra.Command, args []string) (err error) {
			in, name := c.InOrStdin(), "standard input"
			if len(args) == 1 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return usage("%w", err)
				}
				defer func() { err = errors.Join(err, file.Close()) }()
				in, name = file, args[0]
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				b := &batches{session: s, statuses: map[ledgerv1.CreateTransferStatus]int{}, name: name}
				return b.run(ctx, in)
			})
		},
	}
}

// batches sends transfers as they are read.
type batches struct {
	*session
	name     string // of the input
	waiting  []*ledgerv1.Transfer
	lines    []int // of waiting
	sent     int
	refused  int
	statuses map[ledgerv1.CreateTransferStatus]int
}

func (b *batches) run(ctx context.Context, in io.Reader) error {
	scanner := bufio.NewScanner(in)
	scanner.Buffer(make([]byte, 0, 4096), maxLine)
	line := 0
	for scanner.Scan() {
		line++
		if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
			continue
		}
		t := &ledgerv1.Transfer{}
		if err := protojson.Unmarshal(scanner.Bytes(), t); err != nil {
			return b.stop(line, err)
		}
		b.waiting, b.lines = append(b.waiting, t), append(b.lines, line)
		if len(b.waiting) == journal.MaxEvents {
			if err := b.send(ctx, b.whole()); err != nil {
				return err
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return b.stop(line+1, err)
	}
	if err := b.send(ctx, len(b.waiting)); err != nil {
		return err
	}
	return b.finish()
}

// stop reports a line that can't be read, and what was sent before it.
func (b *batches) stop(line int, err error) error {
	if b.sent == 0 {
		return usage("%s:%d: %w; nothing was sent", b.name, line, err)
	}
	return fmt.Errorf("%s:%d: %w; the %d transfers before it were sent: mend the line and send all again", b.name, line, err, b.sent)
}

// whole is how many of the waiting transfers end with a whole chain.
func (b *batches) whole() int {
	n := len(b.waiting)
	for n > 0 && slices.Contains(b.waiting[n-1].GetFlags(), ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED) {
		n--
	}
	return n
}

func (b *batches) send(ctx context.Context, n int) error {
	if len(b.waiting) == 0 {
		return nil
	}
	if n == 0 {
		return usage("%s:%d: a chain of more than %d linked transfers", b.name, b.lines[0], journal.MaxEvents)
	}
	if err := b.settleAccounts(ctx, b.waiting[:n]); err != nil {
		return fmt.Errorf("%s, lines %d to %d: %w (%d transfers were sent before)", b.name, b.lines[0], b.lines[n-1], b.explain(err), b.sent)
	}
	ctx, cancel := b.call(ctx)
	defer cancel()
	response, err := b.CreateTransfers(ctx, &ledgerv1.CreateTransfersRequest{Transfers: b.waiting[:n]})
	if err != nil {
		return fmt.Errorf("%s, lines %d to %d: %w (%d transfers were sent before)", b.name, b.lines[0], b.lines[n-1], b.explain(err), b.sent)
	}
	if b.flags.output == "json" {
		if err := b.printJSON(response); err != nil {
			return err
		}
	}
	for i, r := range response.GetResults() {
		b.statuses[r.GetStatus()]++
		if recorded(r.GetStatus()) {
			continue
		}
		b.refused++
		b.note("%s:%d: transfer %s: %s", b.name, b.lines[i], b.waiting[i].GetId(), short(r.GetStatus().String()))
	}
	b.sent += n
	b.waiting, b.lines = slices.Delete(b.waiting, 0, n), slices.Delete(b.lines, 0, n)
	return nil
}

// finish prints how many had which status, unless every answer was printed.
func (b *batches) finish() error {
	if b.flags.output != "json" {
		var rows [][]string
		for status, n := range b.statuses {
			rows = append(rows, []string{short(status.String()), strconv.Itoa(n)})
		}
		slices.SortFunc(rows, func(x, y []string) int { return cmp.Compare(x[0], y[0]) })
		if err := b.print(nil, "STATUS TRANSFERS", rows); err != nil {
			return err
		}
	}
	if b.refused > 0 {
		var hints hints
		for _, status := range slices.Sorted(maps.Keys(b.statuses)) {
			hints.add(transferHint(status))
		}
		hints.print(b.session)
		return refused(b.refused, b.sent)
	}
	return nil
}
