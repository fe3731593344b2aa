package journal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	vectorFile  = "testdata/blocks-v1.json"
	refusedFile = "testdata/refused-v1.json"
	formatsFile = "../docs/formats.md"
)

var update = flag.Bool("update", false, "write the golden vectors anew; only for a new version of the format")

// vector is a block and what stands in it, in the terms of docs/formats.md. Numbers of 64 and 128 bits are decimal
// strings, byte strings hexadecimal; so a decoder in any language can be checked with it.
type vector struct {
	Name     string              `json:"name"`
	Block    string              `json:"block"`
	Hash     string              `json:"hash"`
	Header   map[string]string   `json:"header"`
	Expiries []map[string]string `json:"expiries"`
	Requests []vectorRequest     `json:"requests"`
	Outcomes []map[string]string `json:"outcomes"`
}

type vectorRequest struct {
	Kind   string              `json:"kind"`
	Actor  string              `json:"actor"`
	Events []map[string]string `json:"events"`
}

func (v *vector) raw(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Block)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func num[T ~uint8 | ~uint16 | ~uint32 | ~uint64](n T) string {
	return strconv.FormatUint(uint64(n), 10)
}

// describe spells a block out.
func describe(name string, k *journal.Block) vector {
	h := &k.Header
	v := vector{
		Name: name, Block: hex.EncodeToString(k.Raw), Hash: hex.EncodeToString(k.Hash[:]),
		Header: map[string]string{
			"rules": num(h.Rules), "kind": num(h.Kind), "cell": num(h.Cell), "seq": num(h.Seq), "epoch": num(h.Epoch),
			"incarnation": hex.EncodeToString(h.Incarnation[:]), "time": num(h.Time), "prev": hex.EncodeToString(h.Prev[:]),
			"acked": num(h.Acked), "events": num(h.Events), "expiries": num(h.Expiries), "requests": num(h.Requests),
			"outcomes": num(h.Outcomes), "state_digest": hex.EncodeToString(h.StateDigest[:]), "body": hex.EncodeToString(h.Body[:]),
		},
		Expiries: []map[string]string{}, Requests: []vectorRequest{}, Outcomes: []map[string]string{},
	}
	for _, e := range k.Expiries {
		v.Expiries = append(v.Expiries, map[string]string{"pending_id": e.Pending.String(), "amount": e.Amount.String()})
	}
	at := 0
	for _, r := range k.Requests {
		q := vectorRequest{Kind: num(r.Kind), Actor: hex.EncodeToString(r.Actor[:])}
		for range r.Count {
			q.Events = append(q.Events, describeEvent(r.Kind, k.EventBytes(at, 1)))
			at++
		}
		v.Requests = append(v.Requests, q)
	}
	for _, o := range k.Outcomes {
		v.Outcomes = append(v.Outcomes, map[string]string{
			"event": num(o.Event), "status": num(o.Status), "timestamp": num(o.Timestamp), "amount": o.Amount.String(),
			"pending_position": num(o.PendingPosition),
		})
	}
	return v
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }

func describeEvent(kind journal.Kind, b []byte) map[string]string {
	switch kind {
	case journal.KindAccounts:
		a := &journal.View[journal.Account](b)[0]
		return map[string]string{
			"id": a.ID.String(), "debits_pending": a.DebitsPending.String(), "debits_posted": a.DebitsPosted.String(),
			"credits_pending": a.CreditsPending.String(), "credits_posted": a.CreditsPosted.String(),
			"user_data_128": a.UserData128.String(), "user_data_64": num(a.UserData64), "user_data_32": num(a.UserData32),
			"reserved": num(a.Reserved), "asset": num(a.Asset), "code": num(a.Code), "flags": num(a.Flags), "timestamp": num(a.Timestamp),
		}
	case journal.KindTransfers:
		x := &journal.View[journal.Transfer](b)[0]
		return map[string]string{
			"id": x.ID.String(), "debit_account_id": x.Debit.String(), "credit_account_id": x.Credit.String(), "amount": x.Amount.String(),
			"pending_id": x.PendingID.String(), "user_data_128": x.UserData128.String(), "user_data_64": num(x.UserData64),
			"user_data_32": num(x.UserData32), "timeout": num(x.Timeout), "asset": num(x.Asset), "code": num(x.Code),
			"flags": num(x.Flags), "timestamp": num(x.Timestamp),
		}
	case journal.KindAssets:
		a := &journal.View[journal.Asset](b)[0]
		return map[string]string{"code": text(a.Code[:]), "scale": num(a.Scale)}
	case journal.KindFreeze:
		f := &journal.View[journal.Freeze](b)[0]
		return map[string]string{
			"id": f.ID.String(), "account_id": f.Account.String(), "code": num(f.Code), "selector": num(f.Selector),
			"mode": num(f.Mode), "reason": text(f.Reason[:]),
		}
	case journal.KindUnfreeze:
		f := &journal.View[journal.Unfreeze](b)[0]
		return map[string]string{"id": f.ID.String(), "freeze_id": f.FreezeID.String(), "reason": text(f.Reason[:])}
	default:
		l := &journal.View[journal.Limit](b)[0]
		return map[string]string{
			"id": l.ID.String(), "account_id": l.Account.String(), "hour_amount": l.HourAmount.String(), "day_amount": l.DayAmount.String(),
			"hour_count": num(l.HourCount), "day_count": num(l.DayCount), "side": num(l.Side),
		}
	}
}

