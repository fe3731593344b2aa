package block_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch/internal/block"
	"github.com/sterlingrun/sterling/watch/internal/count"
)

// agree decodes the same bytes with both decoders, which must take or refuse them alike and read the same from them.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw []byte,
) {
	t.Helper()
	var b block.Block
	err := b.Decode(raw)
	k, theirs := journal.Decode(raw)
	if (err == nil) != (theirs == nil) {
		t.Fatalf("%d bytes: %v, the journal's decoder says %v", len(raw), err, theirs)
	}
	if err != nil {
		var typed *block.Error
		if !errors.As(err, &typed) || !errors.Is(err, block.ErrMalformed) || typed.Fault == 0 || typed.Detail == "" {
			t.Fatalf("%v is not typed", err)
		}
		return
	}
	h := &k.Header
	same := b.Hash == k.Hash && b.Seq == h.Seq && b.Prev == h.Prev && b.Time == h.Time && b.End() == h.End() && b.Epoch == h.Epoch &&
		b.Events == h.Events && b.Kind == uint16(h.Kind) && b.Rules == h.Rules && b.Cell == h.Cell && b.Acked == h.Acked &&
		bytes.Equal(b.EventBytes(0, int(b.Events)), k.EventBytes(0, int(h.Events)))
	for i := range k.Expiries {
		id, amount := b.Expiry(i)
		same = same && id.Amount() == count.Amount(k.Expiries[i].Pending) && amount == count.Amount(k.Expiries[i].Amount)
	}
	for i := range k.Requests {
		r, want := b.Request(i), &k.Requests[i]
		same = same && r.Kind == block.Kind(want.Kind) && r.Count == want.Count && r.Actor == count.ID(want.Actor)
	}
	for i := range k.Outcomes {
		o, want := b.Outcome(i), &k.Outcomes[i]
		same = same && o.Event == want.Event && o.Status == uint16(want.Status) && o.Timestamp == want.Timestamp &&
			o.Amount == count.Amount(want.Amount) && o.PendingPosition == uint64(want.PendingPosition)
	}
	for i := range int(h.Events) {
		same = same && bytes.Equal(b.Attachment(i), k.Attachment(i)) && (b.Attachment(i) == nil) == (k.Attachment(i) == nil)
	}
	if !same {
		t.Fatalf("block %d is read as %+v, by the journal's decoder as %+v", h.Seq, b.Header, *h)
	}
	lookAround(&b)
}

// lookAround reads everything that the model reads of what was decoded, which may be nonsense.
func lookAround(b *block.Block) {
	first := 0
	for i := range int(b.Requests) {
		r := b.Request(i)
		parts, err := b.Parts(r, first, nil)
		if err == nil {
			for _, p := range parts {
				if p.Kind == block.Transactions {
					_ = b.CheckLegs(p.First, int(b.Transfer(p.First).Timeout()))
				}
				for event := p.First; event < p.First+p.Count; event++ {
					data := b.Attachment(event)
					_, _, _ = block.CheckDetails(p.Kind, data), block.BookingDate(data), block.Payload(data)
				}
			}
			_ = b.PayloadHash(first, int(r.Count))
		}
		first += int(r.Count)
	}
}

