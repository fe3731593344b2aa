package journal_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

func header(seq uint64) journal.Header {
	return journal.Header{Rules: 2, Kind: journal.BlockNormal, Seq: seq, Time: 1}
}

func TestAttachmentsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := journal.NewBuilder()
		b.AddRequest(journal.KindAccounts, journal.Actor{1}, make([]byte, 2*journal.RecordSize))
		want := map[int][]byte{}
		total := 2
		for range rapid.IntRange(1, 5).Draw(t, "requests") {
			n := rapid.IntRange(1, 20).Draw(t, "events")
			first, _ := b.AddRequest(journal.KindTransfers, journal.Actor{2}, make([]byte, n*journal.RecordSize))
			dropped := rapid.Bool().Draw(t, "dropped")
			for i := range n {
				if rapid.Bool().Draw(t, "attached") {
					data := noise(t, rapid.IntRange(1, 40).Draw(t, "bytes"), "data")
					b.Attach(first+i, data)
					if !dropped {
						want[first+i] = data
					}
				}
			}
			if dropped {
				b.DropRequest()
			} else {
				total += n
			}
		}
		sealed := b.Seal(header(3))
		k, err := journal.Decode(bytes.Clone(sealed.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if wantVersion := uint16(1 + min(1, len(want))); k.Header.Version != wantVersion || k.Header.Hash() != k.Hash {
			t.Fatalf("version %d, want %d; hash %v, want %v", k.Header.Version, wantVersion, k.Header.Hash(), k.Hash)
		}
		for i := range total {
			if !bytes.Equal(k.Attachment(i), want[i]) || !bytes.Equal(b.Attachment(i), want[i]) {
				t.Fatalf("attachment of event %d: %x and %x, want %x", i, k.Attachment(i), b.Attachment(i), want[i])
			}
		}
		from := rapid.IntRange(0, total-1).Draw(t, "from")
		n := rapid.IntRange(1, total-from).Draw(t, "n")
		list := k.Attachments(from, n, nil)
		for _, a := range list {
			if !bytes.Equal(a.Data, want[from+a.Event]) {
				t.Fatalf("attachment %d from %d on is %x, want %x", a.Event, from, a.Data, want[from+a.Event])
			}
		}
		checkEntries(t, k, want)
	})
}

// checkEntries reads attachments the way someone does who has only parts of the block.
func checkEntries(t *rapid.T, k *journal.Block, want map[int][]byte) {
	at := k.Header.AttachmentEntries()
	if int(k.Header.Attachments) != len(want) {
		t.Fatalf("%d attachments, want %d", k.Header.Attachments, len(want))
	}
	for range k.Header.Attachments {
		event, offset, length := k.Header.AttachmentAt(k.Raw[at : at+journal.AttachmentSize])
		if !bytes.Equal(k.Raw[offset:offset+length], want[event]) {
			t.Fatalf("event %d at %d: %x, want %x", event, offset, k.Raw[offset:offset+length], want[event])
		}
		at += journal.AttachmentSize
	}
}

func TestDecodeRefusesBadAttachments(t *testing.T) {
	b := journal.NewBuilder()
	b.AddRequest(journal.KindTransfers, journal.Actor{}, make([]byte, 3*journal.RecordSize))
	b.Attach(0, []byte("first"))
	b.Attach(2, []byte("second one"))
	good := bytes.Clone(b.Seal(header(1)).Raw)
	k, err := journal.Decode(good)
	if err != nil {
		t.Fatal(err)
	}
	entries := k.Header.AttachmentEntries()
	for name, change := range map[string]struct{ at, value int }{
		"event twice": {entries + 16, 0}, "event beyond": {entries + 16, 3}, "offset": {entries + 20, 16},
		"length beyond": {entries + 24, 200}, "length zero": {entries + 8, 0}, "too short": {entries + 24, 8},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Clone(good)
			bad[change.at] = byte(change.value)
			rehash(bad)
			if _, err := journal.Decode(bad); !errors.Is(err, journal.ErrFormat) {
				t.Errorf("got error %v, want ErrFormat", err)
			}
		})
	}
}

