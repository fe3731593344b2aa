package api

import (
	"context"
	"fmt"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1/ledgerv1connect"
	"github.com/sterlingrun/sterling/router"
)

// accountsAcross is createAccounts for a call that is not of this cell alone, or that has addresses: those are unique in
// the whole ledger.
func (s *Server) accountsAcross(ctx context.Context, c *call) error {
	places, err := s.accountHomes(c)
	if err != nil {
		return err
	}
	results := make([]journal.Result, len(c.batch.Accounts))
	cells := make([]uint64, 0, len(places))
	for id := range places {
		cells = append(cells, id)
	}
	err = together(cells, func(id uint64) error {
		err := error(nil)
		if id == s.config.CellNumber {
			err = s.accountsHere(ctx, c, places[id], results)
		} else {
			err = s.accountsThere(ctx, c, id, places[id], results)
		}
		if isMoving(err) && len(cells) > 1 {
			err = s.accountsAgain(ctx, c, places[id], results, err)
		}
		return err
	})
	if err != nil && len(cells) > 1 {
		return partly(across(err))
	}
	if err != nil {
		return across(err)
	}
	c.reply.Results, c.reply.Cell, c.reply.Seq = results, s.config.CellNumber, s.config.Cell.Head()
	return nil
}

// accountHomes tells which cell each of the call's accounts is of. Linked ones have to be of one cell, and so have all of
// a call with imported ones.
func (s *Server) accountHomes(c *call) (map[uint64][]int, error) {
	places := map[uint64][]int{}
	events := c.batch.Accounts
	for i := range events {
		home := s.config.Cells.Router.Home(events[i].ID)
		if c.forwarded && home != s.config.CellNumber {
			return nil, cell.ErrMoved // this node, or the one that forwarded, has an old map
		}
		first := s.config.Cells.Router.Home(events[0].ID)
		linked := i > 0 && events[i-1].Flags.Has(journal.AccountLinked) && home != s.config.Cells.Router.Home(events[i-1].ID)
		imported := home != first && (events[i].Flags | events[0].Flags).Has(journal.AccountImported)
		if linked || imported {
			return nil, crossRefused(&router.RefusedError{Event: i, Reason: "linked accounts, and imported ones of one call, have to be of one cell; nothing was recorded"}, "accounts")
		}
		places[home] = append(places[home], i)
	}
	return places, nil
}

// accountsPart is the part of a call that is about the accounts at these places.
func accountsPart(c *call, places []int) *call {
	own := c.rest()
	own.batch.Details = partDetails(c.batch.Details, places)
	for k, i := range places {
		own.batch.Accounts = append(own.batch.Accounts, c.batch.Accounts[i])
		for _, u := range c.batch.Unregistered {
			if u.Event == i {
				own.batch.Unregistered = append(own.batch.Unregistered, codec.Unregistered{Event: k, Asset: u.Asset})
			}
		}
	}
	return own
}

// accountsAgain opens the accounts at these places once their bucket has moved; refused is why they could not be opened at
// once. Others of the call may have been opened.
func (s *Server) accountsAgain(ctx context.Context, c *call, places []int, results []journal.Result, refused error) error {
	again := accountsPart(c, places)
	err := s.whenMoved(ctx, refused, func() error { return s.accountsAcross(ctx, again) })
	if err == nil {
		scatter(results, places, again.reply.Results)
	}
	return err
}

