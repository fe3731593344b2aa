package block_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"testing"

	"github.com/sterlingrun/sterling/watch/internal/block"
)

// vector is a block of journal/testdata with its fields spelled out.
type vector struct {
	Name     string
	Block    string
	Hash     string
	Header   map[string]string
	Expiries []map[string]string
	Requests []struct {
		Kind, Actor string
		Events      []map[string]string
	}
	Outcomes    []map[string]string
	Attachments []struct {
		Event, Bytes string
		Fields       map[string]string
	}
}

func vectors(t testing.TB, name string) []vector {
	t.Helper()
	text, err := os.ReadFile("../../../journal/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) < 2 {
		t.Fatalf("%s has %d vectors", name, len(list))
	}
	return list
}

func (v *vector) raw(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(v.Block)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestVectors holds every field against what the vectors spell out.
func TestVectors(t *testing.T) {
	for _, file := range []string{"blocks-v1.json", "blocks-v2.json", "blocks-v3.json", "moves-v3.json"} {
		for _, v := range vectors(t, file) {
			t.Run(file+"/"+v.Name, func(t *testing.T) {
				var b block.Block
				if err := b.Decode(v.raw(t)); err != nil {
					t.Fatal(err)
				}
				if got := hex.EncodeToString(b.Hash[:]); got != v.Hash {
					t.Errorf("hash %s, want %s", got, v.Hash)
				}
				same(t, "header", headerFields(&b), v.Header)
				checkBody(t, &b, &v)
			})
		}
	}
}

func checkBody(t *testing.T, b *block.Block, v *vector) {
	for i, want := range v.Expiries {
		id, amount := b.Expiry(i)
		same(t, "expiry", map[string]string{"pending_id": id.String(), "amount": amount.String()}, want)
	}
	for i, want := range v.Outcomes {
		o := b.Outcome(i)
		same(t, "outcome", map[string]string{
			"event": num(o.Event), "status": num(o.Status), "timestamp": num(o.Timestamp), "amount": o.Amount.String(),
			"pending_position": num(o.PendingPosition),
		}, want)
		if b.OutcomeEvent(i) != int(o.Event) {
			t.Errorf("outcome %d is of event %d and of %d", i, o.Event, b.OutcomeEvent(i))
		}
	}
	event := 0
	for i, want := range v.Requests {
		r := b.Request(i)
		if num(r.Kind) != want.Kind || hex.EncodeToString(r.Actor[:]) != want.Actor || int(r.Count) != len(want.Events) {
			t.Errorf("request %d is %+v, want kind %s of %s with %d events", i, r, want.Kind, want.Actor, len(want.Events))
		}
		parts, err := b.Parts(r, event, nil)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range parts {
			for at := p.First; at < p.First+p.Count; at++ {
				same(t, "event", eventFields(b, p.Kind, at, want.Events[n]), want.Events[n])
				n++
			}
			if p.Kind == block.Transactions && !b.CheckLegs(p.First, int(b.Transfer(p.First).Timeout())) {
				t.Errorf("the legs of transaction %v are not its digest's", b.Transfer(p.First).ID())
			}
			checkAttachments(t, b, p)
		}
		event += int(r.Count)
	}
	attached := map[int]string{}
	for _, a := range v.Attachments {
		n, err := strconv.Atoi(a.Event)
		if err != nil {
			t.Fatal(err)
		}
		attached[n] = a.Bytes
		if d, ok := block.TransitOf(b.Attachment(n)); ok {
			same(t, "transit", map[string]string{
				"transit_transfer": d.Transfer.String(), "transit_reserve": d.Reserve.String(), "transit_debit_account_id": d.Debit.String(),
				"transit_credit_account_id": d.Credit.String(), "transit_peer": num(d.Peer), "transit_timeout": num(d.Timeout), "transit_flags": num(d.Flags),
				"transit_status": num(d.Status), "transit_step": num(d.Step),
			}, a.Fields)
		}
		if c, ok := block.CarriedOf(b.Attachment(n)); ok {
			same(t, "carried", map[string]string{
				"carried_status": num(c.Status), "carried_standing": num(c.Standing), "carried_timestamp": num(c.Time),
				"carried_amount": c.Amount.String(), "carried_remaining": c.Remaining.String(),
			}, a.Fields)
		}
	}
	for i := range int(b.Events) {
		if got := hex.EncodeToString(b.Attachment(i)); got != attached[i] {
			t.Errorf("event %d has attachment %s, want %s", i, got, attached[i])
		}
	}
}

func checkAttachments(t *testing.T, b *block.Block, p block.Part) {
	for at := p.First; at < p.First+p.Count; at++ {
		if data := b.Attachment(at); data != nil && !block.CheckDetails(p.Kind, data) {
			t.Errorf("event %d of kind %d can't have %x attached, says CheckDetails", at, p.Kind, data)
		}
	}
}

func headerFields(b *block.Block) map[string]string {
	return map[string]string{
		"acked": num(b.Acked), "body": hex.EncodeToString(b.Body[:]), "cell": num(b.Cell), "epoch": num(b.Epoch), "events": num(b.Events),
		"expiries": num(b.Expiries), "incarnation": hex.EncodeToString(b.Incarnation[:]), "kind": num(b.Kind), "outcomes": num(b.Outcomes),
		"prev": hex.EncodeToString(b.Prev[:]), "requests": num(b.Requests), "rules": num(b.Rules), "seq": num(b.Seq),
		"state_digest": hex.EncodeToString(b.StateDigest[:]), "time": num(b.Time), "version": num(b.Version),
		"attachments": num(b.Attachments), "attachment_bytes": num(b.AttachmentBytes),
	}
}

// eventFields spells out the fields of an event that want names, as far as the model reads them.
func eventFields(b *block.Block, kind block.Kind, at int, want map[string]string) map[string]string {
	r := b.Record(at)
	f := map[string]string{"part": num(kind), "id": r.ID(0).String()}
	switch kind {
	case block.Accounts:
		a := b.Account(at)
		f["id"], f["asset"], f["code"], f["flags"], f["timestamp"] = a.ID().String(), num(a.Asset()), num(a.Code()), num(a.Flags()), num(a.Timestamp())
	case block.Transfers, block.Transactions, block.Carries:
		x := b.Transfer(at)
		f["id"], f["debit_account_id"], f["credit_account_id"] = x.ID().String(), x.Debit().String(), x.Credit().String()
		f["amount"], f["pending_id"], f["user_data_128"] = x.Amount().String(), x.PendingID().String(), x.UserData128().String()
		f["user_data_64"], f["user_data_32"], f["timeout"], f["asset"] = num(x.UserData64()), num(x.UserData32()), num(x.Timeout()), num(x.Asset())
		f["code"], f["flags"], f["timestamp"] = num(x.Code()), num(x.Flags()), num(x.Timestamp())
	case block.Freezes:
		f["account_id"], f["code"], f["selector"], f["mode"] = r.ID(16).String(), num(r.U16(32)), num(r[34]), num(r[35])
	case block.Unfreezes:
		f["freeze_id"] = r.ID(16).String()
	case block.Limits:
		f["account_id"], f["hour_amount"], f["day_amount"] = r.ID(16).String(), r.Amount(32).String(), r.Amount(48).String()
		f["hour_count"], f["day_count"], f["side"] = num(r.U32(64)), num(r.U32(68)), num(r[72])
	case block.DayCloses, block.Reopens:
		f["date"] = num(r.U32(16))
	case block.Proposals:
		f["expires"], f["inner"] = num(r.U64(16)), num(r[24])
	case block.Decisions:
		f["proposal_id"], f["inner"], f["verdict"] = r.ID(16).String(), num(r[32]), num(r[33])
	case block.Moves:
		m := r.Move()
		f["id"], f["peer"], f["version"], f["accounts"], f["reservations"] = m.ID.String(), num(m.Peer), num(m.Version), num(m.Accounts), num(m.Reservations)
		f["digest"], f["bucket"], f["step"] = m.Digest.String(), num(m.Bucket), num(m.Step)
	case block.Gives, block.Takes:
		h := r.Handover()
		f["move_id"], f["account_id"], f["clearing_account_id"] = h.Move.String(), h.Account.String(), h.Clearing.String()
	case block.Policies:
		f["utc_offset"] = num(r.U32(20))
	}
	for name := range f {
		if _, asked := want[name]; !asked {
			delete(f, name)
		}
	}
	return f
}

// same compares what was read with what the vector says of it.
func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	compared := 0
	for name, v := range got {
		if w, ok := want[name]; ok {
			if compared++; v != w {
				t.Errorf("%s: %s is %s, want %s", what, name, v, w)
			}
		}
	}
	if compared == 0 && len(want) > 0 && want["code"] == "" && want["token"] == "" && want["subject"] == "" {
		t.Errorf("%s: nothing of %v was compared", what, want)
	}
}

func num[T ~uint8 | ~uint16 | ~uint32 | ~uint64](n T) string {
	return strconv.FormatUint(uint64(n), 10)
}

// TestRefused: what every decoder must refuse.
func TestRefused(t *testing.T) {
	for _, file := range []string{"refused-v1.json", "refused-v2.json", "refused-v3.json"} {
		for _, v := range vectors(t, file) {
			var b block.Block
			err := b.Decode(v.raw(t))
			var typed *block.Error
			if !errors.Is(err, block.ErrMalformed) || !errors.As(err, &typed) || typed.Fault == 0 {
				t.Errorf("%s: %q gives %v", file, v.Name, err)
			}
		}
	}
}
