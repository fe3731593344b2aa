package ledger_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// The tests of this file plant faults that a ledger can have, and show that each is noticed.

func send[T journal.Record](r *rig, kind journal.Kind, events ...T) []journal.Result {
	return r.apply(kind, journal.Actor{}, journal.Bytes(events))
}

func wantStatus(t *testing.T, results []journal.Result, want ...journal.Status) {
	t.Helper()
	for i, r := range results {
		if r.Status != want[i] {
			t.Errorf("event %d: %s, want %s", i, r.Status.Name(journal.KindTransfers), want[i].Name(journal.KindTransfers))
		}
	}
}

// smallBank has accounts 1 and 2, a reservation (10, of 100, for a second) and a transfer that failed.
func smallBank(t *testing.T) *rig {
	r := newRig([2]uint64{1, 2})
	r.clock = 1_000_000_000
	wantStatus(t, send(r, journal.KindAccounts, journal.Account{ID: money.From(1), Asset: 1, Code: 1}, journal.Account{ID: money.From(2), Asset: 1, Code: 1}), 1, 1)
	r.seal()
	wantStatus(t, send(r, journal.KindTransfers,
		journal.Transfer{ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(100), Asset: 1, Code: 1, Flags: journal.TransferPending, Timeout: 1},
		journal.Transfer{ID: money.From(11), Debit: money.From(1), Credit: money.From(9), Amount: money.From(7), Asset: 1, Code: 1},
		journal.Transfer{ID: money.From(12), Debit: money.From(1), Credit: money.From(2), Amount: money.From(7), Asset: 1, Code: 1},
	), journal.Created, journal.TransferCreditAccountNotFound, journal.Created)
	r.seal()
	return r
}

// TestOmittedAmountOnPost: an amount that was left out moves all that is reserved; a zero that was written moves
// nothing. Whoever encodes the one as the other loses the customer's money.
func TestOmittedAmountOnPost(t *testing.T) {
	for _, c := range []struct {
		amount, posted money.U128
	}{{money.Max(), money.From(107)}, {money.U128{}, money.From(7)}} {
		r := smallBank(t)
		wantStatus(t, send(r, journal.KindTransfers, journal.Transfer{ID: money.From(20), PendingID: money.From(10), Amount: c.amount, Flags: journal.TransferPost}), journal.Created)
		a, _ := r.state.Account(money.From(1))
		if !a.DebitsPending.IsZero() || a.DebitsPosted != c.posted {
			t.Errorf("posted with amount %v: %v pending, %v posted, want 0 and %v", c.amount, a.DebitsPending, a.DebitsPosted, c.posted)
		}
	}
}

// TestExpiryBetweenReserveAndPost: the nanosecond decides, whether the sweep came by or not.
func TestExpiryBetweenReserveAndPost(t *testing.T) {
	post := journal.Transfer{ID: money.From(20), PendingID: money.From(10), Amount: money.Max(), Flags: journal.TransferPost}
	for _, c := range []struct {
		clock uint64
		first bool // another event comes first in the block
		want  journal.Status
	}{
		{2_000_000_001, false, journal.Created},                       // 10 was made at 1.000000002s
		{2_000_000_001, true, journal.TransferPendingTransferExpired}, // not swept: the block began before
		{2_000_000_002, false, journal.TransferPendingTransferExpired},
		{9_000_000_000, false, journal.TransferPendingTransferExpired},
	} {
		r := smallBank(t)
		r.clock = c.clock
		events := []journal.Transfer{post}
		want := []journal.Status{c.want}
		if c.first {
			events = []journal.Transfer{{}, post}
			want = []journal.Status{journal.TransferIdMustNotBeZero, c.want}
		}
		wantStatus(t, send(r, journal.KindTransfers, events...), want...)
		if err := r.checkReplay(); err != nil {
			t.Error(err)
		}
	}
}

// altered replays the journal of a small bank up to a block that was changed by hand and sealed again.
func altered(t *testing.T, change func(h *journal.Header, b *alteredBlock)) error {
	t.Helper()
	r := smallBank(t)
	wantStatus(t, send(r, journal.KindTransfers,
		journal.Transfer{ID: money.From(20), PendingID: money.From(10), Amount: money.From(40), Flags: journal.TransferPost},
		journal.Transfer{ID: money.From(12), Debit: money.From(1), Credit: money.From(2), Amount: money.From(8), Asset: 1, Code: 1},
	), journal.Created, journal.TransferExistsWithDifferentAmount)
	r.seal()
	last := r.log[len(r.log)-1]
	b := &alteredBlock{expiries: last.Expiries, outcomes: last.Outcomes, events: bytes.Clone(last.EventBytes(0, int(last.Header.Events)))}
	b.outcomes = append([]journal.Outcome(nil), b.outcomes...)
	h := last.Header
	change(&h, b)
	builder := journal.NewBuilder()
	for _, e := range b.expiries {
		builder.AddExpiry(e)
	}
	builder.AddRequest(journal.KindTransfers, journal.Actor{}, b.events)
	for _, o := range b.outcomes {
		builder.AddOutcome(o)
	}
	r.log[len(r.log)-1] = builder.Seal(h)
	return r.replayed(ledger.New(ledger.Config{}), 1)
}

