package journal_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	vectorFile2  = "testdata/blocks-v2.json"
	refusedFile2 = "testdata/refused-v2.json"
)

// vectorAttachment is an attachment, whole and field by field.
type vectorAttachment struct {
	Event  string              `json:"event"`
	Bytes  string              `json:"bytes"`
	Fields map[string]string   `json:"fields"`
	Meta   []map[string]string `json:"metadata,omitempty"`
	Scope  []string            `json:"scope,omitempty"` // assets, then prefixes
}

// vector2 is a vector of version 2: its events are described by the kinds of their parts.
type vector2 struct {
	vector
	Attachments []vectorAttachment `json:"attachments"`
}

func describe2(t testing.TB, name string, k *journal.Block) vector2 {
	t.Helper()
	v := vector2{vector: describe(name, k), Attachments: []vectorAttachment{}}
	v.Header["version"], v.Header["attachments"], v.Header["attachment_bytes"] = num(k.Header.Version), num(k.Header.Attachments), num(k.Header.AttachBytes)
	for i := range v.Requests {
		v.Requests[i].Events = nil
	}
	request := map[*journal.RequestEntry]int{}
	for i := range k.Requests {
		request[&k.Requests[i]] = i
	}
	for part := range k.Parts() {
		q := &v.Requests[request[part.Request]]
		for event := part.First; event < part.First+part.Count; event++ {
			e := describeEvent2(part.Kind, k.EventBytes(event, 1))
			e["part"] = num(part.Kind)
			q.Events = append(q.Events, e)
			if data := k.Attachment(event); data != nil {
				v.Attachments = append(v.Attachments, describeAttachment(t, event, data))
			}
		}
	}
	return v
}

func describeAttachment(t testing.TB, event int, data []byte) vectorAttachment {
	t.Helper()
	d, err := journal.DecodeDetails(data)
	if err != nil {
		t.Fatalf("the attachment of event %d: %v", event, err)
	}
	a := vectorAttachment{Event: num(uint32(event)), Bytes: hex.EncodeToString(data), Fields: map[string]string{}}
	if d.BookingDate != 0 {
		a.Fields["booking_date"] = num(d.BookingDate)
	}
	if d.Address != "" {
		a.Fields["address"] = d.Address
	}
	if d.Rate != 0 {
		a.Fields["rate"] = num(d.Rate)
	}
	if len(d.Payload) > 0 {
		a.Fields["payload"] = hex.EncodeToString(d.Payload)
	}
	if x := d.Transit; x != nil {
		for name, value := range map[string]string{
			"transfer": x.Transfer.String(), "reserve": x.Reserve.String(), "debit_account_id": x.Debit.String(), "credit_account_id": x.Credit.String(),
			"peer": num(x.Peer), "timeout": num(x.Timeout), "flags": num(x.Flags), "status": num(x.Status), "step": num(x.Step),
		} {
			a.Fields["transit_"+name] = value
		}
	}
	if c := d.Carried; c != nil {
		for name, value := range map[string]string{
			"status": num(c.Status), "standing": num(c.Standing), "timestamp": num(c.Timestamp), "amount": c.Amount.String(), "remaining": c.Remaining.String(),
		} {
			a.Fields["carried_"+name] = value
		}
	}
	for _, m := range d.Metadata {
		a.Meta = append(a.Meta, map[string]string{"key": m.Key, "type": num(m.Type), "value": hex.EncodeToString(m.Value)})
	}
	a.Scope = append(append(a.Scope, d.Assets...), d.Prefixes...)
	return a
}

