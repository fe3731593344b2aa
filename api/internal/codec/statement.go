package codec

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Statement is a GetStatementResponse.
type Statement struct {
	Account  money.U128
	Asset    string
	ByDate   bool // there are posted sums only, and the rows have booking dates
	Page     *index.Statement
	Details  []Details // of some of the rows' transfers, ascending
	NextPage string
	Cell     uint64
	Seq      uint64
}

// AppendStatementWire appends a statement to dst, which it gives the space that it needs.
func (c *Codec) AppendStatementWire(dst []byte, s *Statement, assets *AssetTable) []byte {
	const row = 400 // bytes, of large amounts and random ids
	if need := 256 + row*len(s.Page.Rows); cap(dst)-len(dst) < need {
		dst = append(make([]byte, 0, len(dst)+need), dst...)
	}
	dst = appendDecimal(dst, 1, s.Account)
	dst = appendText(dst, 2, s.Asset)
	dst = appendBalances(dst, 3, &s.Page.Opening, s.ByDate)
	dst = appendBalances(dst, 4, &s.Page.Closing, s.ByDate)
	details := s.Details
	for i := range s.Page.Rows {
		d := nothing
		if len(details) > 0 && details[0].Event == i {
			d, details = &details[0], details[1:]
		}
		dst = appendStatementRow(dst, &s.Page.Rows[i], d, s.ByDate, assets)
	}
	dst = appendText(dst, 6, s.NextPage)
	return appendPosition(dst, &Reply{Cell: s.Cell, Seq: s.Seq}, 7)
}

func appendStatementRow(dst []byte, r *index.StatementRow, d *Details, byDate bool, assets *AssetTable) []byte {
	dst, at := begin(dst, 5)
	dst = appendTransfer(dst, 1, &r.Transfer.Transfer, d, assets)
	if r.Expired {
		dst = appendVarint(dst, 2, 1)
	}
	dst = appendVarint(dst, 3, r.At)
	if byDate {
		dst = appendText(dst, 4, r.Date.String())
	}
	side := ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT
	if r.Delta.Credit {
		side = ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT
	}
	dst = appendVarint(dst, 5, uint64(side))
	dst = appendDecimal(dst, 6, r.Delta.Posted)
	dst = appendDecimal(dst, 7, r.Delta.Reserved)
	dst = appendDecimal(dst, 8, r.Delta.Released)
	dst = appendBalances(dst, 9, &r.After, byDate)
	return finish(dst, at)
}

func appendBalances(dst []byte, number protowire.Number, b *ledger.Balances, posted bool) []byte {
	dst, at := begin(dst, number)
	dst = appendDecimal(dst, 1, b.DebitsPosted)
	dst = appendDecimal(dst, 2, b.CreditsPosted)
	if !posted {
		dst = appendDecimal(dst, 3, b.DebitsPending)
		dst = appendDecimal(dst, 4, b.CreditsPending)
	}
	return finish(dst, at)
}
