package transit

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// The codes, in the chart of accounts, of the cells' own accounts.
const (
	CodeInTransit uint16 = 65535
	CodeClearing  uint16 = 65534
)

// ID is the id of a step of the attempt whose reserve is r: the first 16 bytes of SHA-256(r, little-endian ‖ the step's
// name), with the upper 32 bits set: see journal.Own. The reserve's is r; the transfer and the caller's post or void of it have ids of their own: 0 here.
func ID(r money.U128, step journal.TransitStep) money.U128 {
	var name string
	switch step {
	case journal.TransitReserve:
		return r
	case journal.TransitHold:
		name = "hold"
	case journal.TransitDecide:
		name = "decide"
	case journal.TransitMarker:
		name = "marker"
	case journal.TransitConfirm:
		name = "confirm"
	case journal.TransitSettle:
		name = "settle"
	default:
		return money.U128{}
	}
	b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, r.Lo), r.Hi)
	return idOf(append(b, name...))
}

// InTransit is the id of a cell's account X of an asset: what has left its account and has not reached the other cell.
func InTransit(a money.Asset) money.U128 { return idOf(appendAsset([]byte("sterling in transit"), a)) }

// Clearing is the id of a cell's account Y of an asset: what it owes to, and is owed by, cell peer. The peer's for this
// cell is its mirror.
func Clearing(a money.Asset, peer uint64) money.U128 {
	return idOf(binary.LittleEndian.AppendUint64(appendAsset([]byte("sterling clearing"), a), peer))
}

// appendAsset appends the asset's code, padded with zeros to 16 bytes, and its scale.
func appendAsset(b []byte, a money.Asset) []byte {
	var code [16]byte
	copy(code[:], a.Code)
	return append(append(b, code[:]...), a.Scale)
}

func idOf(text []byte) money.U128 {
	sum := sha256.Sum256(text)
	return journal.MakeOwn(money.LE(sum[:16]))
}

// Accounts are the cell's own accounts that transfers of an asset to and from cell peer need; number is the asset's in
// this cell. Creating them again answers exists. Y has the peer in its user_data_64, for people to see.
func Accounts(a money.Asset, number uint32, peer uint64) []journal.Account {
	return []journal.Account{
		{ID: InTransit(a), Asset: number, Code: CodeInTransit, Flags: journal.AccountTransit},
		{ID: Clearing(a, peer), Asset: number, Code: CodeClearing, UserData64: peer, Flags: journal.AccountTransit},
	}
}