// accountsHere opens the accounts of this cell.
func (s *Server) accountsHere(ctx context.Context, c *call, places []int, results []journal.Result) error {
	own := accountsPart(c, places)
	if own.principal.Scope != nil {
		if err := s.allowAccounts(ctx, own); err != nil {
			return err
		}
	}
	if len(own.batch.Unregistered) > 0 {
		if err := s.registerMissing(ctx, own); err != nil {
			return err
		}
	}
	refused, err := s.claimAddresses(ctx, own)
	if err != nil {
		return err
	}
	var kept []int // of own
	for k := range own.batch.Accounts {
		if refused[k] == 0 {
			kept = append(kept, k)
		} else {
			results[places[k]] = journal.Result{Status: refused[k], Timestamp: s.config.Clock.Wall()}
		}
	}
	if len(kept) == 0 {
		return nil
	}
	sub := &codec.Batch{Details: partDetails(own.batch.Details, kept)}
	for _, k := range kept {
		sub.Accounts = append(sub.Accounts, own.batch.Accounts[k])
	}
	attached, err := s.attachAccounts(ctx, sub)
	if err != nil {
		return err
	}
	r := &cell.Request{
		Kind: journal.KindAccounts, Actor: c.principal.ID, Events: journal.Bytes(sub.Accounts), Attachments: attached, Results: make([]journal.Result, len(kept)),
	}
	if err := s.config.Cell.Do(ctx, r); err != nil {
		return err
	}
	for n, k := range kept {
		results[places[k]] = r.Results[n]
	}
	return nil
}

// claimAddresses takes the addresses of a batch. It returns a status for each account that can't be opened since another
// one has its address, or that of one it is linked with; 0 for the others. An address that was claimed stays claimed for
// its account even if that is then refused.
func (s *Server) claimAddresses(ctx context.Context, c *call) ([]journal.Status, error) {
	refused := make([]journal.Status, len(c.batch.Accounts))
	claims := map[uint64]*cellv1.ClaimRequest{}
	events := map[uint64][]int{}
	for i := range c.batch.Details {
		d := &c.batch.Details[i]
		if d.Address == "" {
			continue
		}
		if err := journal.CheckAddress(d.Address); err != nil {
			return nil, malformed(fmt.Sprintf("accounts[%d]", d.Event), err.Error())
		}
		a := &c.batch.Accounts[d.Event]
		name := c.assets.Name(a.Asset)
		if name == "" || a.ID.IsZero() || a.ID.IsMax() {
			continue // the ledger refuses it
		}
		home := s.config.Cells.Router.Home(router.Placeholder(d.Address))
		if claims[home] == nil {
			claims[home] = &cellv1.ClaimRequest{}
		}
		var id [idBytes]byte
		a.ID.PutLE(id[:])
		claims[home].Claims = append(claims[home].Claims, &cellv1.AddressClaim{Address: d.Address, Account: id[:], Asset: name})
		events[home] = append(events[home], d.Event)
	}
	for home, r := range claims {
		response, err := s.claimIn(ctx, home, r)
		if err != nil {
			return nil, err
		}
		if len(response.GetTaken()) != len(events[home]) {
			return nil, fmt.Errorf("cell %d answered %d claims with %d answers", home, len(events[home]), len(response.GetTaken()))
		}
		for k, i := range events[home] {
			if response.GetTaken()[k] {
				refused[i] = journal.AccountAddressTaken
			}
		}
	}
	refuseLinked(c.batch.Accounts, refused)
	return refused, nil
}

func (s *Server) claimIn(ctx context.Context, home uint64, r *cellv1.ClaimRequest) (*cellv1.ClaimResponse, error) {
	if home == s.config.CellNumber {
		return s.claim(ctx, *nodePrincipal(), r)
	}
	peer, err := s.config.Cells.Network.To(home)
	if err != nil {
		return nil, err
	}
	response, err := peer.Claim(ctx, r)
	if err != nil {
		return nil, faultOf(ctx, home, err)
	}
	return response, nil
}

// refuseLinked refuses all of a chain of which one is refused.
func refuseLinked(accounts []journal.Account, refused []journal.Status) {
	for first := 0; first < len(accounts); {
		end := first
		for end < len(accounts)-1 && accounts[end].Flags.Has(journal.AccountLinked) {
			end++
		}
		var broken bool
		for i := first; i <= end; i++ {
			broken = broken || refused[i] != 0
		}
		for i := first; broken && i <= end; i++ {
			if refused[i] == 0 {
				refused[i] = journal.AccountLinkedEventFailed
			}
		}
		first = end + 1
	}
}

