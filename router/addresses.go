package router

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// codeAddress is the code of placeholders in the chart of accounts.
const codeAddress = 65533

// Claim is an address and the account that is to have it.
type Claim struct {
	Address string
	Account money.U128
	Asset   uint32 // number in the cell
}

// Placeholder is the id of the account that stands for an address in the cell of its bucket: the first 16 bytes of
// SHA-256("sterling address" ‖ address), with the upper 32 bits set (journal.Own). Its UserData128 is the id of the account that has the address.
func Placeholder(address string) money.U128 {
	sum := sha256.Sum256(append([]byte("sterling address"), address...))
	return journal.MakeOwn(money.LE(sum[:16]))
}

// ClaimAddresses takes addresses whose placeholders are of this cell, for ever, and tells for each, in order, whether
// another account has claimed it before. The same claim can be made any number of times.
func ClaimAddresses(ctx context.Context, in Recorder, claims []Claim) (taken []bool, err error) {
	taken = make([]bool, len(claims))
	if len(claims) == 0 {
		return taken, nil
	}
	accounts := make([]journal.Account, len(claims))
	for i, c := range claims {
		accounts[i] = journal.Account{ID: Placeholder(c.Address), UserData128: c.Account, Asset: c.Asset, Code: codeAddress, Flags: journal.AccountTransit}
	}
	r := &cell.Request{Kind: journal.KindAccounts, Actor: driverActor, Events: journal.Bytes(accounts), Results: make([]journal.Result, len(accounts))}
	if err := in.Do(ctx, r); err != nil {
		return nil, fmt.Errorf("claim %d addresses: %w", len(claims), err)
	}
	for i := range r.Results {
		switch s := r.Results[i].Status; s {
		case journal.AccountCreated, journal.AccountExists, journal.AccountExistsWithDifferentLedger: // the ledger of the account judges its asset
		case journal.AccountExistsWithDifferentUserData128, journal.AccountExistsWithDifferentFlags: // or a caller's account has its id
			taken[i] = true
		default:
			return nil, fmt.Errorf("claim address %s: status %d", claims[i].Address, s)
		}
	}
	return taken, nil
}
