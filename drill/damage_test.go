package drill_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	sector  = 512
	segment = "journal/journal-0000000000000001.seg"
)

// pay makes n transfers of 1 from account 1 to account 2 in one call, with ids from first on.
func pay(t *testing.T, c *client.Client, first, n int) {
	t.Helper()
	var list []*client.Transfer
	amount := "1"
	for i := range n {
		list = append(list, &client.Transfer{
			Id: strconv.Itoa(first + i), DebitAccountId: "1", CreditAccountId: "2", Amount: &amount, Asset: asset, Code: 1,
		})
	}
	response, err := c.CreateTransfers(t.Context(), list...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range response.GetResults() {
		if r.GetStatus() != created {
			t.Fatalf("transfer %d: %v", first+i, r)
		}
	}
}

// paid returns how much account 2 has, and checks that so many transfers from first on are there.
func paid(t *testing.T, c *client.Client, first, n int) string {
	t.Helper()
	list, err := c.LookupAccounts(t.Context(), money.From(2))
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	for ids := range slices.Chunk(numbers(first, n), client.MaxEvents) {
		response, err := c.Ledger().LookupTransfers(t.Context(), &ledgerv1.LookupTransfersRequest{Ids: ids})
		if err != nil || len(response.GetTransfers()) != len(ids) {
			t.Fatalf("%d of %d transfers are there, %v", len(response.GetTransfers()), len(ids), err)
		}
	}
	return list[0].GetCreditsPosted()
}

func numbers(first, n int) []string {
	var ids []string
	for i := range n {
		ids = append(ids, strconv.Itoa(first+i))
	}
	return ids
}

// filled makes a folder with a few blocks, the last one of 100 transfers with ids from 1000 on. A stopped server has
// written its index; one that was killed has not.
func filled(t *testing.T, stopped bool) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.dial()
	openAccounts(t, c)
	pay(t, c, 1, 10)
	pay(t, c, 11, 10)
	pay(t, c, 1000, 100)
	if stopped {
		p.stop()
	} else {
		p.kill()
	}
	return dir
}

// change rewrites a file of a folder.
func change(t *testing.T, dir, name string, f func(b []byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tail returns the offset after the last sector that was written.
func tail(b []byte) int {
	end := len(bytes.TrimRight(b, "\x00"))
	return (end + sector - 1) / sector * sector
}

// TestTornTail loses the end of the last block, as a crash in the middle of its write does. Nobody was told of that
// block (here: as far as the disk knows), so it is cut whole, and everything before it stays.
func TestTornTail(t *testing.T) {
	t.Parallel()
	dir := filled(t, false)
	change(t, dir, segment, func(b []byte) []byte {
		clear(b[tail(b)-3*sector : tail(b)])
		return b
	})
	p := start(t, dir)
	if !strings.Contains(p.log.String(), "an append had been interrupted") {
		t.Errorf("nothing is said of the cut:\n%s", p.log.String())
	}
	c := p.dial()
	if got := paid(t, c, 1, 20); got != "20" {
		t.Errorf("account 2 has %s, want 20", got)
	}
	if list, err := c.LookupTransfers(t.Context(), money.From(1000), money.From(1099)); err != nil || len(list) != 0 {
		t.Errorf("of a block that was cut, %v is there, %v", list, err)
	}
	pay(t, c, 1000, 100) // sent again by its sender, who got no answer
	if got := paid(t, c, 1000, 100); got != "120" {
		t.Errorf("account 2 has %s, want 120", got)
	}
	p.stop()
	verify(t, dir)
}

// TestDamage plants damage that no crash makes. The server must not start on it, and the message must name the file.
func TestDamage(t *testing.T) {
	t.Parallel()
	flip := func(at func(b []byte) int) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at(b)] ^= 0x10
			return b
		}
	}
	for name, c := range map[string]struct {
		file    string
		change  func([]byte) []byte
		message string
		verify  bool // `sterling verify` says the same
	}{
		"bit in an acknowledged block": {segment, flip(func([]byte) int { return 2*sector + 100 }), segment + " at offset", true},
		"bit in the last block":        {segment, flip(func(b []byte) int { return tail(b) - 5*sector - 9 }), segment + " at offset", true},
		"bit in a checksum":            {segment, flip(func(b []byte) int { return tail(b) - 4*sector + 5 }), segment + " at offset", true},
		"bit in the segment's header":  {segment, flip(func([]byte) int { return 60 }), segment + " at offset", true},
		"zeros inside": {segment, func(b []byte) []byte {
			clear(b[2*sector : 3*sector])
			return b
		}, segment + " at offset", true},
		"two sectors exchanged": {segment, func(b []byte) []byte {
			x := slices.Clone(b[3*sector : 4*sector])
			copy(b[3*sector:], b[4*sector:5*sector])
			copy(b[4*sector:], x)
			return b
		}, segment + " at offset", true},
		"file cut short":         {segment, func(b []byte) []byte { return b[:len(b)/2] }, segment + " at offset", true},
		"folder of another time": {"FORMAT", func([]byte) []byte { return []byte("sterling data folder, format 99\n") }, "unknown format version: the folder has 99", true},
		"segment of another time": {segment, func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[16:], 99)
			return b
		}, segment + ": unknown format version: 99", true},
		"format file lost": {"FORMAT", func([]byte) []byte { return nil }, "FORMAT at offset 0", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, true)
			change(t, dir, c.file, c.change)
			before := snapshotOf(t, dir)
			if said := refuses(t, dir); !strings.Contains(said, c.message) {
				t.Errorf("sterling up says %s, want %q", said, c.message)
			}
			if out, code := command(t, "verify", "--data", dir); c.verify && (code != 1 || !strings.Contains(out, c.message)) {
				t.Errorf("sterling verify: code %d, %s, want %q", code, out, c.message)
			}
			if after := snapshotOf(t, dir); !bytes.Equal(before, after) {
				t.Error("the damaged journal was written to")
			}
		})
	}
}

