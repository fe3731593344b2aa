package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// noise makes n bytes from a number that is drawn, so that a failing case stays readable.
func noise(t *rapid.T, n int, what string) []byte {
	r := rand.NewChaCha8([32]byte{})
	r.Seed([32]byte(binary.LittleEndian.AppendUint64(make([]byte, 24), rapid.Uint64().Draw(t, what))))
	b := make([]byte, n)
	_, _ = r.Read(b) // never fails
	return b
}

func genU128() *rapid.Generator[money.U128] {
	return rapid.Custom(func(t *rapid.T) money.U128 {
		return money.U128{Lo: rapid.Uint64().Draw(t, "lo"), Hi: rapid.Uint64().Draw(t, "hi")}
	})
}

// draft is what goes into a block.
type draft struct {
	expiries []journal.Expiry
	requests []request
	outcomes []journal.Outcome
	header   journal.Header
}

type request struct {
	kind   journal.Kind
	actor  journal.Actor
	events []byte
}

func drawDraft(t *rapid.T) draft {
	var d draft
	for range rapid.IntRange(0, 5).Draw(t, "expiries") {
		d.expiries = append(d.expiries, journal.Expiry{Pending: genU128().Draw(t, "pending"), Amount: genU128().Draw(t, "amount")})
	}
	events := 0
	for range rapid.IntRange(0, 5).Draw(t, "requests") {
		n := rapid.IntRange(1, 20).Draw(t, "events")
		d.requests = append(d.requests, request{
			kind:   journal.Kind(rapid.IntRange(1, 6).Draw(t, "kind")),
			actor:  journal.Actor(noise(t, 16, "actor")),
			events: noise(t, n*journal.RecordSize, "records"),
		})
		events += n
	}
	for i := range events {
		if rapid.Bool().Draw(t, "outcome") {
			d.outcomes = append(d.outcomes, journal.Outcome{
				Event: uint32(i), Status: journal.Status(rapid.Uint16().Draw(t, "status")),
				Timestamp: rapid.Uint64().Draw(t, "timestamp"), Amount: genU128().Draw(t, "amount"),
				PendingPosition: journal.Position(rapid.Uint64().Draw(t, "position")),
			})
		}
	}
	d.header = drawHeader(t)
	return d
}

// drawHeader makes headers that are valid but for the counts and the hash of the body, which Seal fills in.
func drawHeader(t *rapid.T) journal.Header {
	seq := rapid.Uint64Range(1, journal.MaxSeq).Draw(t, "seq")
	return journal.Header{
		Rules: rapid.Uint16().Draw(t, "rules"), Kind: journal.BlockKind(rapid.IntRange(1, 3).Draw(t, "kind")),
		Cell: rapid.Uint64().Draw(t, "cell"), Seq: seq, Epoch: rapid.Uint64().Draw(t, "epoch"),
		Incarnation: [16]byte(noise(t, 16, "incarnation")),
		Time:        rapid.Uint64Range(0, journal.MaxTimestamp-2*journal.MaxEvents).Draw(t, "time"),
		Prev:        journal.Hash(noise(t, 32, "prev")), Acked: rapid.Uint64Range(0, seq-1).Draw(t, "acked"),
		StateDigest: [32]byte(noise(t, 32, "digest")),
	}
}

func (d *draft) build(b *journal.Builder) *journal.Block {
	b.Reset()
	for _, e := range d.expiries {
		b.AddExpiry(e)
	}
	for _, r := range d.requests {
		b.AddRequest(r.kind, r.actor, r.events)
	}
	for _, o := range d.outcomes {
		b.AddOutcome(o)
	}
	return b.Seal(d.header)
}

func TestBlocksRoundTrip(t *testing.T) {
	b := journal.NewBuilder() // used again and again, as a cell does
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t)
		made := d.build(b)
		read, err := journal.Decode(bytes.Clone(made.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if read.Header != made.Header || read.Hash != made.Hash || read.Hash != read.Header.Hash() || !read.SameBody(made) {
			t.Fatalf("read %+v with hash %v, made %+v with hash %v", read.Header, read.Hash, made.Header, made.Hash)
		}
		compare(t, &d, read)
	})
}