// reseal writes the hash of the body that a block has into its header, so that what is behind the hash is looked at.
func reseal(raw []byte) {
	if len(raw) >= block.HeaderSize {
		sum := sha256.Sum256(raw[block.HeaderSize:])
		copy(raw[160:], sum[:])
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range []string{"blocks-v1.json", "blocks-v2.json", "blocks-v3.json", "moves-v3.json", "refused-v1.json", "refused-v2.json", "refused-v3.json"} {
		for _, v := range vectors(f, file) {
			f.Add(v.raw(f), false)
			f.Add(v.raw(f), true)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, sealed bool) {
		if sealed {
			raw = bytes.Clone(raw)
			reseal(raw)
		}
		agree(t, raw)
	})
}

// TestAgainstJournal: both decoders read random blocks alike, whole and with some bytes altered.
func TestAgainstJournal(t *testing.T) {
	builder := journal.NewBuilder()
	rapid.Check(t, func(t *rapid.T) {
		pick := func(from, to int) int { return rapid.IntRange(from, to).Draw(t, "n") }
		noise := func(n int) []byte { return rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "bytes") }
		builder.Reset()
		for range pick(0, 3) {
			builder.AddExpiry(journal.Expiry{Pending: money.From(uint64(pick(0, 9))), Amount: money.From(uint64(pick(0, 9)))})
		}
		for range pick(0, 3) {
			kind := journal.Kind(pick(1, 19))
			first, events := builder.AddRequest(kind, journal.Actor(noise(16)), noise(journal.RecordSize*pick(1, 4)))
			for i := range len(events) / journal.RecordSize {
				if pick(0, 2) == 0 {
					builder.AddOutcome(journal.Outcome{
						Event: uint32(first + i), Status: journal.Status(pick(1, 80)), Timestamp: uint64(pick(0, 9)),
						Amount: money.From(uint64(pick(0, 9))), PendingPosition: journal.Position(pick(0, 9)),
					})
				}
				if pick(0, 3) == 0 {
					builder.Attach(first+i, noise(pick(1, 20)))
				}
			}
		}
		h := journal.Header{Kind: journal.BlockKind(pick(1, 3)), Rules: 2, Cell: 1, Seq: 1 + uint64(pick(0, 9)), Time: uint64(pick(0, 1<<40))}
		raw := bytes.Clone(builder.Seal(h).Raw)
		agree(t, raw)
		for range pick(0, 4) {
			raw[pick(0, len(raw)-1)] = byte(pick(0, 255))
		}
		if pick(0, 1) == 0 {
			reseal(raw)
		}
		agree(t, raw)
		if cut := pick(0, len(raw)); pick(0, 3) == 0 {
			agree(t, raw[:cut])
		}
	})
}

// TestFaults: each kind of fault has its name.
func TestFaults(t *testing.T) {
	var good []byte
	for _, v := range vectors(t, "blocks-v2.json") {
		if v.Header["outcomes"] != "0" && v.Header["attachments"] != "0" {
			good = v.raw(t)
			break
		}
	}
	var b block.Block
	if err := b.Decode(good); err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	body := block.HeaderSize
	requests := body + int(b.Events)*128 + int(b.Expiries)*32
	outcomes := requests + int(b.Requests)*32
	entries := outcomes + int(b.Outcomes)*48
	for _, c := range []struct {
		fault  block.Fault
		change func(b []byte) []byte
	}{
		{block.Size, func(b []byte) []byte { return b[:100] }},
		{block.Size, func(b []byte) []byte { return append(b, 0) }},
		{block.Magic, func(b []byte) []byte { b[0]++; return b }},
		{block.Version, func(b []byte) []byte { b[8] = 3; return b }},
		{block.Version, func(b []byte) []byte { b[8] = 1; return b }},
		{block.Bounds, func(b []byte) []byte { b[12] = 9; return b }},
		{block.Bounds, func(b []byte) []byte { le.PutUint64(b[96:], 1<<40); return b }},
		{block.Bounds, func(b []byte) []byte { le.PutUint32(b[104:], 8191); return b }},
		{block.Bounds, func(b []byte) []byte { le.PutUint32(b[124:], 3<<20); return b }},
		{block.Reserved, func(b []byte) []byte { b[14] = 1; return b }},
		{block.Reserved, func(b []byte) []byte { b[255] = 1; return b }},
		{block.Body, func(b []byte) []byte { b[160]++; return b }},
		{block.Requests, func(b []byte) []byte { b[requests] = 20; reseal(b); return b }},
		{block.Requests, func(b []byte) []byte { b[requests+4]++; reseal(b); return b }},
		{block.Outcomes, func(b []byte) []byte { le.PutUint32(b[outcomes:], 8000); reseal(b); return b }},
		{block.Attachments, func(b []byte) []byte { b[entries+4]++; reseal(b); return b }},
		{block.Attachments, func(b []byte) []byte { b[entries+12]++; reseal(b); return b }},
	} {
		raw := c.change(bytes.Clone(good))
		var typed *block.Error
		if err := b.Decode(raw); !errors.As(err, &typed) || typed.Fault != c.fault {
			t.Errorf("want fault %d, got %v", c.fault, err)
		}
	}
}