func describeEvent2(kind journal.Kind, b []byte) map[string]string {
	switch kind {
	case journal.KindTransaction, journal.KindCarry:
		return describeEvent(journal.KindTransfers, b)
	case journal.KindBuckets:
		m := &journal.View[journal.BucketMove](b)[0]
		return map[string]string{
			"id": m.ID.String(), "peer": num(m.Peer), "version": num(m.Version), "accounts": num(m.Accounts), "reservations": num(m.Reservations),
			"digest": m.Digest.String(), "bucket": num(m.Bucket), "step": num(m.Step),
		}
	case journal.KindGive, journal.KindTake:
		h := &journal.View[journal.Handover](b)[0]
		return map[string]string{
			"move_id": h.Move.String(), "account_id": h.Account.String(), "clearing_account_id": h.Clearing.String(),
			"flags": num(h.Flags),
		}
	case journal.KindDayClose:
		c := &journal.View[journal.DayClose](b)[0]
		return map[string]string{"id": c.ID.String(), "date": num(c.Date), "reason": text(c.Reason[:])}
	case journal.KindReopen:
		r := &journal.View[journal.Reopen](b)[0]
		return map[string]string{"id": r.ID.String(), "date": num(r.Date), "reason": text(r.Reason[:])}
	case journal.KindProposal:
		p := &journal.View[journal.Proposal](b)[0]
		return map[string]string{"id": p.ID.String(), "expires": num(p.Expires), "inner": num(p.Inner), "reason": text(p.Reason[:])}
	case journal.KindDecision:
		d := &journal.View[journal.Decision](b)[0]
		return map[string]string{
			"id": d.ID.String(), "proposal_id": d.Proposal.String(), "inner": num(d.Inner), "verdict": num(d.Verdict), "reason": text(d.Reason[:]),
		}
	case journal.KindPolicy:
		p := &journal.View[journal.Policy](b)[0]
		return map[string]string{"id": p.ID.String(), "flags": num(p.Flags), "utc_offset": num(uint32(p.UTCOffset)), "reason": text(p.Reason[:])}
	case journal.KindPrincipals:
		p := &journal.View[journal.Principal](b)[0]
		return map[string]string{
			"token": hex.EncodeToString(p.Token[:]), "secret": hex.EncodeToString(p.Secret[:]), "role": num(p.Role),
			"expires": num(p.Expires), "name": text(p.Name[:]),
		}
	case journal.KindMetadata:
		c := &journal.View[journal.MetadataChange](b)[0]
		return map[string]string{"id": c.ID.String(), "account_id": c.Account.String(), "flags": num(c.Flags)}
	case journal.KindErasure:
		e := &journal.View[journal.Erasure](b)[0]
		return map[string]string{"id": e.ID.String(), "subject": hex.EncodeToString(e.Subject[:]), "reason": text(e.Reason[:])}
	}
	return describeEvent(kind, b)
}

// goldenBlocks2 are a chain that has every kind of request, record and attachment that version 2 brought.
func goldenBlocks2() (names []string, blocks []*journal.Block) {
	var prev journal.Hash
	add := func(name string, fill func(b *journal.Builder)) {
		b := journal.NewBuilder()
		fill(b)
		h := journal.Header{Kind: journal.BlockNormal, Cell: 7, Rules: 2, Epoch: 3, Seq: uint64(len(blocks)) + 1, Prev: prev}
		h.Acked, h.Time = h.Seq-1, 1_700_000_000_000_000_000+h.Seq*1000
		k := b.Seal(h)
		names, blocks, prev = append(names, name), append(blocks, k), k.Hash
	}
	add("addresses and every type of metadata", goldenDetails)
	add("a transaction with details of its head and of a leg", goldenTransaction)
	add("a day close with its trial balance", func(b *journal.Builder) {
		c := []journal.DayClose{{ID: money.From(30), Date: 19_700}}
		copy(c[0].Reason[:], "end of day")
		first, _ := b.AddRequest(journal.KindDayClose, journal.Actor{1}, journal.Bytes(c))
		row := binary.LittleEndian.AppendUint32(nil, 1)
		row = binary.LittleEndian.AppendUint32(row, 1001)
		for i := range uint64(18) {
			row = binary.LittleEndian.AppendUint64(row, 100+i)
		}
		b.Attach(first, (&journal.Details{Payload: row}).Append(nil))
	})
	add("a policy, the rights of a token, an erasure", func(b *journal.Builder) {
		p := []journal.Policy{{ID: money.From(40), Flags: journal.PolicyImportsApproved, UTCOffset: -90}}
		b.AddRequest(journal.KindPolicy, journal.Actor{1}, journal.Bytes(p))
		r := []journal.Principal{{Token: journal.Actor{2}, Secret: journal.Hash{3, 31: 4}, Role: 2, Expires: 5}}
		copy(r[0].Name[:], "teller – 柜员")
		first, _ := b.AddRequest(journal.KindPrincipals, journal.Actor{1}, journal.Bytes(r))
		b.AddOutcome(journal.Outcome{Event: uint32(first), Status: journal.ControlApprovalRequired, Timestamp: 1_700_000_000_000_004_001})
		scope := journal.Details{Assets: []string{"CNY/2", "USD/2"}, Prefixes: []string{"merchant:"}, Rate: 100}
		b.Attach(first, scope.Append(nil))
		b.AddRequest(journal.KindErasure, journal.Actor{1}, journal.Bytes([]journal.Erasure{{ID: money.From(41), Subject: journal.Hash{5, 31: 6}}}))
	})
	add("proposals and decisions", goldenDecisions)
	return names, blocks
}