func compare(t *rapid.T, d *draft, read *journal.Block) {
	if len(read.Expiries) != len(d.expiries) || len(read.Requests) != len(d.requests) || len(read.Outcomes) != len(d.outcomes) {
		t.Fatalf("read %d expiries, %d requests, %d outcomes; want %d, %d, %d",
			len(read.Expiries), len(read.Requests), len(read.Outcomes), len(d.expiries), len(d.requests), len(d.outcomes))
	}
	for i, e := range d.expiries {
		if read.Expiries[i] != e {
			t.Fatalf("expiry %d is %+v, want %+v", i, read.Expiries[i], e)
		}
	}
	at := 0
	for i, r := range d.requests {
		n := len(r.events) / journal.RecordSize
		got := read.Requests[i]
		if got.Kind != r.kind || got.Actor != r.actor || int(got.Count) != n || !bytes.Equal(read.EventBytes(at, n), r.events) {
			t.Fatalf("request %d is %+v, want %d events of kind %d", i, got, n, r.kind)
		}
		at += n
	}
	for i, o := range d.outcomes {
		if read.Outcomes[i] != o || *read.Outcome(int(o.Event)) != o {
			t.Fatalf("outcome %d is %+v, want %+v", i, read.Outcomes[i], o)
		}
	}
	found := 0
	for i := range at {
		if read.Outcome(i) != nil {
			found++
		}
	}
	if found != len(d.outcomes) || read.Outcome(at) != nil || read.Outcome(-1) != nil {
		t.Fatalf("%d events have an outcome, want %d", found, len(d.outcomes))
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		h.Events = rapid.Uint32Range(0, journal.MaxEvents).Draw(t, "events")
		h.Expiries = rapid.Uint32Range(0, journal.MaxEvents).Draw(t, "expiries")
		h.Requests = rapid.Uint32Range(0, h.Events).Draw(t, "requests")
		h.Outcomes = rapid.Uint32Range(0, h.Events).Draw(t, "outcomes")
		h.Version = rapid.Uint16Range(1, 2).Draw(t, "version")
		if h.Version == 2 && h.Events > 0 {
			h.Attachments = rapid.Uint32Range(0, h.Events).Draw(t, "attachments")
			room := (journal.MaxBlock - journal.HeaderSize - h.BodySize()) / 8
			if room < 1 {
				h.Attachments = 0
			} else if h.Attachments > 0 {
				h.AttachBytes = 8 * rapid.Uint32Range(1, uint32(room)).Draw(t, "their bytes")
			}
		}
		h.Body = journal.Hash(noise(t, 32, "body"))
		b := noise(t, journal.HeaderSize, "what was there before")
		h.Encode(b)
		got, err := journal.DecodeHeader(b)
		if err != nil || got != h {
			t.Fatalf("read %+v, error %v; want %+v", got, err, h)
		}
	})
}

// TestEveryAlteredBitShows: a bit of the body makes the block malformed; a bit of the header makes it malformed or
// another block, with another hash, which breaks the chain.
func TestEveryAlteredBitShows(t *testing.T) {
	d := draft{
		expiries: []journal.Expiry{{Pending: money.From(1), Amount: money.From(2)}},
		requests: []request{{kind: journal.KindTransfers, events: make([]byte, 2*journal.RecordSize)}},
		outcomes: []journal.Outcome{{Event: 1, Status: journal.TransferExceedsCredits}},
		header:   journal.Header{Rules: 1, Kind: journal.BlockNormal, Seq: 9, Acked: 8, Time: 1},
	}
	block := d.build(journal.NewBuilder())
	for bit := range len(block.Raw) * 8 {
		raw := bytes.Clone(block.Raw)
		raw[bit/8] ^= 1 << (bit % 8)
		read, err := journal.Decode(raw)
		switch {
		case err != nil && !errors.Is(err, journal.ErrFormat):
			t.Fatalf("bit %d: got error %v, want ErrFormat", bit, err)
		case err == nil && (bit >= journal.HeaderSize*8 || read.Hash == block.Hash):
			t.Fatalf("bit %d was altered, and nobody noticed", bit)
		}
	}
}

func TestDropRequestLeavesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t)
		want := bytes.Clone(d.build(journal.NewBuilder()).Raw)
		b := journal.NewBuilder()
		for _, e := range d.expiries {
			b.AddExpiry(e)
		}
		at, next := 0, 0
		for _, r := range d.requests {
			if rapid.Bool().Draw(t, "drop") {
				first, copied := b.AddRequest(journal.KindTransfers, journal.Actor{9}, make([]byte, 3*journal.RecordSize))
				copied[0] = 1
				b.AddOutcome(journal.Outcome{Event: uint32(first) + 1, Status: 7})
				b.DropRequest()
			}
			first, _ := b.AddRequest(r.kind, r.actor, r.events)
			if first != at {
				t.Fatalf("the request begins at event %d, want %d", first, at)
			}
			at += len(r.events) / journal.RecordSize
			for ; next < len(d.outcomes) && int(d.outcomes[next].Event) < at; next++ {
				b.AddOutcome(d.outcomes[next])
			}
		}
		if got := b.Seal(d.header); !bytes.Equal(got.Raw, want) {
			t.Fatal("a dropped request left something behind")
		}
	})
}

// TestAlignment: a block is decoded wherever its bytes lie; records are only ever viewed where they are aligned.
func TestAlignment(t *testing.T) {
	d := draft{
		requests: []request{{kind: journal.KindAssets, events: bytes.Repeat([]byte{3}, journal.RecordSize)}},
		header:   journal.Header{Rules: 1, Kind: journal.BlockNormal, Seq: 1},
	}
	made := d.build(journal.NewBuilder())
	memory := make([]byte, len(made.Raw)+8)
	for shift := range 8 {
		at := memory[shift : shift+len(made.Raw)]
		copy(at, made.Raw)
		read, err := journal.Decode(at)
		if err != nil || !read.SameBody(made) {
			t.Fatalf("shifted by %d: error %v", shift, err)
		}
		aligned := journal.Aligned(at)
		if shared := &aligned[0] == &at[0]; shared != (shift == 0) || !bytes.Equal(aligned, at) {
			t.Fatalf("shifted by %d: shared is %v", shift, shared)
		}
		if panics := panicked(func() { journal.View[journal.Asset](at[journal.HeaderSize:]) }); panics != (shift != 0) {
			t.Fatalf("shifted by %d: a view panics: %v", shift, panics)
		}
	}
}

func panicked(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestViewsShareMemory(t *testing.T) {
	records := []journal.Outcome{{Event: 1}, {Event: 2}}
	b := journal.Bytes(records)
	if len(b) != 2*journal.OutcomeSize {
		t.Fatalf("%d bytes", len(b))
	}
	journal.View[journal.Outcome](b)[1].Event = 7
	if records[1].Event != 7 {
		t.Fatal("the view is a copy")
	}
	if journal.Bytes[journal.Outcome](nil) != nil || journal.View[journal.Outcome](nil) != nil {
		t.Fatal("nothing has a view")
	}
}

func TestPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) (uint64, int) {
			return rapid.Uint64Range(1, journal.MaxSeq).Draw(t, name+" seq"), rapid.IntRange(0, 2*journal.MaxEvents-1).Draw(t, name+" index")
		}
		seqA, indexA := draw("a")
		seqB, indexB := draw("b")
		a, b := journal.At(seqA, indexA), journal.At(seqB, indexB)
		if a.Seq() != seqA || a.Index() != indexA {
			t.Fatalf("position of %d, %d says %d, %d", seqA, indexA, a.Seq(), a.Index())
		}
		if (a < b) != (seqA < seqB || seqA == seqB && indexA < indexB) {
			t.Fatal("positions don't order like their parts")
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.raw(f))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := journal.Decode(b)
		if err != nil {
			if !errors.Is(err, journal.ErrFormat) {
				t.Fatalf("got error %v, want ErrFormat", err)
			}
			return
		}
		if k.Hash != k.Header.Hash() || !bytes.Equal(k.Raw, b) {
			t.Fatal("what was decoded isn't what was given")
		}
		for i := range int(k.Header.Events) {
			_ = k.Transfer(i)
			_ = k.Outcome(i)
		}
	})
}

func FuzzDecodeHeader(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.raw(f)[:journal.HeaderSize])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := journal.DecodeHeader(b)
		if err != nil {
			if !errors.Is(err, journal.ErrFormat) {
				t.Fatalf("got error %v, want ErrFormat", err)
			}
			return
		}
		again := make([]byte, journal.HeaderSize)
		h.Encode(again)
		if !bytes.Equal(again, b[:journal.HeaderSize]) {
			t.Fatal("a decoded header doesn't encode to the same bytes")
		}
		if size := journal.HeaderSize + h.BodySize(); size > journal.MaxBlock {
			t.Fatalf("a header of a block of %d bytes was accepted", size)
		}
	})
}
