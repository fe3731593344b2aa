package drill_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/store/local"
)

// first is a data folder of the first release: 17 blocks of format 1 by rules 1, a snapshot of state version 1
// after block 15, an index of its layout. It holds 12,000 transfers, reservations that were posted (once in part),
// voided, fenced, that expired or are open, one of which closed account 4; burned ids, broken chains, a freeze in force
// and one that was lifted, limits. What that release answered of its accounts stands beside it.
const first = "testdata/upgrade-v1.tar.gz"

const firstBlocks = 17

// unpack makes a folder of the fixture. Segments are filled up to the size that they were made with.
func unpack(t *testing.T, fixture string, segment int64) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
			continue
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err == nil && strings.Contains(path, "journal-") {
			err = os.Truncate(path, segment)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestUpgrade opens the folder with today's program: as it was left, and where only its journal is of use. It is ready,
// answers the same balances, knows all ids, takes writes by the new rules, and verify proves it, before and after.
func TestUpgrade(t *testing.T) {
	for _, c := range []struct {
		name string
		lost []string
	}{{"as it was left", nil}, {"journal alone", []string{"index", "snapshots"}}} {
		t.Run(c.name, func(t *testing.T) {
			dir := unpack(t, first, local.DefaultSegmentSize)
			for _, name := range c.lost {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			before := verify(t, dir)
			if before.Blocks != firstBlocks || before.Transfers != 10014 || before.Pending != 3 {
				t.Fatalf("verified %+v", before)
			}
			p := start(t, dir)
			upgraded(t, p.dial())
			p.stop()
			after := verify(t, dir)
			if after.Transfers != before.Transfers+2 || after.Accounts != before.Accounts+1 || after.Pending != 2 {
				t.Errorf("verified %+v after %+v", after, before)
			}
			rulesOf(t, dir, firstBlocks, 1)
			p = start(t, dir) // and once more, from what it left itself
			if err := sameIDs(t, p.dial()); err != nil {
				t.Error(err)
			}
			p.stop()
		})
	}
}

// upgraded compares what a server on the folder answers with what the release before did, and writes to it.
func upgraded(t *testing.T, c *client.Client) {
	t.Helper()
	b, err := os.ReadFile("testdata/upgrade-v1-accounts.json")
	if err != nil {
		t.Fatal(err)
	}
	var was ledgerv1.LookupAccountsResponse
	if err := protojson.Unmarshal(b, &was); err != nil {
		t.Fatal(err)
	}
	var ids []money.U128
	for _, a := range was.GetAccounts() {
		ids = append(ids, must(money.Parse(a.GetId())))
	}
	now, err := c.LookupAccounts(t.Context(), ids...)
	if err != nil || len(now) != len(ids) {
		t.Fatalf("%d accounts: %v", len(now), err)
	}
	for i, a := range was.GetAccounts() {
		if !proto.Equal(a, now[i]) {
			t.Errorf("account %s was\n%v, now it is\n%v", a.GetId(), a, now[i])
		}
	}
	if err := sameIDs(t, c); err != nil {
		t.Error(err)
	}
	list, err := c.AccountTransfers(t.Context(), &client.AccountFilter{AccountId: "5", Limit: 100}, nil)
	if err != nil || len(list.GetTransfers()) != 100 {
		t.Errorf("the index lists %d transfers of account 5: %v", len(list.GetTransfers()), err)
	}
	history, err := c.AccountBalances(t.Context(), &client.AccountFilter{AccountId: "5", Limit: 100}, nil)
	if err != nil || len(history.GetBalances()) != 100 {
		t.Errorf("the index lists %d balances of account 5: %v", len(history.GetBalances()), err)
	}
	freezes, err := c.Freezes(t.Context())
	if err != nil || len(freezes) != 1 {
		t.Errorf("freezes in force: %v, %v", freezes, err)
	}
	newWrites(t, c)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// sameIDs sends transfers of the release before again, and others against what it left behind.
func sameIDs(t *testing.T, c *client.Client) error {
	t.Helper()
	pending := []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING}
	response, err := c.CreateTransfers(t.Context(),
		plain(1000, "1", "5", "1"), plain(1001, "2", "5", "3"), plain(15, "1", "2", "5"), plain(777, "1", "2", "5"),
		plain(900_001, "3", "2", "1"), plain(900_002, "1", "4", "1"),
		&client.Transfer{Id: "11", DebitAccountId: "1", CreditAccountId: "2", Amount: new("200"), Asset: asset, Code: 1, Flags: pending, Timeout: 2},
		&client.Transfer{Id: "900003", PendingId: "11", Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}},
	)
	if err != nil {
		return err
	}
	for i, want := range []string{
		"EXISTS", "EXISTS_WITH_DIFFERENT_AMOUNT", "ID_ALREADY_FAILED", "ID_ALREADY_FAILED",
		"DEBIT_ACCOUNT_FROZEN|ID_ALREADY_FAILED", "CREDIT_ACCOUNT_ALREADY_CLOSED|ID_ALREADY_FAILED", "EXISTS", "PENDING_TRANSFER_EXPIRED",
	} {
		got := strings.TrimPrefix(response.GetResults()[i].GetStatus().String(), "CREATE_TRANSFER_STATUS_")
		if !strings.Contains("|"+want+"|", "|"+got+"|") {
			t.Errorf("transfer %d: %s, want %s", i, got, want)
		}
	}
	return nil
}

func plain(id int, debit, credit, amount string) *client.Transfer {
	return &client.Transfer{Id: strconv.Itoa(id), DebitAccountId: debit, CreditAccountId: credit, Amount: &amount, Asset: asset, Code: 1}
}

// newWrites sends what the release before did not know, and posts what it reserved.
func newWrites(t *testing.T, c *client.Client) {
	t.Helper()
	text := func(s string) map[string]*ledgerv1.MetadataValue {
		return map[string]*ledgerv1.MetadataValue{"order": {Value: &ledgerv1.MetadataValue_Text{Text: s}}}
	}
	opened, err := c.CreateAccounts(t.Context(), &client.Account{Id: "21", Asset: asset, Code: 1001, Address: "merchant:21", Metadata: text("first")})
	if err != nil || opened.GetResults()[0].GetStatus() != ledgerv1.CreateAccountStatus_CREATE_ACCOUNT_STATUS_CREATED {
		t.Fatalf("an account with an address: %v, %v", opened, err)
	}
	x := plain(800_001, "1", "21", "25")
	x.Metadata = text("second")
	post := &client.Transfer{Id: "800002", PendingId: "12", Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}}
	for range 2 { // the second time they exist
		response, err := c.CreateTransfers(t.Context(), x, post)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range response.GetResults() {
			if s := r.GetStatus(); s != created && s != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS {
				t.Fatalf("new transfer %d: %v", i, s)
			}
		}
	}
}

// rulesOf checks that the rules, which were these up to a block, rise once in the journal, in an epoch block, and that no
// block of a newer format stands before it.
func rulesOf(t *testing.T, dir string, blocks uint64, rules uint16) {
	t.Helper()
	s, err := local.Open(dir, local.Options{Cell: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // it was only read
	head, _, err := s.Head(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	newFormat := 0
	for seq := uint64(1); seq <= head; seq++ {
		raw, err := s.Read(context.Background(), seq, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, err := journal.DecodeHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := rules
		if seq > blocks {
			want = ledger.Rules
		}
		if h.Rules != want || seq == blocks+1 && h.Kind != journal.BlockEpoch || h.Version > h.Rules {
			t.Errorf("block %d of kind %d has rules %d and version %d", seq, h.Kind, h.Rules, h.Version)
		}
		if h.Version >= 2 {
			newFormat++
		}
	}
	if newFormat == 0 {
		t.Error("no block of version 2 or above was written")
	}
}