func goldenDetails(b *journal.Builder) {
	accounts := []journal.Account{
		{ID: money.From(1), Asset: 1, Code: 10, Flags: journal.AccountAttached},
		{ID: money.From(2), Asset: 1, Code: 10},
		{ID: money.From(3), Asset: 1, Code: 10, Flags: journal.AccountAttached},
	}
	first, _ := b.AddRequest(journal.KindAccounts, journal.Actor{1}, journal.Bytes(accounts))
	all := journal.Details{Address: "merchant:1001:settlement", Metadata: []journal.Meta{
		journal.Amount("amount", money.U128{Lo: 1, Hi: 2}), journal.Bool("bool", true),
		{Key: "bytes", Type: journal.MetaBytes, Value: []byte{0, 255}},
		journal.Int("int", -3), journal.PersonalMeta("name", journal.Personal{Subject: "customer-7", Sealed: []byte{9, 8, 7}}),
		journal.Text("text", "商户"), journal.Time("time", 1_700_000_000_000_000_000),
	}}
	b.Attach(first, all.Append(nil))
	b.Attach(first+2, (&journal.Details{Address: "a"}).Append(nil))
	b.AddOutcome(journal.Outcome{Event: uint32(first) + 2, Status: journal.AccountAddressTaken, Timestamp: 1_700_000_000_000_001_002})
	transfers := []journal.Transfer{{
		ID: money.From(10), Debit: money.From(1), Credit: money.From(2), Amount: money.From(5), Asset: 1, Code: 1, Flags: journal.TransferAttached,
	}}
	first, _ = b.AddRequest(journal.KindTransfers, journal.Actor{1}, journal.Bytes(transfers))
	b.Attach(first, (&journal.Details{BookingDate: 19_700, Metadata: []journal.Meta{journal.Text("order", "17")}}).Append(nil))
	changes := []journal.MetadataChange{
		{ID: money.From(11), Account: money.From(1), Flags: journal.TransferHead},
		{ID: money.From(12), Account: money.From(2), Flags: journal.TransferHead | journal.TransferAttached},
	}
	first, _ = b.AddRequest(journal.KindMetadata, journal.Actor{1}, journal.Bytes(changes))
	b.Attach(first+1, (&journal.Details{Metadata: []journal.Meta{journal.Text("k", "v")}}).Append(nil))
}

// goldenLegs are the events of transaction 20.
func goldenLegs() (events []journal.Transfer, head, leg []byte) {
	head = (&journal.Details{Metadata: []journal.Meta{journal.Text("order", "18")}}).Append(nil)
	leg = (&journal.Details{BookingDate: 19_701}).Append(nil)
	legs := []journal.Transfer{
		{Debit: money.From(1), Credit: money.From(2), Amount: money.From(7), Asset: 1, Code: 1},
		{Debit: money.From(1), Credit: money.From(3), Amount: money.From(8), Asset: 1, Code: 1, Flags: journal.TransferAttached},
	}
	h := journal.Transfer{ID: money.From(20), Timeout: 2, Code: 9, UserData64: 10, Flags: journal.TransferHead | journal.TransferCycles | journal.TransferAttached}
	for i := range legs {
		legs[i].ID = journal.LegID(h.ID, uint32(i))
	}
	h.Debit, h.Credit = journal.LegsDigest(legs, []journal.Attachment{{Event: 1, Data: leg}})
	return append([]journal.Transfer{h}, legs...), head, leg
}