// TestDecodeAllocatesNothing, whatever a block holds.
func TestDecodeAllocatesNothing(t *testing.T) {
	for _, v := range vectors(t, "blocks-v2.json") {
		raw := v.raw(t)
		var b block.Block
		if n := testing.AllocsPerRun(10, func() {
			if err := b.Decode(raw); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", v.Name, n)
		}
	}
}

func step(n journal.TransitStep, status journal.Status) *journal.Transit {
	return &journal.Transit{Transfer: money.From(1), Reserve: money.From(2), Step: n, Status: status}
}

// TestDetails: what may be attached, in the form in which it may.
func TestDetails(t *testing.T) {
	meta := []journal.Meta{journal.Bool("a", true), journal.Text("b", "é")}
	for _, c := range []struct {
		name string
		kind block.Kind
		data []byte
		ok   bool
	}{
		{"metadata of an account", block.Accounts, (&journal.Details{Address: "a:b", Metadata: meta}).Append(nil), true},
		{"a date of a transfer", block.Transfers, (&journal.Details{BookingDate: 5, Metadata: meta}).Append(nil), true},
		{"a scope", block.Principals, (&journal.Details{Assets: []string{"CNY", "USD"}, Prefixes: []string{"a:"}, Rate: 5}).Append(nil), true},
		{"nothing", block.Accounts, nil, false},
		{"a date of an account", block.Accounts, (&journal.Details{BookingDate: 5}).Append(nil), false},
		{"an address of a transfer", block.Transfers, (&journal.Details{Address: "a"}).Append(nil), false},
		{"a payload of a transfer", block.Transfers, (&journal.Details{Payload: []byte{1}}).Append(nil), false},
		{"anything of a freeze", block.Freezes, (&journal.Details{Metadata: meta}).Append(nil), false},
		{"a date beyond the calendar", block.Transfers, (&journal.Details{BookingDate: 2_932_897}).Append(nil), false},
		{"a bad address", block.Accounts, (&journal.Details{Address: "a::b"}).Append(nil), false},
		{"a bad key", block.Accounts, (&journal.Details{Metadata: []journal.Meta{journal.Int("a b", 1)}}).Append(nil), false},
		{"keys out of order", block.Accounts, (&journal.Details{Metadata: []journal.Meta{journal.Int("b", 1), journal.Int("a", 1)}}).Append(nil), false},
		{"a key twice", block.Accounts, (&journal.Details{Metadata: []journal.Meta{journal.Int("a", 1), journal.Int("a", 1)}}).Append(nil), false},
		{"text that is none", block.Accounts, (&journal.Details{Metadata: []journal.Meta{journal.Text("a", "\xff")}}).Append(nil), false},
		{"a step of a transfer", block.Transfers, (&journal.Details{BookingDate: 5, Transit: step(5, 0)}).Append(nil), true},
		{"a step that is none", block.Transfers, (&journal.Details{Transit: step(9, 0)}).Append(nil), false},
		{"a status of a hold", block.Transfers, (&journal.Details{Transit: step(2, 1)}).Append(nil), false},
		{"a step of an account", block.Accounts, (&journal.Details{Transit: step(1, 0)}).Append(nil), false},
		{"cut short", block.Accounts, (&journal.Details{Address: "a:b"}).Append(nil)[:6], false},
	} {
		if got := block.CheckDetails(c.kind, c.data); got != c.ok {
			t.Errorf("%s: %v", c.name, got)
		}
		if d, err := journal.DecodeDetails(c.data); c.ok && err != nil {
			t.Errorf("%s: the journal refuses it: %v", c.name, err)
		} else if c.ok && uint32(d.BookingDate) != block.BookingDate(c.data) {
			t.Errorf("%s: booking date %d", c.name, block.BookingDate(c.data))
		}
	}
}