// goldenBlocks are a chain that has every kind of block, request and record, with a different value in every field.
func goldenBlocks() (names []string, blocks []*journal.Block) {
	var prev journal.Hash
	add := func(name string, h journal.Header, fill func(b *journal.Builder)) {
		b := journal.NewBuilder()
		if fill != nil {
			fill(b)
		}
		h.Cell, h.Rules, h.Prev = 0x0102030405060708, 1, prev
		h.Incarnation = [16]byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}
		k := b.Seal(h)
		names, blocks, prev = append(names, name), append(blocks, k), k.Hash
	}
	teller, officer := journal.Actor{0xc1, 1}, journal.Actor{0xc2, 2}
	big := func(n uint64) money.U128 { return money.U128{Hi: n, Lo: ^n} }
	add("an epoch block begins the journal", journal.Header{Kind: journal.BlockEpoch, Seq: 1, Epoch: 1, Time: 1_700_000_000_000_000_000}, nil)
	add("assets, accounts and limits", journal.Header{Kind: journal.BlockNormal, Seq: 2, Epoch: 1, Time: 1_700_000_000_000_001_000, Acked: 1}, func(b *journal.Builder) {
		assets := []journal.Asset{{Code: [16]byte{'C', 'N', 'Y'}, Scale: 2}, {Code: [16]byte{'E', 'T', 'H'}, Scale: 18}}
		b.AddRequest(journal.KindAssets, teller, journal.Bytes(assets))
		accounts := []journal.Account{
			{ID: money.From(1), Asset: 1, Code: 10, Flags: journal.AccountHistory | journal.AccountDebitsMustNotExceedCredits},
			{ID: big(2), Asset: 1, Code: 11, UserData128: big(3), UserData64: 4, UserData32: 5},
			{
				ID: money.From(3), Asset: 9, Code: 12, Reserved: 0xfffefdfc, Flags: 0x1234, DebitsPending: money.From(31), DebitsPosted: money.From(32),
				CreditsPending: money.From(33), CreditsPosted: money.From(34), Timestamp: 35,
			},
		}
		first, _ := b.AddRequest(journal.KindAccounts, teller, journal.Bytes(accounts))
		b.AddOutcome(journal.Outcome{Event: uint32(first) + 2, Status: journal.AccountReservedField, Timestamp: 1_700_000_000_000_001_004})
		limits := []journal.Limit{{
			ID: money.From(90), Account: big(2), HourAmount: big(91), DayAmount: big(92), HourCount: 93, DayCount: 94, Side: journal.FreezeDebit,
		}}
		b.AddRequest(journal.KindLimits, officer, journal.Bytes(limits))
	})
	add("transfers of two clients", journal.Header{Kind: journal.BlockNormal, Seq: 3, Epoch: 1, Time: 1_700_000_000_000_002_000, Acked: 2}, addTransfers)
	add("expiries, freeze and unfreeze", journal.Header{Kind: journal.BlockNormal, Seq: 4, Epoch: 2, Time: 1_700_000_060_000_002_000, Acked: 3}, func(b *journal.Builder) {
		b.AddExpiry(journal.Expiry{Pending: money.From(101), Amount: money.From(25)})
		b.AddExpiry(journal.Expiry{Pending: big(102), Amount: big(26)})
		freeze := []journal.Freeze{
			{ID: money.From(201), Account: big(2), Selector: journal.SelectAccount, Mode: journal.FreezeAll},
			{ID: money.From(202), Code: 77, Selector: journal.SelectCode, Mode: journal.FreezeDebit},
			{ID: money.From(203), Selector: journal.SelectCell, Mode: journal.FreezeCredit},
		}
		copy(freeze[0].Reason[:], "court order 2024/17 – 冻结")
		b.AddRequest(journal.KindFreeze, teller, journal.Bytes(freeze))
		unfreeze := []journal.Unfreeze{{ID: money.From(204), FreezeID: money.From(201)}}
		copy(unfreeze[0].Reason[:], "lifted")
		first, _ := b.AddRequest(journal.KindUnfreeze, teller, journal.Bytes(unfreeze))
		b.AddOutcome(journal.Outcome{Event: uint32(first), Status: journal.ControlSecondPersonRequired, Timestamp: 1_700_000_060_000_002_005})
	})
	add("a barrier with a digest of the state", journal.Header{
		Kind: journal.BlockBarrier, Seq: 4096, Epoch: 2, Time: journal.MaxTimestamp - 2*journal.MaxEvents, Acked: 4095,
		StateDigest: [32]byte{0xd0, 31: 0xdf},
	}, nil)
	return names, blocks
}