func goldenTransaction(b *journal.Builder) {
	events, head, leg := goldenLegs()
	first, _ := b.AddRequest(journal.KindTransaction, journal.Actor{1}, journal.Bytes(events))
	b.Attach(first, head)
	b.Attach(first+2, leg)
}

func goldenDecisions(b *journal.Builder) {
	events, head, leg := goldenLegs()
	payload := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 3), 2)
	payload = append(payload, journal.Bytes(events)...)
	for i, data := range [][]byte{0: head, 2: leg} {
		if data != nil {
			payload = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(payload, uint32(i)), uint32(len(data)))
			payload = append(payload, data...)
		}
	}
	proposal := []journal.Proposal{{ID: money.From(50), Expires: 51, Inner: journal.KindTransaction}}
	copy(proposal[0].Reason[:], "a late booking")
	first, _ := b.AddRequest(journal.KindProposal, journal.Actor{1}, journal.Bytes(proposal))
	b.Attach(first, (&journal.Details{Payload: payload}).Append(nil))
	decide := func(d journal.Decision, actor byte, inner []byte) int {
		all := append(bytes.Clone(journal.Bytes([]journal.Decision{d})), inner...)
		first, _ := b.AddRequest(journal.KindDecision, journal.Actor{actor}, all)
		return first
	}
	first = decide(journal.Decision{ID: money.From(52), Proposal: money.From(50), Inner: journal.KindTransaction, Verdict: journal.Approve}, 2, journal.Bytes(events))
	b.Attach(first+1, head)
	b.Attach(first+3, leg)
	decide(journal.Decision{ID: money.From(53), Proposal: money.From(54), Inner: journal.KindReopen, Verdict: journal.Approve}, 2,
		journal.Bytes([]journal.Reopen{{ID: money.From(55), Date: 19_699}}))
	decide(journal.Decision{ID: money.From(56), Proposal: money.From(57), Inner: journal.KindAccounts, Verdict: journal.Reject}, 3, nil)
}

// TestGoldenBlocksOfVersion2 binds encoder and decoder to the vectors, as TestGoldenBlocks does for version 1.
func TestGoldenBlocksOfVersion2(t *testing.T) {
	names, blocks := goldenBlocks2()
	var made []vector2
	for i, k := range blocks {
		made = append(made, describe2(t, names[i], k))
	}
	if *update {
		writeJSON(t, vectorFile2, made)
		writeJSON(t, refusedFile2, refusals2(blocks[0].Raw))
	}
	want := readVectors2(t)
	if len(want) != len(made) {
		t.Fatalf("%s has %d vectors, want %d", vectorFile2, len(want), len(made))
	}
	kinds := map[journal.Kind]bool{}
	for i := range want {
		k, err := journal.Decode(want[i].raw(t))
		if err != nil {
			t.Fatalf("%s: %v", want[i].Name, err)
		}
		for part := range k.Parts() {
			kinds[part.Kind] = true
		}
		for what, got := range map[string]vector2{"encoded": made[i], "decoded": describe2(t, want[i].Name, k)} {
			if a, b := toJSON(t, got), toJSON(t, want[i]); !bytes.Equal(a, b) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", want[i].Name, what, a, b)
			}
		}
	}
	for kind := journal.KindTransaction; kind <= journal.KindErasure; kind++ {
		if !kinds[kind] {
			t.Errorf("no vector has an event of kind %d", kind)
		}
	}
}