// snapshotOf returns the journal as it stands.
func snapshotOf(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(segment)))
	if err != nil {
		t.Fatal(err)
	}
	return b[:tail(b)]
}

// TestMissingSegment removes the journal, or its tail, under an index that knows what was in it.
func TestMissingSegment(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, dir string){
		"the file": func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(segment))); err != nil {
				t.Fatal(err)
			}
		},
		"its last blocks": func(t *testing.T, dir string) {
			t.Helper()
			change(t, dir, segment, func(b []byte) []byte {
				clear(b[4*sector:])
				return b
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filled(t, true)
			lose(t, dir)
			if said := refuses(t, dir); !strings.Contains(said, "the journal ends too early") || !strings.Contains(said, "is known to have been durable") {
				t.Errorf("sterling up says %s", said)
			}
		})
	}
}

// TestDamagedSnapshot cuts the newest snapshot short, then damages the other one too: the server says so and starts
// from what is left, in the end from the journal alone, with the same state.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	p := start(t, dir)
	c := p.dial()
	openAccounts(t, c)
	const calls, size = 12, 4000
	for i := range calls {
		payPacked(t, c, 1+i*size, size)
	}
	await(t, "two snapshots", func() bool { return len(snapshots(t, dir)) == 2 })
	p.stop()
	if err := os.Truncate(snapshots(t, dir)[1], 3000); err != nil {
		t.Fatal(err)
	}
	for round, want := range []string{"snapshot loaded", "snapshot left out"} {
		p = start(t, dir)
		if log := p.log.String(); !strings.Contains(log, "snapshot left out") || !strings.Contains(log, want) {
			t.Errorf("round %d: %q is not in the log:\n%s", round, want, log)
		}
		if got := paid(t, p.dial(), 1, calls*size); got != strconv.Itoa(calls*size) {
			t.Errorf("account 2 has %s, want %d", got, calls*size)
		}
		p.stop()
		for _, path := range snapshots(t, dir) {
			if err := os.Truncate(path, 100); err != nil {
				t.Fatal(err)
			}
		}
	}
	if v := verify(t, dir); v.Transfers != calls*size {
		t.Errorf("verify: %+v", v)
	}
}

// snapshots returns the snapshot files, oldest first.
func snapshots(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "snapshots", "*.snap"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// payPacked is pay with records.
func payPacked(t *testing.T, c *client.Client, first, n int) {
	t.Helper()
	if err := tryPacked(t, c, first, n); err != nil {
		t.Fatal(err)
	}
}

func tryPacked(t *testing.T, c *client.Client, first, n int) error {
	t.Helper()
	list := make([]journal.Transfer, n)
	for i := range list {
		list[i] = journal.Transfer{ID: money.From(uint64(first + i)), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1}
	}
	results, err := c.CreateTransfersPacked(t.Context(), journal.Bytes(list))
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Status != uint32(created) {
			t.Fatalf("transfer %d: status %d", first+i, r.Status)
		}
	}
	return nil
}