func addTransfers(b *journal.Builder) {
	all := money.Max()
	first := []journal.Transfer{
		{ID: money.From(101), Debit: money.From(1), Credit: money.From(2), Amount: money.From(100), Asset: 1, Code: 1, Timeout: 60, Flags: journal.TransferPending},
		{
			ID: money.U128{Lo: 2, Hi: 1}, Debit: money.From(3), Credit: money.From(4), Amount: money.U128{Lo: 5, Hi: 6}, UserData128: money.From(7),
			UserData64: 8, UserData32: 9, Asset: 1, Code: 65535,
		},
	}
	b.AddRequest(journal.KindTransfers, journal.Actor{0xc1, 1}, journal.Bytes(first))
	b.AddOutcome(journal.Outcome{Event: 1, Status: journal.TransferDebitAccountNotFound, Timestamp: 1_700_000_000_000_002_001})
	second := []journal.Transfer{
		{ID: money.From(103), PendingID: money.From(101), Amount: all, Code: 1, Flags: journal.TransferPost | journal.TransferKeepRemainder},
		{ID: money.From(104), PendingID: money.From(999), Flags: journal.TransferVoid | journal.TransferFence | journal.TransferLinked},
		{ID: money.From(105), Debit: money.From(1), Credit: money.From(2), Amount: money.From(1), Asset: 1, Code: 1, Flags: journal.TransferImported, Timestamp: 1_600_000_000_000_000_000},
	}
	b.AddRequest(journal.KindTransfers, journal.Actor{0xc3, 3}, journal.Bytes(second))
	b.AddOutcome(journal.Outcome{
		Event: 2, Status: journal.Created, Timestamp: 1_700_000_000_000_002_002, Amount: money.From(100), PendingPosition: journal.At(3, 0),
	})
	b.AddOutcome(journal.Outcome{Event: 3, Status: journal.TransferPendingTransferNotFound, Timestamp: 1_700_000_000_000_002_003})
	b.AddOutcome(journal.Outcome{Event: 4, Status: journal.TransferImportedEventNotExpected, Timestamp: 1_700_000_000_000_002_004})
}

// TestGoldenBlocks binds the encoder and the decoder to the vectors, and so to what every other decoder was checked
// with. A difference is a new version of the format.
func TestGoldenBlocks(t *testing.T) {
	names, blocks := goldenBlocks()
	var made []vector
	for i, k := range blocks {
		made = append(made, describe(names[i], k))
	}
	if *update {
		writeJSON(t, vectorFile, made)
		writeJSON(t, refusedFile, refusals(blocks))
	}
	want := readVectors(t)
	if len(want) != len(made) {
		t.Fatalf("%s has %d vectors, want %d", vectorFile, len(want), len(made))
	}
	for i := range want {
		k, err := journal.Decode(want[i].raw(t))
		if err != nil {
			t.Fatalf("%s: %v", want[i].Name, err)
		}
		read := describe(want[i].Name, k)
		for _, got := range []struct {
			what string
			v    vector
		}{{"encoded", made[i]}, {"decoded", read}} {
			if a, b := toJSON(t, got.v), toJSON(t, want[i]); !bytes.Equal(a, b) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", want[i].Name, got.what, a, b)
			}
		}
	}
}

// refusal is a block that every decoder must refuse.
type refusal struct {
	Name  string `json:"name"`
	Block string `json:"block"`
}

