package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

// ErrStays is an account that can't be given to another cell; the text says why.
var ErrStays = errors.New("an account can't move to another cell")

// CheckGive tells whether all accounts of a bucket could be given by these handovers, once no reservation is left: after
// the first one is given there is no way back. It has to be closed, so that nothing comes between. An account under a
// freeze of its code or of the cell has to stay, because that freeze does: where it goes, it would be free.
func (s *State) CheckGive(list []journal.Handover) error {
	sizes := s.belongingSizes()
	debits, credits := map[uint32]money.U128{}, map[uint32]money.U128{}
	for i := range list {
		h := &list[i]
		n := s.row(h.Account)
		if n == 0 || s.accounts.at(n).Flags.Has(journal.AccountMoved) {
			continue
		}
		a := s.accounts.at(n)
		y := s.clearing(h, a.Asset)
		d, over := debits[y].Add(a.CreditsPosted)
		c, more := credits[y].Add(a.DebitsPosted)
		debits[y], credits[y] = d, c
		switch {
		case y == 0:
			return fmt.Errorf("%w: %v: there is no account to clear it with", ErrStays, h.Account)
		case over || more || !s.hasRoom(y, d, c):
			return fmt.Errorf("%w: %v: the account that it is cleared with takes no more", ErrStays, h.Account)
		case s.freezes.mask(a.Code) != 0:
			return fmt.Errorf("%w: %v is frozen with its code %d or with the whole cell, which the other cell is not: freeze the account itself and lift that, or wait", ErrStays, h.Account, a.Code)
		case sizes[h.Account] > journal.MaxPayload:
			return fmt.Errorf("%w: %v has had too many limits and freezes: %d bytes, %d at most", ErrStays, h.Account, sizes[h.Account], journal.MaxPayload)
		}
	}
	return nil
}

// belongingSizes is how large the payloads of accounts are; nil where none can be too large.
func (s *State) belongingSizes() map[money.U128]int {
	limit, freeze := binary.Size(limitRecord{}), binary.Size(Freeze{})
	head := binary.Size(belongingsHead{}) + 2*binary.Size(velocity{})
	if head+len(s.limitOrder)*limit+len(s.freezes.all)*freeze <= journal.MaxPayload {
		return nil
	}
	sizes := map[money.U128]int{}
	add := func(account money.U128, n int) { sizes[account] = max(sizes[account], head) + n }
	for _, r := range s.limitIDs {
		add(r.Limit.Account, limit)
	}
	for i := range s.freezes.all {
		if f := &s.freezes.all[i]; f.Selector == journal.SelectAccount {
			add(f.Account, freeze)
		}
	}
	return sizes
}
