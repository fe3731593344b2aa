package ledger_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// details reads what a line attaches: address=, date= (a day), meta=key:value,key:value, prefix=, rate=.
func (f *fields) details(kind journal.Kind) []byte {
	d := journal.Details{Address: f.take("address"), Rate: uint32(f.uint("rate", 32, 0))}
	if f.has("date") && kind != journal.KindDayClose && kind != journal.KindReopen {
		d.BookingDate = f.date("date")
	}
	if p := f.take("prefix"); p != "" {
		d.Prefixes = []string{p}
	}
	d.Metadata, d.Transit = metaOf(f.take("meta")), f.transit()
	if d.Empty() {
		return nil
	}
	return d.Append(nil)
}

func metaOf(text string) (list []journal.Meta) {
	if text == "" {
		return nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(entry, ":")
		list = append(list, journal.Text(key, value))
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Key < list[k].Key })
	return list
}

// date reads a day, or a number of days since 1970.
func (f *fields) date(key string) journal.Date {
	text := f.take(key)
	if d, err := journal.ParseDate(text); err == nil {
		return d
	}
	f.values[key] = text
	return journal.Date(f.uint(key, 32, 0))
}

// markAttached sets the flag of an event that has an attachment; "unknown" flags stay as they are.
func markAttached(e any, attached bool) {
	if !attached {
		return
	}
	switch e := e.(type) {
	case *journal.Account:
		e.Flags |= journal.AccountAttached
	case *journal.Transfer:
		e.Flags |= journal.TransferAttached
	case *journal.MetadataChange:
		e.Flags |= journal.TransferAttached
	}
}

func parseClose(f *fields) journal.DayClose {
	return journal.DayClose{ID: f.u128("id"), Date: f.date("date"), Reason: f.reason()}
}

func parseReopen(f *fields) journal.Reopen {
	return journal.Reopen{ID: f.u128("id"), Date: f.date("date"), Reason: f.reason()}
}

func parsePolicy(f *fields) journal.Policy {
	p := journal.Policy{ID: f.u128("id"), Reason: f.reason(), UTCOffset: int32(f.uint("offset", 31, 0))}
	if f.has("flags") {
		p.Flags = 0
		for name := range strings.SplitSeq(f.take("flags"), ",") {
			p.Flags |= map[string]journal.PolicyFlags{
				"imports_approved": journal.PolicyImportsApproved, "unfreeze_approved": journal.PolicyUnfreezeApproved, "unknown": 1 << 30,
			}[name]
		}
	}
	return p
}

func parsePrincipal(f *fields) journal.Principal {
	p := journal.Principal{Role: uint8(f.uint("role", 8, 0)), Expires: f.timestamp("expires")}
	if id := f.take("id"); id != "-" {
		copy(p.Token[:], id)
	}
	copy(p.Secret[:], f.take("secret"))
	copy(p.Name[:], f.take("name"))
	return p
}

func parseMetadata(f *fields) journal.MetadataChange {
	return journal.MetadataChange{ID: f.u128("id"), Account: f.u128("account"), Flags: journal.TransferHead}
}

func parseErasure(f *fields) journal.Erasure {
	e := journal.Erasure{ID: f.u128("id"), Reason: f.reason()}
	copy(e.Subject[:], f.take("subject"))
	return e
}

func arg(t *testing.T, d *datadriven.TestData, key string) (value string) {
	if d.HasArg(key) {
		d.ScanArgs(t, key, &value)
	}
	return value
}

// request is what a command sends, or proposes.
type sent struct {
	kind     journal.Kind
	events   []byte
	names    []string
	attached []journal.Attachment
}

func sentOf[T journal.Record](t *testing.T, d *datadriven.TestData, kind journal.Kind, parse func(*fields) T) sent {
	events, names, attached := parseEvents(t, d, kind, parse)
	return sent{kind, journal.Bytes(events), names, attached}
}

