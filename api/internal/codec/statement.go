package codec

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/wire"
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
	dst = wire.Decimal(dst, 1, s.Account)
	dst = wire.Text(dst, 2, s.Asset)
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
	dst = wire.Text(dst, 6, s.NextPage)
	return appendPosition(dst, &Reply{Cell: s.Cell, Seq: s.Seq}, 7)
}

func appendStatementRow(dst []byte, r *index.StatementRow, d *Details, byDate bool, assets *AssetTable) []byte {
	dst, at := wire.Begin(dst, 5)
	dst = appendTransfer(dst, 1, &r.Transfer.Transfer, d, assets)
	if r.Expired {
		dst = wire.Varint(dst, 2, 1)
	}
	dst = wire.Varint(dst, 3, r.At)
	if byDate {
		dst = wire.Text(dst, 4, r.Date.String())
	}
	side := ledgerv1.TransferSide_TRANSFER_SIDE_DEBIT
	if r.Delta.Credit {
		side = ledgerv1.TransferSide_TRANSFER_SIDE_CREDIT
	}
	dst = wire.Varint(dst, 5, uint64(side))
	dst = wire.Decimal(dst, 6, r.Delta.Posted)
	dst = wire.Decimal(dst, 7, r.Delta.Reserved)
	dst = wire.Decimal(dst, 8, r.Delta.Released)
	dst = appendBalances(dst, 9, &r.After, byDate)
	if r.Moved != nil {
		dst = appendMoved(dst, 10, r.Moved, byDate)
	}
	return wire.Finish(dst, at)
}

func appendMoved(dst []byte, number protowire.Number, m *index.Moved, byDate bool) []byte {
	dst, at := wire.Begin(dst, number)
	if m.Left {
		dst = wire.Varint(dst, 1, 1)
	}
	return wire.Finish(appendBalances(dst, 2, &m.Balances, byDate), at)
}

func appendBalances(dst []byte, number protowire.Number, b *ledger.Balances, posted bool) []byte {
	dst, at := wire.Begin(dst, number)
	dst = wire.Decimal(dst, 1, b.DebitsPosted)
	dst = wire.Decimal(dst, 2, b.CreditsPosted)
	if !posted {
		dst = wire.Decimal(dst, 3, b.DebitsPending)
		dst = wire.Decimal(dst, 4, b.CreditsPending)
	}
	return wire.Finish(dst, at)
}