type alteredBlock struct {
	expiries []journal.Expiry
	outcomes []journal.Outcome
	events   []byte
}

// TestAlteredOutcome: whatever is changed in a block's outcomes, replay stops and names the event and the block.
func TestAlteredOutcome(t *testing.T) {
	if err := altered(t, func(*journal.Header, *alteredBlock) {}); err != nil {
		t.Fatalf("unaltered: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(h *journal.Header, b *alteredBlock)
		says   string
	}{
		{"amount", func(_ *journal.Header, b *alteredBlock) { b.outcomes[0].Amount = money.From(41) }, "event 0 of block 3"},
		{"status", func(_ *journal.Header, b *alteredBlock) { b.outcomes[1].Status = journal.TransferExists }, "event 1 of block 3"},
		{"timestamp", func(_ *journal.Header, b *alteredBlock) { b.outcomes[1].Timestamp++ }, "event 1 of block 3"},
		{"pending position", func(_ *journal.Header, b *alteredBlock) { b.outcomes[0].PendingPosition++ }, "event 0 of block 3"},
		{"left out", func(_ *journal.Header, b *alteredBlock) { b.outcomes = b.outcomes[:1] }, "event 1 of block 3"},
		{"event", func(_ *journal.Header, b *alteredBlock) {
			journal.View[journal.Transfer](b.events)[0].Amount = money.From(41)
		}, "event 0 of block 3"},
		{"expiry", func(_ *journal.Header, b *alteredBlock) {
			b.expiries = []journal.Expiry{{Pending: money.From(10), Amount: money.From(100)}}
		}, "block 3 records 1 expiries, 0 are due"},
		{"time", func(h *journal.Header, _ *alteredBlock) { h.Time++ }, "event 0 of block 3"},
		{"time goes back", func(h *journal.Header, _ *alteredBlock) { h.Time = 1 }, "block 3 begins at 1"},
		{"digest", func(h *journal.Header, _ *alteredBlock) { h.StateDigest[7] ^= 1 }, "digest"},
	} {
		err := altered(t, c.change)
		if !errors.Is(err, ledger.ErrDiverged) || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s altered: %v, want %q", c.name, err, c.says)
		}
	}
}

// TestOtherRules: a block of other rules is never replayed by this program's; the error says what to do.
func TestOtherRules(t *testing.T) {
	err := altered(t, func(h *journal.Header, _ *alteredBlock) { h.Rules = ledger.Rules + 1 })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("block 3 was validated by rules version %d", ledger.Rules+1)) {
		t.Errorf("got %v", err)
	}
}

// TestFactsThatNobodyFetched: the ledger stops rather than guess when a runner leaves out what Needs asked for.
func TestFactsThatNobodyFetched(t *testing.T) {
	r := smallBank(t)
	r.release(uint64(len(r.log)))
	event := journal.Bytes([]journal.Transfer{{ID: money.From(12), Debit: money.From(1), Credit: money.From(2), Amount: money.From(7), Asset: 1, Code: 1}})
	r.begin()
	needs := r.state.Needs(journal.KindTransfers, event, nil)
	if len(needs) != 1 || needs[0].Position.Seq() != 2 {
		t.Fatalf("needs %v, want the record in block 2", needs)
	}
	defer func() {
		if got := fmt.Sprint(recover()); !strings.Contains(got, "nobody told what stands at block 2") {
			t.Errorf("got %s", got)
		}
	}()
	r.state.Apply(journal.KindTransfers, journal.Actor{}, event, ledger.Facts{}, make([]journal.Result, 1))
}

// TestAlteredSnapshot flips every byte of a snapshot, cuts it everywhere and lets its head claim too much: Restore
// answers ErrSnapshot or a state in which money is conserved.
func TestAlteredSnapshot(t *testing.T) {
	r := smallBank(t)
	send(r, journal.KindFreeze, journal.Freeze{ID: money.From(30), Account: money.From(1), Selector: journal.SelectAccount, Mode: journal.FreezeAll})
	send(r, journal.KindLimits, journal.Limit{ID: money.From(31), Account: money.From(1), Side: journal.FreezeDebit, DayAmount: money.From(5)})
	send(r, journal.KindAssets, ledger.AssetRecord(money.Asset{Code: "CNY", Scale: 2}))
	r.seal()
	image := takeSnapshot(r.state, uint64(len(r.log)))
	refused := 0
	check := func(what string, b []byte) {
		s, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(b))
		switch {
		case err == nil:
			if err := conserved(s); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case !errors.Is(err, ledger.ErrSnapshot):
			t.Errorf("%s: %v is not ErrSnapshot", what, err)
		default:
			refused++
		}
	}
	for i := range image {
		b := bytes.Clone(image)
		b[i] ^= 0x81
		check(fmt.Sprintf("byte %d flipped", i), b)
	}
	for n := range image {
		if _, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(image[:n])); !errors.Is(err, ledger.ErrSnapshot) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(append(bytes.Clone(image), 0))); !errors.Is(err, ledger.ErrSnapshot) {
		t.Errorf("a byte more: %v", err)
	}
	if refused < len(image)/3 {
		t.Errorf("only %d of %d altered snapshots were refused", refused, len(image))
	}
}

