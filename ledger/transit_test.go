package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestTransitsBeginWithTheirRules: what the flags of transfers across cells meant to older rules, they mean to a replay of
// their blocks, and until an epoch block raises the rules.
func TestTransitsBeginWithTheirRules(t *testing.T) {
	own := journal.Account{ID: money.From(90), Asset: 1, Code: 1, Flags: journal.AccountTransit}
	old := blockOfRules2(t, []journal.Account{{ID: money.From(1), Asset: 1, Code: 1}, own})
	s, b, fx := ledger.New(ledger.Config{}), journal.NewBuilder(), new(ledger.Effects)
	if err := s.Replay(old, b, fx, nil); err != nil {
		t.Fatal(err)
	}
	create := func(a journal.Account) journal.Status {
		var r [1]journal.Result
		s.Begin(b, fx, 2, s.NextTime())
		s.Expire()
		s.Needs(journal.KindAccounts, journal.Bytes([]journal.Account{a}), nil)
		s.Apply(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{a}), ledger.Facts{}, r[:])
		s.End(nil)
		return r[0].Status
	}
	if got := create(own); got != journal.AccountReservedFlag {
		t.Errorf("by rules 2: %s", got.Name(journal.KindAccounts))
	}
	image := takeSnapshot(s, 1)
	if got := binary.LittleEndian.Uint16(image[10:]); got != 2 {
		t.Errorf("a snapshot of rules 2 says %d", got)
	}
	back, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	s = back
	if got := create(own); got != journal.AccountReservedFlag {
		t.Errorf("by rules 2, restored: %s", got.Name(journal.KindAccounts))
	}
	s.RaiseRules()
	if got := create(own); got != journal.Created {
		t.Errorf("by rules %d: %s", ledger.Rules, got.Name(journal.KindAccounts))
	}
}

// blockOfRules2 begins a journal of a program that knew no newer rules: what it called reserved stands in it as such.
func blockOfRules2(t *testing.T, accounts []journal.Account) *journal.Block {
	t.Helper()
	b := journal.NewBuilder()
	b.AddRequest(journal.KindAccounts, journal.Actor{}, journal.Bytes(accounts))
	for i, a := range accounts {
		if a.Flags != 0 {
			b.AddOutcome(journal.Outcome{Event: uint32(i), Status: journal.AccountReservedFlag, Timestamp: 1000 + uint64(i)})
		}
	}
	k, err := journal.Decode(bytes.Clone(b.Seal(journal.Header{Kind: journal.BlockEpoch, Rules: 2, Seq: 1, Time: 1000}).Raw))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSnapshotsThatForgetTransits: what open markers need to be settled can't be missing, nor be another's.
func TestSnapshotsThatForgetTransits(t *testing.T) {
	ids := newIDFiles()
	s := goldenState(t, ids, goldenTransits(t))
	image, _ := s.StartSnapshot(2).Next(nil, 1<<20)
	open, _ := s.OpenPendings(0, 10, nil)
	var row []byte
	for _, p := range open {
		if p.Ended {
			row = binary.LittleEndian.AppendUint64(row, uint64(p.Position))
			row = binary.LittleEndian.AppendUint64(row, p.Posted.Lo)
		}
	}
	at := bytes.Index(image, row)
	if len(row) != 16 || at < 0 {
		t.Fatalf("no marker that ended among %+v", open)
	}
	for name, change := range map[string]func(b []byte){
		"of another marker":            func(b []byte) { b[at]++ },
		"with more than was in it":     func(b []byte) { b[at+8]++ },
		"forgotten":                    func(b []byte) { b[at+7] = 1 },
		"of nothing that is committed": func(b []byte) { forgetLinked(b) },
	} {
		b := bytes.Clone(image)
		change(b)
		if _, _, err := ledger.Restore(ids.config([2]uint64{}, 5), bytes.NewReader(b)); !errors.Is(err, ledger.ErrSnapshot) || !strings.Contains(err.Error(), "across cells") && !strings.Contains(err.Error(), "marker") {
			t.Errorf("an end %s: %v", name, err)
		}
	}
}

// forgetLinked takes the flag off every reservation's record that says that it commits.
func forgetLinked(b []byte) {
	flags := binary.LittleEndian.AppendUint16(nil, 9) // the code before them
	const marker = journal.TransferLinked | journal.TransferPending | journal.TransferTransit | journal.TransferHold | journal.TransferAttached
	flags = binary.LittleEndian.AppendUint16(flags, uint16(marker))
	b[bytes.Index(b, flags)+2] &^= byte(journal.TransferLinked)
}
