package watch

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

const maxEvidence = 12

// hexOf writes the id of a break as a u128 in hexadecimal.
func hexOf(id ID) string {
	var reversed [16]byte
	for i := range id {
		reversed[15-i] = id[i]
	}
	return hex.EncodeToString(reversed[:])
}

func textOf(key ID) string {
	if key.IsZero() {
		return ""
	}
	return key.String()
}

// money writes an amount with its asset: "12.34 CNY" for 1234 of CNY/2.
func money(a Amount, asset string) string {
	name, scale, found := strings.Cut(asset, "/")
	places, err := strconv.Atoi(scale)
	if !found || err != nil || places < 0 || places > 38 {
		return a.String() + " " + asset
	}
	return a.Decimal(places) + " " + name
}

// describe makes the break of a fault, with all that a person needs to judge it.
func (e *Engine) describe(j *judgement, f *fault, id ID) *Break {
	asset := e.assets[f.asset]
	return &Break{
		ID: id, Class: f.class, Flow: j.f.Name, Key: j.c.key, KeyText: e.keyTextOf(j.c), AtRisk: f.risk, Asset: asset,
		Happened: f.happened, FirstSeen: e.now, Group: id, Summary: j.summary(f, asset), Accounts: j.accounts(f), Evidence: j.evidence(f),
		Repair: j.repair(f), State: Open,
	}
}

func (e *Engine) keyTextOf(c *caseRec) string {
	if c.text == 0 {
		return textOf(c.key)
	}
	t := e.texts.at(c.text)
	return string(t.text[:t.size])
}

// summary says in one sentence what is wrong.
func (j *judgement) summary(f *fault, asset string) string {
	leg := "the money"
	if f.leg >= 0 {
		leg = "leg " + j.f.legs[f.leg].name
	}
	want, got, risk := money(f.want, asset), money(f.got, asset), money(f.risk, asset)
	var s string
	switch f.class {
	case MissingPost:
		s = fmt.Sprintf("%s was ordered, and nothing was booked by the deadline", want)
	case MissingLeg, MissingFee:
		s = fmt.Sprintf("%s is missing: want %s, booked %s", leg, want, got)
	case StuckPending:
		s = fmt.Sprintf("%s is reserved, and neither captured nor released by the deadline", got)
	case DuplicatePost:
		s = fmt.Sprintf("%s is booked more than once: want %s, booked %s", leg, want, got)
	case WrongAccount, SwappedSides, WrongCurrency:
		s = fmt.Sprintf("%s: %s went %s", leg, risk, map[Class]string{
			WrongAccount: "from or to another account than ordered", SwappedSides: "the wrong way round", WrongCurrency: "in another currency than ordered",
		}[f.class])
	case UnorderedEffect:
		s = risk + " moved that nobody ordered"
	case MissingReceipt:
		s = fmt.Sprintf("%s was booked, and the channel has not confirmed %s of it by the deadline", want, risk)
	case PostedChannelFailed:
		s = fmt.Sprintf("%s is booked, and the channel says it was not paid", risk)
	case FailedChannelPaid, StatementMismatch:
		s = fmt.Sprintf("the channel or the bank speaks of %s: booked or ordered is %s", got, want)
		if f.got.IsZero() {
			s = risk + " was paid, and is not booked"
		}
	case DuplicatePayout, WrongChannelAmount:
		s = fmt.Sprintf("the channel paid %s: want %s", got, want)
	case RefundDouble, RefundExcess, ChargebackAfterRefund:
		s = fmt.Sprintf("%s is paid back in sum: the payment was %s", got, want)
	case RefundOrphan:
		s = fmt.Sprintf("%s is paid back of a payment that was not made", got)
	case RefundMisdirected:
		s = fmt.Sprintf("%s is paid back between other accounts than the payment's", got)
	case RuleFailed:
		s = "a rule has no value"
	case SourceRepeat:
		s = "one id came with two contents"
	case OversizedKey:
		s = fmt.Sprintf("the key has more than %d records and is no longer followed", f.got.Lo)
	case UnknownAsset:
		s = fmt.Sprintf("an observation in %q, which the ledger does not have", asset)
	default:
		s = fmt.Sprintf("%s: want %s, booked %s", leg, want, got)
		if f.leg < 0 {
			s = "the rule does not hold"
		}
	}
	if f.detail != "" {
		s += ": " + f.detail
	}
	return s
}

// accounts lists whom a fault concerns: first those that hold money that is not theirs.
func (j *judgement) accounts(f *fault) []ID {
	var list []ID
	add := func(id ID) {
		for _, known := range list {
			if known == id {
				return
			}
		}
		if !id.IsZero() && len(list) < 8 {
			list = append(list, id)
		}
	}
	if j.c.over {
		return nil
	}
	j.subtract()
	for n := range j.diffs {
		if d := &j.diffs[n]; !d.amount.negative && !d.amount.size.IsZero() {
			add(d.account)
		}
	}
	if f.leg >= 0 {
		add(j.legs[f.leg].credit)
		add(j.legs[f.leg].debit)
	}
	for _, one := range []*fact{f.about, j.order, j.firstMove} {
		if one != nil {
			add(one.credit)
			add(one.debit)
		}
	}
	return list
}