func readVectors2(t testing.TB) (list []vector2) {
	t.Helper()
	b, err := os.ReadFile(vectorFile2)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// refusals2 are made from a good block; its hash is right again unless that is what is wrong.
func refusals2(good []byte) (list []refusal) {
	h, err := journal.DecodeHeader(good)
	if err != nil {
		panic(err)
	}
	entries, data := h.AttachmentEntries(), len(good)-int(h.AttachBytes)
	alter := func(name string, at int, to ...byte) {
		b := bytes.Clone(good)
		copy(b[at:], to)
		rehash(b)
		list = append(list, refusal{Name: name, Block: hex.EncodeToString(b)})
	}
	u32 := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	cut := func(name string, b []byte) { list = append(list, refusal{Name: name, Block: hex.EncodeToString(b)}) }
	cut("8 bytes too few", good[:len(good)-8])
	cut("8 bytes too many", append(bytes.Clone(good), make([]byte, 8)...))
	b := bytes.Clone(good)
	b[data+2] ^= 1
	cut("an altered attachment", b)
	alter("attachments in version 1", 8, 1)
	alter("version 3", 8, 3)
	alter("one attachment fewer", 120, u32(h.Attachments-1)...)
	alter("more attachments than events", 120, u32(h.Events+1)...)
	alter("attachments of 4 bytes fewer", 124, u32(h.AttachBytes-4)...)
	alter("attachments of 8 bytes fewer", 124, u32(h.AttachBytes-8)...)
	alter("attachments beyond the largest block", 124, u32(2<<20+8)...)
	alter("an attachment of an event that is not there", entries+3*16, u32(h.Events)...)
	alter("two attachments of one event", entries+16, 0, 0, 0, 0)
	alter("attachments out of order", entries, u32(3)...)
	alter("an attachment that does not follow the one before", entries+16+4, 0, 0, 0, 0)
	alter("an attachment without bytes", entries+16+8, 0, 0, 0, 0)
	alter("an attachment longer than all bytes", entries+3*16+8, u32(1<<20)...)
	alter("reserved bytes of an attachment's entry", entries+12, 1)
	alter("padding that is not zero", len(good)-1, 1)
	return list
}

// TestRefusedBlocksOfVersion2: every decoder must refuse them.
func TestRefusedBlocksOfVersion2(t *testing.T) {
	b, err := os.ReadFile(refusedFile2)
	if err != nil {
		t.Fatal(err)
	}
	var list []refusal
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	_, blocks := goldenBlocks2()
	if want := refusals2(blocks[0].Raw); !bytes.Equal(toJSON(t, list), toJSON(t, want)) {
		t.Fatalf("%s is not what the vectors give", refusedFile2)
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

// TestBlocksAreBounded: a header that claims more than a block may have is refused before anybody reads its body.
func TestBlocksAreBounded(t *testing.T) {
	h := journal.Header{
		Version: 2, Rules: 2, Kind: journal.BlockNormal, Seq: 1, Events: journal.MaxEvents, Requests: 1, Attachments: 1,
		AttachBytes: journal.MaxBlock - journal.HeaderSize - journal.MaxEvents*journal.RecordSize - journal.RequestSize - journal.AttachmentSize,
	}
	b := make([]byte, journal.HeaderSize)
	for _, more := range []uint32{0, 8} {
		h.AttachBytes = (h.AttachBytes + more) &^ 7
		h.Encode(b)
		_, err := journal.DecodeHeader(b)
		if tooLarge := journal.HeaderSize+h.BodySize() > journal.MaxBlock; tooLarge != (more > 0) || errors.Is(err, journal.ErrFormat) != tooLarge {
			t.Errorf("a block of %d bytes: %v", journal.HeaderSize+h.BodySize(), err)
		}
	}
}

// FuzzDecodeVersion2 begins with blocks that have attachments; whatever it makes of them, all that can be asked of a
// block that was accepted is answered, and its attachments lie within it.
func FuzzDecodeVersion2(f *testing.F) {
	for _, v := range readVectors2(f) {
		f.Add(v.raw(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > journal.HeaderSize {
			b = bytes.Clone(b)
			rehash(b)
		}
		k, err := journal.Decode(b)
		if err != nil {
			return
		}
		found, events := 0, 0
		for part := range k.Parts() {
			if part.First != events || part.Count == 0 {
				t.Fatalf("part %+v after %d events", part, events)
			}
			events += part.Count
		}
		for i := range int(k.Header.Events) {
			if data := k.Attachment(i); data != nil {
				found++
				_, _ = journal.DecodeDetails(data) // must not panic
			}
		}
		if list := k.Attachments(0, events, nil); found != int(k.Header.Attachments) || len(list) != found || events != int(k.Header.Events) {
			t.Fatalf("%d events, %d attachments found, %d listed; the header says %d and %d", events, found, len(list), k.Header.Events, k.Header.Attachments)
		}
	})
}