// legs reads a transaction: its legs are the lines, its own fields are arguments.
func legs(t *testing.T, d *datadriven.TestData, id money.U128) sent {
	events, names, attached := parseEvents(t, d, journal.KindTransfers, func(f *fields) journal.Transfer {
		f.take("leg")
		return parseTransfer(f)
	})
	for i := range events {
		events[i].ID = journal.LegID(id, uint32(i))
	}
	head := journal.Transfer{ID: id, Flags: journal.TransferHead, Timeout: uint32(len(events))}
	head.Debit, head.Credit = journal.LegsDigest(events, attached)
	if d.HasArg("cycles") {
		head.Flags |= journal.TransferCycles
	}
	f := &fields{t: t, pos: d.Pos, values: map[string]string{"code": arg(t, d, "code"), "ud128": arg(t, d, "ud128"), "ud64": arg(t, d, "ud64"), "ud32": arg(t, d, "ud32"), "timestamp": arg(t, d, "timestamp")}}
	for key, v := range f.values {
		if v == "" {
			delete(f.values, key)
		}
	}
	head.Code, head.UserData128, head.UserData64 = uint16(f.uint("code", 16, 0)), f.u128("ud128"), f.uint("ud64", 64, 0)
	head.UserData32, head.Timestamp = uint32(f.uint("ud32", 32, 0)), f.timestamp("timestamp")
	var all []journal.Attachment
	details := journal.Details{Metadata: metaOf(arg(t, d, "meta"))}
	if day := arg(t, d, "date"); day != "" {
		details.BookingDate, _ = journal.ParseDate(day)
	}
	if !details.Empty() {
		head.Flags |= journal.TransferAttached
		all = append(all, journal.Attachment{Data: details.Append(nil)})
	}
	for _, a := range attached {
		all = append(all, journal.Attachment{Event: a.Event + 1, Data: a.Data})
	}
	return sent{journal.KindTransaction, journal.Bytes(append([]journal.Transfer{head}, events...)), append([]string{"transaction"}, names...), all}
}

func (s *script) transaction(t *testing.T, d *datadriven.TestData) string {
	r := legs(t, d, parseU128(t, arg(t, d, "id")))
	return s.print(r.kind, r.names, s.applyAttached(r.kind, actorOf(t, d), r.events, r.attached))
}

// inner reads what is proposed or decided about.
func inner(t *testing.T, d *datadriven.TestData) sent {
	switch kind := arg(t, d, "kind"); kind {
	case "accounts":
		return sentOf(t, d, journal.KindAccounts, parseAccount)
	case "transfers":
		return sentOf(t, d, journal.KindTransfers, parseTransfer)
	case "unfreeze":
		return sentOf(t, d, journal.KindUnfreeze, parseUnfreeze)
	case "reopen":
		return sentOf(t, d, journal.KindReopen, parseReopen)
	case "policy":
		return sentOf(t, d, journal.KindPolicy, parsePolicy)
	case "principals":
		return sentOf(t, d, journal.KindPrincipals, parsePrincipal)
	case "transaction":
		return legs(t, d, parseU128(t, arg(t, d, "transaction")))
	default:
		t.Fatalf("%s: kind %q", d.Pos, kind)
		return sent{}
	}
}

func (s *script) propose(t *testing.T, d *datadriven.TestData) string {
	r := inner(t, d)
	f := &fields{t: t, pos: d.Pos, values: map[string]string{"id": arg(t, d, "id"), "expires": arg(t, d, "expires"), "reason": arg(t, d, "reason")}}
	p := journal.Proposal{ID: f.u128("id"), Expires: f.timestamp("expires"), Inner: r.kind, Reason: f.reason()}
	details := journal.Details{Payload: ledger.EncodePayload(r.events, r.attached)}
	results := s.applyAttached(journal.KindProposal, actorOf(t, d), journal.Bytes([]journal.Proposal{p}), []journal.Attachment{{Data: details.Append(nil)}})
	return s.print(journal.KindProposal, []string{arg(t, d, "id")}, results)
}

// decide decides about a proposal. An approval carries what was proposed, or else the lines of the input.
func (s *script) decide(t *testing.T, d *datadriven.TestData) string {
	f := &fields{t: t, pos: d.Pos, values: map[string]string{"id": arg(t, d, "id"), "proposal": arg(t, d, "proposal"), "reason": arg(t, d, "reason")}}
	record := journal.Decision{ID: f.u128("id"), Proposal: f.u128("proposal"), Verdict: journal.Approve, Reason: f.reason()}
	var events []byte
	var attached []journal.Attachment
	names := []string{arg(t, d, "id")}
	p, _ := s.state.Proposal(record.Proposal)
	record.Inner = p.Inner
	switch {
	case d.HasArg("reject"):
		record.Verdict = journal.Reject
	case d.Input != "":
		r := inner(t, d)
		record.Inner, events, attached = r.kind, r.events, r.attached
	case p.Payload != nil:
		var err error
		if events, attached, err = ledger.DecodePayload(p.Payload); err != nil {
			t.Fatal(err)
		}
	}
	for i := range attached {
		attached[i].Event++
	}
	events = append(journal.Bytes([]journal.Decision{record}), events...)
	results := s.applyAttached(journal.KindDecision, actorOf(t, d), journal.Aligned(events), attached)
	out := s.print(journal.KindDecision, names, results[:1])
	for i, r := range results[1:] {
		name := r.Status.Name(record.Inner)
		s.seen[listOf(record.Inner)+" "+name] = true
		out += fmt.Sprintf("  event %d %s at %v\n", i, name, time.Duration(r.Timestamp))
	}
	return out
}