// TestCrowdedSnapshot: ids whose hashes all begin alike would make the table of ids grow without bound.
func TestCrowdedSnapshot(t *testing.T) {
	r := smallBank(t)
	image := takeSnapshot(r.state, uint64(len(r.log)))
	const tail = 3*16 + 16 + 8 // 10, 11 and 12, the end of the ids, the end
	b := bytes.Clone(image[:len(image)-tail])
	for i := range uint64(2000) {
		b = binary.LittleEndian.AppendUint64(b, 1<<63|i)
		b = binary.LittleEndian.AppendUint64(b, uint64(journal.At(1, int(i)))<<2)
	}
	b = append(b, image[len(image)-tail:]...)
	if _, _, err := ledger.Restore(ledger.Config{}, bytes.NewReader(b)); !errors.Is(err, ledger.ErrSnapshot) || !strings.Contains(err.Error(), "too many others") {
		t.Errorf("got %v", err)
	}
}

// TestCatalogueThatWasHandedOut never changes, whatever is registered later.
func TestCatalogueThatWasHandedOut(t *testing.T) {
	r := newRig([2]uint64{})
	before := r.state.Assets()
	cny := money.Asset{Code: "CNY", Scale: 2}
	send(r, journal.KindAssets, ledger.AssetRecord(cny))
	one := r.state.Assets()
	send(r, journal.KindAssets, ledger.AssetRecord(money.Asset{Code: "USD", Scale: 2}))
	if before.Len() != 0 || one.Len() != 1 || r.state.Assets().Len() != 2 || one.Number(cny) != 1 {
		t.Errorf("%d, %d and %d assets, want 0, 1 and 2", before.Len(), one.Len(), r.state.Assets().Len())
	}
	if a, ok := one.Asset(1); !ok || a != cny {
		t.Errorf("asset 1 is %v", a)
	}
	if _, ok := one.Asset(2); ok {
		t.Error("asset 2 is there, too early")
	}
}

// TestRulesRiseOnlyInAnEpoch: a journal begins with rules 1, an epoch block raises them to 2, and nothing else may,
// nor lower them; what version 2 of the format brought can't stand under rules 1.
func TestRulesRiseOnlyInAnEpoch(t *testing.T) {
	normal, epoch := journal.BlockNormal, journal.BlockEpoch
	for _, c := range []struct {
		name     string
		rules    [3]uint16
		kinds    [3]journal.BlockKind
		attached bool
		says     string
	}{
		{"the old rules throughout", [3]uint16{1, 1, 1}, [3]journal.BlockKind{epoch, normal, normal}, false, ""},
		{"they rise in an epoch block", [3]uint16{1, 2, 2}, [3]journal.BlockKind{normal, epoch, normal}, true, ""},
		{"they rise in the middle", [3]uint16{1, 1, 2}, [3]journal.BlockKind{epoch, normal, normal}, false, "may rise only in an epoch block"},
		{"they fall in an epoch block", [3]uint16{2, 2, 1}, [3]journal.BlockKind{epoch, normal, epoch}, false, "may rise only in an epoch block"},
		{"they rise twice", [3]uint16{1, 2, 3}, [3]journal.BlockKind{normal, epoch, epoch}, true, ""},
		{"rules 0", [3]uint16{0, 0, 0}, [3]journal.BlockKind{epoch, normal, normal}, false, "rules version 0"},
		{"attachments by the old rules", [3]uint16{1, 1, 1}, [3]journal.BlockKind{epoch, normal, normal}, true, "was validated by rules version 1"},
	} {
		r := newRig([2]uint64{1, 2})
		r.witness = nil // it would find it, too
		r.clock = 1_000_000_000
		for i := range c.rules {
			r.header = journal.Header{Kind: c.kinds[i], Rules: c.rules[i]}
			a := journal.Account{ID: money.From(uint64(i) + 1), Asset: 1, Code: 1}
			var list []journal.Attachment
			if c.attached && i == 2 {
				a.Flags, list = journal.AccountAttached, []journal.Attachment{{Data: metadata("x")}}
			}
			wantStatus(t, r.applyAttached(journal.KindAccounts, journal.Actor{}, journal.Bytes([]journal.Account{a}), list), journal.Created)
			r.seal()
		}
		err := r.replayed(ledger.New(ledger.Config{}), 1)
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}