// accountsThere has another cell open accounts.
func (s *Server) accountsThere(ctx context.Context, c *call, to uint64, places []int, results []journal.Result) error {
	names, fresh := c.assets, map[int]string{}
	for _, u := range c.batch.Unregistered {
		fresh[u.Event] = u.Asset.String()
	}
	request := &ledgerv1.CreateAccountsRequest{}
	for _, i := range places {
		m := accountMessage(&c.batch.Accounts[i], names)
		if name, ok := fresh[i]; ok {
			m.Asset = name
		}
		m.Flags = nil
		for bit := journal.AccountFlags(1); bit != 0; bit <<= 1 {
			if c.batch.Accounts[i].Flags.Has(bit) {
				m.Flags = append(m.Flags, ledgerv1.AccountFlag(bit))
			}
		}
		request.Accounts = append(request.Accounts, m)
	}
	for _, d := range partDetails(c.batch.Details, places) {
		request.Accounts[d.Event].Address, request.Accounts[d.Event].Metadata = d.Address, d.Metadata
	}
	response := &ledgerv1.CreateAccountsResponse{}
	if err := s.forwardTo(ctx, to, &c.principal, c.visitor.requestID, ledgerv1connect.LedgerServiceCreateAccountsProcedure, request, response); err != nil {
		return err
	}
	if len(response.GetResults()) != len(places) {
		return fmt.Errorf("cell %d answered %d accounts with %d results", to, len(places), len(response.GetResults()))
	}
	for k, r := range response.GetResults() {
		results[places[k]] = journal.Result{Status: journal.Status(r.GetStatus()), Timestamp: r.GetTimestamp()} //nolint:gosec // one of ours
	}
	return nil
}

// hasAddress tells whether an account of the batch asks for an address.
func hasAddress(b *codec.Batch) bool {
	for i := range b.Details {
		if b.Details[i].Address != "" {
			return true
		}
	}
	return false
}

// accountsFromCells completes a look-up of accounts, of which own were found in this cell, by those of other cells.
func (s *Server) accountsFromCells(ctx context.Context, c *call) error {
	missing := map[uint64][]money.U128{}
	for _, id := range c.batch.IDs {
		if home := s.config.Cells.Router.Home(id); home != s.config.CellNumber {
			missing[home] = append(missing[home], id)
		}
	}
	if len(missing) > 0 && c.forwarded {
		return cell.ErrMoved // this node, or the one that forwarded, has an old map
	}
	if len(missing) == 0 {
		return nil
	}
	cells := make([]uint64, 0, len(missing))
	for id := range missing {
		cells = append(cells, id)
	}
	answers := make([][]*ledgerv1.Account, len(cells))
	order := map[uint64]int{}
	for i, id := range cells {
		order[id] = i
	}
	err := together(cells, func(id uint64) (err error) {
		answers[order[id]], err = s.accountsIn(ctx, id, &c.principal, missing[id])
		return err
	})
	if err != nil {
		return err
	}
	type found struct {
		record  journal.Account
		details *codec.Details
	}
	all := map[money.U128]found{}
	for i := range c.reply.Accounts {
		all[c.reply.Accounts[i].ID] = found{record: c.reply.Accounts[i]}
	}
	for i := range c.reply.Details {
		d := &c.reply.Details[i]
		id := c.reply.Accounts[d.Event].ID
		all[id] = found{all[id].record, d}
	}
	for _, list := range answers {
		for _, m := range list {
			record, err := s.accountRecord(ctx, m)
			if err != nil {
				return err
			}
			all[record.ID] = found{record, &codec.Details{Address: m.GetAddress(), Metadata: m.GetMetadata()}}
		}
	}
	c.reply.Accounts, c.reply.Details = nil, nil
	for _, id := range c.batch.IDs {
		f, ok := all[id]
		if !ok {
			continue
		}
		if f.details != nil {
			d := *f.details
			d.Event = len(c.reply.Accounts)
			c.reply.Details = append(c.reply.Details, d)
		}
		c.reply.Accounts = append(c.reply.Accounts, f.record)
	}
	c.assets = s.assetTable()
	return nil
}