// refusals are made from good blocks.
func refusals(blocks []*journal.Block) []refusal {
	var list []refusal
	good := blocks[2].Raw
	add := func(name string, b []byte) {
		list = append(list, refusal{Name: name, Block: hex.EncodeToString(b)})
	}
	alter := func(name string, at int, to ...byte) {
		b := bytes.Clone(good)
		copy(b[at:], to)
		add(name, b)
	}
	add("nothing", nil)
	add("half a header", good[:128])
	add("a byte too few", good[:len(good)-1])
	add("a byte too many", append(bytes.Clone(good), 0))
	alter("another magic", 0, 'X')
	alter("version 2", 8, 2)
	alter("block kind 0", 12, 0)
	alter("block kind 4", 12, 4)
	alter("reserved bytes of the header", 14, 1)
	alter("sequence number 0", 24, 0, 0, 0, 0, 0, 0, 0, 0)
	alter("sequence number 2^48", 24, 0, 0, 0, 0, 0, 0, 1, 0)
	alter("a time in the future of all clocks", 56, 255, 255, 255, 255, 255, 255, 255, 255)
	alter("acknowledged is the block itself", 96, 3)
	alter("8191 events", 104, 255, 31)
	alter("more requests than events", 112, 6)
	alter("more outcomes than events", 116, 6)
	alter("reserved bytes after the counts", 120, 1)
	alter("reserved bytes at the end of the header", 255, 1)
	alter("an altered event", 256+48, 99)
	alter("an altered outcome", len(good)-20, 99)
	return list
}

func TestRefusedBlocks(t *testing.T) {
	b, err := os.ReadFile(refusedFile)
	if err != nil {
		t.Fatal(err)
	}
	var list []refusal
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	_, blocks := goldenBlocks()
	if want := len(refusals(blocks)); len(list) != want {
		t.Fatalf("%s has %d blocks, want %d", refusedFile, len(list), want)
	}
	for _, r := range list {
		raw, err := hex.DecodeString(r.Block)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := journal.Decode(raw); !errors.Is(err, journal.ErrFormat) {
			t.Errorf("%s: got error %v, want ErrFormat", r.Name, err)
		}
	}
}

// TestBodiesThatMakeNoSense have the right hash, so only what stands in them can be wrong.
func TestBodiesThatMakeNoSense(t *testing.T) {
	records := make([]byte, 2*journal.RecordSize)
	header := journal.Header{Rules: 1, Kind: journal.BlockNormal, Seq: 1}
	for name, fill := range map[string]func(b *journal.Builder){
		"request kind 0":  func(b *journal.Builder) { b.AddRequest(0, journal.Actor{}, records) },
		"request kind 20": func(b *journal.Builder) { b.AddRequest(20, journal.Actor{}, records) },
		"an outcome twice": func(b *journal.Builder) {
			b.AddRequest(journal.KindTransfers, journal.Actor{}, records)
			b.AddOutcome(journal.Outcome{Event: 1})
			b.AddOutcome(journal.Outcome{Event: 1})
		},
		"outcomes out of order": func(b *journal.Builder) {
			b.AddRequest(journal.KindTransfers, journal.Actor{}, records)
			b.AddOutcome(journal.Outcome{Event: 1})
			b.AddOutcome(journal.Outcome{Event: 0})
		},
	} {
		b := journal.NewBuilder()
		fill(b)
		if _, err := journal.Decode(b.Seal(header).Raw); !errors.Is(err, journal.ErrFormat) {
			t.Errorf("%s: got error %v, want ErrFormat", name, err)
		}
	}
}

// TestStatusesAreThoseOfTheFormat compares the numbers and names with the tables of docs/formats.md.
func TestStatusesAreThoseOfTheFormat(t *testing.T) {
	b, err := os.ReadFile(formatsFile)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for heading, kind := range map[string]journal.Kind{
		"### Statuses of accounts": journal.KindAccounts, "### Statuses of transfers": journal.KindTransfers,
		"### Statuses of assets, freezes, limits and all other controls": journal.KindFreeze,
	} {
		_, table, ok := strings.Cut(doc, heading+"\n")
		if !ok {
			t.Fatalf("%s has no %q", formatsFile, heading)
		}
		table, _, _ = strings.Cut(table, "\n#")
		for s := journal.Created; s <= journal.LastStatus(kind); s++ {
			mark := ""
			if kind == journal.KindTransfers && s.Transient() {
				mark = " *"
			}
			if row := fmt.Sprintf("| %d | %s%s |", s, s.Name(kind), mark); !strings.Contains(table, row) {
				t.Errorf("%s, %s: there is no row %q", formatsFile, heading, row)
			}
		}
		if rows := strings.Count(table, "\n| ") - 1; rows != int(journal.LastStatus(kind)) {
			t.Errorf("%s, %s: %d rows, want %d", formatsFile, heading, rows, journal.LastStatus(kind))
		}
		if got := (journal.LastStatus(kind) + 1).Name(kind); !strings.HasPrefix(got, "status ") {
			t.Errorf("status %d after the last one is named %q", journal.LastStatus(kind)+1, got)
		}
	}
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func writeJSON(t *testing.T, path string, v any) {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, toJSON(t, v), 0o644); err != nil {
		t.Fatal(err)
	}
}