// repair returns the transfers that would certainly mend a fault; none where a person has to find out.
func (j *judgement) repair(f *fault) []RepairTransfer {
	one := RepairTransfer{Asset: j.e.assets[f.asset], Amount: f.risk}
	if j.firstMove != nil {
		one.Code = j.firstMove.code
	}
	j.address(&one, f.leg)
	switch f.class {
	case WrongAccount, SwappedSides, RefundMisdirected:
		return j.repairPair(one)
	case RefundDouble, RefundExcess, RefundOrphan:
		if first := j.legs[j.f.main].first; first != nil && first.moved() {
			one.Debit, one.Credit = first.credit, first.debit
			return []RepairTransfer{one}
		}
		return nil
	case MissingPost, StuckPending, UnorderedEffect, WrongCurrency, RuleFailed, SourceRepeat, OversizedKey, UnknownAsset:
		return nil
	}
	if f.leg < 0 || f.want == f.got || f.about == nil || !f.about.isMovement() || j.legs[f.leg].wrong != nil {
		return nil
	}
	t := &j.legs[f.leg]
	debit, credit := t.debit, t.credit
	if t.first != nil {
		debit, credit = t.first.debit, t.first.credit
	}
	if f.want.Less(f.got) { // too much: back, as far as it is posted
		if debit, credit = credit, debit; t.net.Less(f.got) {
			one.Amount = t.net.SubSat(t.target).Min(one.Amount)
		}
	}
	if one.Debit, one.Credit = debit, credit; debit.IsZero() || credit.IsZero() || one.Amount.IsZero() || f.class == MissingReceipt {
		return nil
	}
	return []RepairTransfer{one}
}

// address gives a repair what its flow knows it by: the key, and the number of the leg.
func (j *judgement) address(one *RepairTransfer, n int) {
	switch j.f.keyedBy {
	case keyUserData128:
		one.UserData128 = j.c.key
	case keyUserData64:
		one.UserData64 = j.c.key.Amount().Lo
	case keyTransfer, keyReservation: // nothing can be added to them
	}
	if n < 0 {
		n = j.f.main
	}
	if one.UserData32 = j.f.legs[n].data32; one.UserData32 == 0 && j.legs[n].first != nil {
		one.UserData32 = j.legs[n].first.data32
	}
}

// repairPair is one transfer from the account that has too much to the one that has too little, where there is one each.
func (j *judgement) repairPair(one RepairTransfer) []RepairTransfer {
	if !j.subtract() {
		return nil
	}
	var more, less *difference
	for n := range j.diffs {
		d := &j.diffs[n]
		switch {
		case d.amount.size.IsZero():
		case d.amount.negative && less == nil:
			less = d
		case !d.amount.negative && more == nil:
			more = d
		default:
			return nil
		}
	}
	if more == nil || less == nil || more.asset != less.asset || more.amount.size != less.amount.size {
		return nil
	}
	one.Debit, one.Credit, one.Amount, one.Asset = more.account, less.account, more.amount.size, j.e.assets[more.asset]
	return []RepairTransfer{one}
}

// evidence lists the records of a case, the one that shows the fault first.
func (j *judgement) evidence(f *fault) []Evidence {
	var list []Evidence
	if f.about != nil {
		list = append(list, j.record(f.about, f, true))
	}
	for p := j.c.first; p != 0 && len(list) < maxEvidence; {
		one := j.e.facts.at(p)
		p = one.next
		if one != f.about && one.kind != factRefund {
			list = append(list, j.record(one, f, false))
		}
	}
	return list
}

var phaseNames = map[factKind]string{
	factKind(books.Single): "transfer", factKind(books.Reserve): "reservation", factKind(books.Capture): "capture", factKind(books.Release): "release",
	factKind(books.Expire): "expiry", factKind(books.Leave): "departure to another cell", factKind(books.Arrive): "arrival from another cell",
	factOrder: "instruction", factReceipt: "receipt", factStatement: "statement entry", factConflict: "conflicting record",
}

var outcomeNames = map[Outcome]string{Settled: "settled", Failed: "failed", Refunded: "refunded", ChargedBack: "charged back"}

func (j *judgement) record(one *fact, f *fault, about bool) Evidence {
	ev := Evidence{What: phaseNames[one.kind], Source: "journal", Seq: one.seq, Index: int(one.index), Time: one.time}
	if one.isMovement() {
		if one.kind != factKind(books.Expire) {
			ev.What = "transfer"
		}
		ev.Fields = append(ev.Fields, Field{Name: "id", Value: one.id.String()}, Field{Name: "phase", Value: phaseNames[one.kind]}, Field{Name: "code", Value: strconv.Itoa(int(one.code))})
	} else {
		ev.Source = j.e.sources[one.source].name
		ev.Fields = append(ev.Fields, Field{Name: "id", Value: textOf(one.id)})
		if one.outcome != 0 {
			ev.Fields = append(ev.Fields, Field{Name: "outcome", Value: outcomeNames[one.outcome], Wrong: about && f.class == PostedChannelFailed})
		}
	}
	ev.Fields = append(ev.Fields, Field{Name: "amount", Value: money(one.amount, j.e.assets[one.asset]), Wrong: about && f.want != f.got || f.class == UnknownAsset})
	places := f.class == WrongAccount || f.class == SwappedSides || f.class == RefundMisdirected
	for _, side := range []struct {
		name string
		id   ID
	}{{"debit", one.debit}, {"credit", one.credit}} {
		if !side.id.IsZero() {
			ev.Fields = append(ev.Fields, Field{Name: side.name, Value: side.id.String(), Wrong: about && places})
		}
	}
	if !one.ref.IsZero() {
		name := "reservation"
		if one.kind == factOrder {
			name = "of key"
		}
		ev.Fields = append(ev.Fields, Field{Name: name, Value: one.ref.String()})
	}
	return ev
}