// accountRecord reads an account of another cell.
func (s *Server) accountRecord(ctx context.Context, m *ledgerv1.Account) (a journal.Account, err error) {
	for _, f := range []struct {
		to   *money.U128
		text string
	}{
		{&a.ID, m.GetId()},
		{&a.DebitsPending, m.GetDebitsPending()},
		{&a.DebitsPosted, m.GetDebitsPosted()},
		{&a.CreditsPending, m.GetCreditsPending()},
		{&a.CreditsPosted, m.GetCreditsPosted()},
		{&a.UserData128, m.GetUserData_128()},
	} {
		if *f.to, err = readU128("account", f.text); err != nil {
			return a, err
		}
	}
	a.UserData64, a.UserData32, a.Code, a.Timestamp = m.GetUserData_64(), m.GetUserData_32(), uint16(m.GetCode()), m.GetTimestamp() //nolint:gosec // 16 bits
	for _, f := range m.GetFlags() {
		a.Flags |= journal.AccountFlags(f) //nolint:gosec // 16 bits
	}
	a.Asset, err = s.numberOf(ctx, m.GetAsset())
	return a, err
}

// transfersFromCells completes a look-up of transfers by those that only other cells know.
func (s *Server) transfersFromCells(ctx context.Context, c *call) error {
	have := map[money.U128]bool{}
	for i := range c.reply.Transfers {
		have[c.reply.Transfers[i].ID] = true
	}
	var missing []money.U128
	for _, id := range c.batch.IDs {
		if !have[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 || c.forwarded {
		return nil
	}
	others := s.others()
	answers, order := make([][]*ledgerv1.Transfer, len(others)), map[uint64]int{}
	for i, id := range others {
		order[id] = i
	}
	err := together(others, func(id uint64) (err error) {
		answers[order[id]], err = s.transfersIn(ctx, id, &c.principal, missing)
		return err
	})
	if err != nil {
		return err
	}
	names := s.assetTable()
	byID := map[string]*ledgerv1.Transfer{}
	for i := range c.reply.Transfers {
		byID[c.reply.Transfers[i].ID.String()] = transferMessage(&c.reply.Transfers[i], names)
	}
	for _, d := range c.reply.Details {
		m := byID[c.reply.Transfers[d.Event].ID.String()]
		m.BookingDate, m.Metadata = d.BookingDate, d.Metadata
	}
	for _, list := range answers {
		for _, m := range list {
			if byID[m.GetId()] != nil {
				continue
			}
			if _, err := s.numberOf(ctx, m.GetAsset()); err != nil {
				return err
			}
			byID[m.GetId()] = m
		}
	}
	var list []*ledgerv1.Transfer
	for _, id := range c.batch.IDs {
		if m := byID[id.String()]; m != nil {
			list = append(list, m)
		}
	}
	var b codec.Batch
	if err := s.readTransfers(&b, list, "transfers"); err != nil {
		return fmt.Errorf("read transfers of other cells: %w", err)
	}
	c.reply.Transfers, c.reply.Details, c.assets = b.Transfers, b.Details, s.assetTable()
	return nil
}

// mayPropose refuses accounts of other cells in a proposal, which is decided by the cell that was asked, and claims the
// addresses of the others: from then on, whatever is decided.
func (s *Server) mayPropose(ctx context.Context, c *call) error {
	if s.config.Cells == nil {
		return nil
	}
	for i := range c.batch.Accounts {
		if !s.config.Cells.Router.Owns(c.batch.Accounts[i].ID) {
			return crossRefused(&router.RefusedError{Event: i, Reason: "it is of another cell: propose it to a node of that one"}, "accounts.accounts")
		}
	}
	refused, err := s.claimAddresses(ctx, c)
	for i, status := range refused {
		if err == nil && status == journal.AccountAddressTaken {
			err = malformed(fmt.Sprintf("accounts.accounts[%d].address", i), "another account has it")
		}
	}
	return err
}