// trial prints the trial balance of the days that are not closed.
func (s *script) trial() string {
	out := s.endBlock()
	from := journal.Date(0)
	if d := s.state.ClosedThrough(); d != 0 {
		from = d + 1
		out += fmt.Sprintf("closed through %v\n", d)
	}
	for _, r := range s.state.TrialBalance(from, journal.MaxDate) {
		out += fmt.Sprintf("asset %d code %d: opening %v %v, late %v %v, since %v %v\n", r.Asset, r.Code, r.Opening.Debits,
			r.Opening.Credits, r.Late.Debits, r.Late.Credits, r.Period.Debits, r.Period.Credits)
	}
	for _, k := range s.log {
		for i := range int(k.Header.Events) {
			if data := k.Attachment(i); data != nil && s.closes(k, i) {
				rows, err := ledger.ReadTrial(data)
				out += fmt.Sprintf("block %d has a trial balance of %d rows, %v\n", k.Header.Seq, len(rows), err)
			}
		}
	}
	return out
}

func (s *script) closes(k *journal.Block, event int) bool {
	for p := range k.Parts() {
		if p.Kind == journal.KindDayClose && event >= p.First && event < p.First+p.Count {
			return true
		}
	}
	return false
}

func (s *script) listProposals() string {
	out := s.endBlock()
	for _, p := range s.state.Proposals(false) {
		out += fmt.Sprintf("%v: kind %d, verdict %d, %d bytes\n", p.ID, p.Inner, p.Verdict, len(p.Payload))
	}
	return out
}

func (s *script) listAddresses() string {
	out := s.endBlock()
	for n := uint32(1); uint64(n) <= s.state.Counts().Accounts; n++ {
		out += fmt.Sprintf("%v: %q, metadata at block %d\n", s.state.AccountByNumber(n).ID, s.state.Address(n), s.state.Metadata(n).Seq())
	}
	return out
}

// fillProposals proposes until no more may wait.
func (s *script) fillProposals() string {
	tally := map[string]int{}
	reopen := journal.Reopen{ID: money.From(1), Date: 1}
	d := journal.Details{Payload: ledger.EncodePayload(journal.Bytes([]journal.Reopen{reopen}), nil)}
	for n := range uint64(ledger.MaxProposals + 2) {
		p := journal.Proposal{ID: money.From(10_000 + n), Inner: journal.KindReopen}
		r := s.applyAttached(journal.KindProposal, journal.Actor{1}, journal.Bytes([]journal.Proposal{p}), []journal.Attachment{{Data: d.Append(nil)}})
		name := r[0].Status.Name(journal.KindProposal)
		tally[name]++
		s.seen["control "+name] = true
	}
	return fmt.Sprint(tally) + "\n" + s.endBlock()
}

// fillGroups opens accounts of more codes than a trial balance has lines, and moves money between all of them.
func (s *script) fillGroups() string {
	const groups = 7000
	var accounts []journal.Account
	var transfers []journal.Transfer
	for n := uint64(1); n <= groups; n++ {
		accounts = append(accounts, journal.Account{ID: money.From(n), Asset: 1, Code: uint16(n)})
		if n > 1 {
			transfers = append(transfers, journal.Transfer{ID: money.From(n), Debit: money.From(n - 1), Credit: money.From(n), Amount: money.From(1), Asset: 1, Code: 1})
		}
	}
	s.apply(journal.KindAccounts, journal.Actor{}, journal.Bytes(accounts))
	s.endBlock()
	s.apply(journal.KindTransfers, journal.Actor{}, journal.Bytes(transfers))
	s.endBlock()
	return fmt.Sprintf("%d groups", len(s.state.TrialBalance(0, journal.MaxDate)))
}