func TestPartsOfComposites(t *testing.T) {
	b := journal.NewBuilder()
	records := func(n int) []byte { return make([]byte, n*journal.RecordSize) }
	b.AddRequest(journal.KindAccounts, journal.Actor{}, records(2))
	b.AddRequest(journal.KindTransaction, journal.Actor{}, records(3))
	decision := make([]journal.Decision, 4)
	decision[0].Inner = journal.KindTransaction
	b.AddRequest(journal.KindDecision, journal.Actor{}, journal.Bytes(decision))
	decision[0].Inner = journal.KindAccounts
	b.AddRequest(journal.KindDecision, journal.Actor{}, journal.Bytes(decision[:2]))
	b.AddRequest(journal.KindDecision, journal.Actor{}, journal.Bytes(decision[:1]))
	k, err := journal.Decode(bytes.Clone(b.Seal(header(1)).Raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for p := range k.Parts() {
		got = append(got, fmt.Sprintf("%d: %d from %d", p.Kind, p.Count, p.First))
	}
	want := []string{"1: 2 from 0", "7: 1 from 2", "2: 2 from 3", "11: 1 from 5", "7: 1 from 6", "2: 2 from 7", "11: 1 from 9", "1: 1 from 10", "11: 1 from 11"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDetailsRoundTrip(t *testing.T) {
	d := journal.Details{
		BookingDate: 20_000, Address: "merchant:1001:settlement",
		Metadata: []journal.Meta{
			journal.Amount("fee", money.U128{Hi: 1, Lo: 2}), journal.Bool("ok", true), journal.Int("order", -7),
			journal.PersonalMeta("phone", journal.Personal{Subject: "customer:7", Sealed: []byte{1, 2, 3}}),
			journal.Text("purpose", "Miete 三月"), journal.Time("seen", 12),
			{Key: "raw", Type: journal.MetaBytes, Value: []byte{0, 255}},
		},
		Assets: []string{"CNY/2", "USD/2"}, Prefixes: []string{"merchant:"}, Rate: 100, Payload: []byte("payload"),
	}
	d.Metadata[5], d.Metadata[6] = d.Metadata[6], d.Metadata[5]
	got, err := journal.DecodeDetails(d.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, got); diff != "" {
		t.Error(diff)
	}
	p, err := got.Metadata[3].Personal()
	if err != nil || p.Subject != "customer:7" || got.Metadata[2].Int() != -7 || !got.Metadata[1].Bool() || got.Metadata[0].Amount() != (money.U128{Hi: 1, Lo: 2}) {
		t.Errorf("values %+v, %v", got.Metadata, err)
	}
}

func TestDetailsAreBounded(t *testing.T) {
	long := string(bytes.Repeat([]byte{'a'}, 200))
	for name, d := range map[string]journal.Details{
		"key twice": {Metadata: []journal.Meta{journal.Int("a", 1), journal.Int("a", 2)}}, "keys descend": {Metadata: []journal.Meta{journal.Int("b", 1), journal.Int("a", 2)}},
		"no key": {Metadata: []journal.Meta{journal.Int("", 1)}}, "space in key": {Metadata: []journal.Meta{journal.Int("a b", 1)}}, "long key": {Metadata: []journal.Meta{journal.Int(long, 1)}},
		"type": {Metadata: []journal.Meta{{Key: "a", Type: 9, Value: []byte{1}}}}, "not UTF-8": {Metadata: []journal.Meta{journal.Text("a", "\xff")}},
		"address": {Address: "a::b"}, "address with a space": {Address: "a b"}, "long address": {Address: long}, "colon at the end": {Address: "a:"},
		"late date": {BookingDate: journal.MaxDate + 1}, "scopes descend": {Prefixes: []string{"b", "a"}}, "no subject": {Metadata: []journal.Meta{journal.PersonalMeta("a", journal.Personal{Sealed: []byte{1}})}},
	} {
		if err := d.Check(); !errors.Is(err, journal.ErrDetails) {
			t.Errorf("%s: got error %v, want ErrDetails", name, err)
		}
	}
}

func FuzzDecodeDetails(f *testing.F) {
	d := journal.Details{BookingDate: 1, Address: "a:b", Metadata: []journal.Meta{journal.Text("k", "v")}}
	f.Add(d.Append(nil))
	f.Add([]byte{3, 4, 0, 0, 0, 1, 'a', 3, 1})
	f.Add(goldenTransit(journal.TransitReserve).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := journal.DecodeDetails(b)
		x, ok := journal.TransitOf(b)
		if err == nil && (ok != (d.Transit != nil) || ok && x != *d.Transit) {
			t.Errorf("%x: read alone, the transit field is %+v, %v; it is %+v", b, x, ok, d.Transit)
		}
		if err == nil && !bytes.Equal(d.Append(nil), b) {
			t.Errorf("%x reads as %+v, which is %x", b, d, d.Append(nil))
		}
	})
}

func TestDatesAreThoseOfTheCalendar(t *testing.T) {
	day := time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	for d := journal.Date(1); d <= journal.MaxDate; d += 13 {
		at := day.AddDate(0, 0, int(d)-1)
		if d.String() != at.Format(time.DateOnly) {
			t.Fatalf("day %d is %s, want %s", d, d, at.Format(time.DateOnly))
		}
		if got, err := journal.ParseDate(d.String()); err != nil || got != d {
			t.Fatalf("%s reads as %d, %v, want %d", d, got, err, d)
		}
	}
	for _, bad := range []string{"2026-02-29", "2026-13-01", "2026-1-1", "1970-01-01", "20260101", "2026-00-10", "+026-01-01"} {
		if d, err := journal.ParseDate(bad); err == nil {
			t.Errorf("%q reads as %v", bad, d)
		}
	}
	const evening = 1_700_000_000_000_000_000 // 2023-11-14 22:13:20 UTC
	if d := journal.DateOf(evening, 480); d.String() != "2023-11-15" || d.Start(480) > evening || (d+1).Start(480) <= evening {
		t.Errorf("in Shanghai it is %v", d)
	}
}

func TestLegIDs(t *testing.T) {
	seen := map[money.U128]bool{}
	for i := range uint32(1000) {
		seen[journal.LegID(money.From(7), i)] = true
	}
	if len(seen) != 1000 || journal.LegID(money.From(7), 0) == journal.LegID(money.From(8), 0) {
		t.Errorf("%d ids of 1000 legs", len(seen))
	}
	// The first 16 bytes of SHA-256(07, 19 zeros), as a little-endian number, computed by another program.
	if got := journal.LegID(money.From(7), 0).String(); got != "179816142094303040410945561269130913246" {
		t.Errorf("leg 0 of transaction 7 is %s, want %s", got, "179816142094303040410945561269130913246")
	}
}

// rehash puts the body's hash right after a change of the body.
func rehash(block []byte) {
	sum := sha256.Sum256(block[journal.HeaderSize:])
	copy(block[160:], sum[:])
}
