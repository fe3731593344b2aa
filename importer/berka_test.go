package importer_test

import (
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/importer"
)

// shared is where data sets that are not part of the repository lie: STERLING_SHARED, or a folder beside it.
func shared(t *testing.T, path string) string {
	t.Helper()
	root := os.Getenv("STERLING_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "shared")
	}
	file := filepath.Join(root, filepath.FromSlash(path))
	if _, err := os.Stat(file); err != nil {
		t.Skipf("%s is not there: set STERLING_SHARED to the folder that has %s", file, path)
	}
	return file
}

// TestStandingOrders imports 6,471 standing orders of a real bank as docs/guides/import-standing-orders.md does, reads
// the transfers back through the API, and compares the totals per receiving bank and per purpose with sums over the
// file that share no code with the importer.
func TestStandingOrders(t *testing.T) {
	t.Parallel()
	file := shared(t, "data/credit/berka/order.asc")
	m, err := importer.LoadMapping(filepath.Join("..", "docs", "guides", "standing-orders.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t)
	o := importer.Options{File: file, Format: importer.CSV}
	s, err := importer.Run(t.Context(), c, m, o)
	if err != nil || s.Rows != 6471 || s.TransfersCreated != 6471 || s.AccountsExisting+s.TransfersExisting != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	wantBanks, wantPurposes, total := sumFile(t, file)
	banks, purposes, rows := sumLedger(t, c, m)
	if rows != 6471 {
		t.Errorf("%d transfers in the ledger, want 6471", rows)
	}
	if !maps.Equal(banks, wantBanks) || len(banks) != 13 {
		t.Errorf("per receiving bank, in hellers: %v, want %v", banks, wantBanks)
	}
	if !maps.Equal(purposes, wantPurposes) || len(purposes) != 5 {
		t.Errorf("per purpose, in hellers: %v, want %v", purposes, wantPurposes)
	}
	again, err := importer.Run(t.Context(), c, m, o)
	if err != nil || again.TransfersExisting != 6471 || again.AccountsExisting != s.AccountsCreated || again.TransfersCreated+again.AccountsCreated != 0 {
		t.Errorf("a second import: %+v, %v", again, err)
	}
	t.Logf("%d orders, %d accounts, %d hellers in all, banks %v, purposes %v", s.Rows, s.AccountsCreated, total, banks, purposes)
}

// sumFile adds up the file by hand: lines, semicolons, digits.
func sumFile(t *testing.T, file string) (banks, purposes map[string]uint64, total uint64) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	banks, purposes = map[string]uint64{}, map[string]uint64{}
	for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		fields := strings.Split(strings.TrimRight(line, "\r"), ";")
		if i == 0 {
			continue
		}
		if len(fields) != 6 {
			t.Fatalf("line %d has %d fields", i+1, len(fields))
		}
		crowns, hellers, _ := strings.Cut(fields[4], ".")
		if len(hellers) != 2 {
			t.Fatalf("line %d: amount %s", i+1, fields[4])
		}
		amount, err := strconv.ParseUint(crowns+hellers, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		banks[strings.Trim(fields[2], `"`)] += amount
		purposes[strings.TrimSpace(strings.Trim(fields[5], `"`))] += amount
		total += amount
	}
	return banks, purposes, total
}

// sumLedger reads all transfers back, page by page, and gives the numbers their names.
func sumLedger(t *testing.T, c *client.Client, m *importer.Mapping) (banks, purposes map[string]uint64, rows int) {
	t.Helper()
	name := func(table string, number uint32) string {
		for text, n := range m.Tables[table] {
			if n == uint64(number) {
				return text
			}
		}
		t.Fatalf("table %s has no number %d", table, number)
		return ""
	}
	banks, purposes = map[string]uint64{}, map[string]uint64{}
	for filter := (&client.QueryFilter{Asset: "CZK/2", Limit: 1000}); ; {
		page, err := c.QueryTransfers(t.Context(), filter, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page.GetTransfers() {
			amount, err := strconv.ParseUint(x.GetAmount(), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			banks[name("bank", x.GetUserData_32())] += amount
			purposes[name("purpose", x.GetCode())] += amount
			rows++
		}
		if page.GetNextTimestamp() == 0 {
			return banks, purposes, rows
		}
		filter.TimestampMin = page.GetNextTimestamp()
	}
}
