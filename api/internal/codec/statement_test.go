package codec_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestStatementAgreesWithProto reads statements, of numbers of every size, back as messages.
func TestStatementAgreesWithProto(t *testing.T) {
	c := codec.New()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := someStatement(r, int(seed%7))
		var got ledgerv1.GetStatementResponse
		if err := proto.Unmarshal(c.AppendStatementWire([]byte{}, s, assets()), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(statementMessage(s), &got, protocmp.Transform()); diff != "" {
			t.Fatalf("seed %d: message -, codec +\n%s", seed, diff)
		}
	}
}

func some128(r *rand.Rand) money.U128 {
	var b [16]byte
	for i := r.IntN(17); i < 16; i++ {
		b[i] = byte(r.Uint32())
	}
	return money.BE(b[:])
}

func someSums(r *rand.Rand, byDate bool) (b ledger.Balances) {
	b.DebitsPosted, b.CreditsPosted = some128(r), some128(r)
	if !byDate {
		b.DebitsPending, b.CreditsPending = some128(r), some128(r)
	}
	return b
}

func someStatement(r *rand.Rand, rows int) *codec.Statement {
	page := &index.Statement{}
	s := &codec.Statement{Account: some128(r), ByDate: r.IntN(2) == 0, Page: page, Cell: uint64(r.IntN(3)), Seq: r.Uint64() >> r.IntN(64)}
	page.Opening, page.Closing = someSums(r, s.ByDate), someSums(r, s.ByDate)
	if r.IntN(2) == 0 {
		s.Asset, s.NextPage = "CNY/2", "AAECAwQF"
	}
	for i := range rows {
		row := index.StatementRow{Expired: r.IntN(4) == 0, At: r.Uint64(), After: someSums(r, s.ByDate)}
		row.Delta = index.Delta{Credit: r.IntN(2) == 0, Posted: some128(r), Reserved: some128(r), Released: some128(r)}
		row.Transfer.Transfer = journal.Transfer{
			ID: some128(r), Debit: some128(r), Credit: some128(r), Amount: some128(r), PendingID: some128(r), UserData128: some128(r),
			UserData64: r.Uint64() >> r.IntN(65), UserData32: r.Uint32(), Timeout: uint32(r.IntN(2)), Asset: uint32(r.IntN(3)), Code: uint16(r.IntN(1 << 16)),
			Flags: journal.TransferFlags(r.IntN(1 << 16)), Timestamp: r.Uint64(),
		}
		if s.ByDate {
			row.Date = journal.Date(r.IntN(int(journal.MaxDate)))
		}
		if r.IntN(4) == 0 {
			row.Moved = &index.Moved{Left: r.IntN(2) == 0, Balances: someSums(r, s.ByDate)}
		}
		if r.IntN(3) == 0 {
			s.Details = append(s.Details, codec.Details{Event: i, Transit: &ledgerv1.Transit{TransferId: "7", Step: 6, Peer: 2}, BookingDate: "2026-01-31", Metadata: map[string]*ledgerv1.MetadataValue{
				"order": {Value: &ledgerv1.MetadataValue_Text{Text: fmt.Sprint(r.Uint64())}}, "count": {Value: &ledgerv1.MetadataValue_Integer{Integer: -3}},
			}})
		}
		page.Rows = append(page.Rows, row)
	}
	return s
}

func sumsMessage(b *ledger.Balances, byDate bool) *ledgerv1.Balances {
	m := &ledgerv1.Balances{DebitsPosted: b.DebitsPosted.String(), CreditsPosted: b.CreditsPosted.String()}
	if !byDate {
		m.DebitsPending, m.CreditsPending = b.DebitsPending.String(), b.CreditsPending.String()
	}
	return m
}

// statementMessage makes the message of a statement in the plainest way.
func statementMessage(s *codec.Statement) *ledgerv1.GetStatementResponse {
	m := &ledgerv1.GetStatementResponse{
		AccountId: s.Account.String(), Asset: s.Asset, NextPageToken: s.NextPage, Position: &ledgerv1.Position{Cell: s.Cell, Seq: s.Seq},
		Opening: sumsMessage(&s.Page.Opening, s.ByDate), Closing: sumsMessage(&s.Page.Closing, s.ByDate),
	}
	for i := range s.Page.Rows {
		r := &s.Page.Rows[i]
		t := &r.Transfer.Transfer
		row := &ledgerv1.StatementRow{
			Transfer: &ledgerv1.Transfer{
				Id: t.ID.String(), DebitAccountId: t.Debit.String(), CreditAccountId: t.Credit.String(), Amount: proto.String(t.Amount.String()),
				PendingId: t.PendingID.String(), UserData_128: t.UserData128.String(), UserData_64: t.UserData64, UserData_32: t.UserData32,
				Timeout: t.Timeout, Asset: []string{"", "CNY/2", "JPY/0"}[t.Asset], Code: uint32(t.Code), Timestamp: t.Timestamp,
			},
			Expired: r.Expired, Timestamp: r.At, Side: ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT, Posted: r.Delta.Posted.String(),
			Reserved: r.Delta.Reserved.String(), Released: r.Delta.Released.String(), Balances: sumsMessage(&r.After, s.ByDate),
		}
		if r.Delta.Credit {
			row.Side = ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT
		}
		if s.ByDate {
			row.BookingDate = r.Date.String()
		}
		if r.Moved != nil {
			row.Moved = &ledgerv1.MovedBalances{Left: r.Moved.Left, Balances: sumsMessage(&r.Moved.Balances, s.ByDate)}
		}
		for bit := range 16 {
			if flag := journal.TransferFlags(1) << bit; t.Flags.Has(flag&journal.TransferFlagsKnown) && flag&journal.TransferFlagsKnown != 0 {
				row.Transfer.Flags = append(row.Transfer.Flags, ledgerv1.TransferFlag(flag))
			}
		}
		for k := range s.Details {
			if s.Details[k].Event == i {
				row.Transfer.BookingDate, row.Transfer.Metadata, row.Transfer.Transit = s.Details[k].BookingDate, s.Details[k].Metadata, s.Details[k].Transit
			}
		}
		m.Rows = append(m.Rows, row)
	}
	return m
}
