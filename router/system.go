package router

import (
	"context"
	"fmt"
	"sync"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/transit"
)

// Recorder has requests recorded in the cell. [cell.Cell] is one.
type Recorder interface {
	Do(ctx context.Context, r *cell.Request) error
}

// pair names the accounts of one asset towards one peer.
type pair struct {
	asset money.Asset
	peer  uint64
}

// system opens the cell's own accounts when they are first needed, and remembers which are there.
type system struct {
	mu    sync.Mutex
	there map[pair]bool
}

// ensure opens what is missing of the accounts of these assets and peers. number tells an asset's number in the cell.
func (s *system) ensure(ctx context.Context, cell Recorder, number func(money.Asset) uint32, pairs []pair) error {
	s.mu.Lock()
	missing := map[pair]bool{}
	for _, p := range pairs {
		if !s.there[p] && number(p.asset) != 0 {
			missing[p] = true
		}
	}
	s.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	var accounts []journal.Account
	for p := range missing {
		accounts = append(accounts, transit.Accounts(p.asset, number(p.asset), p.peer)...)
	}
	if err := open(ctx, cell, accounts); err != nil {
		return fmt.Errorf("open the accounts of transfers to other cells: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.there == nil {
		s.there = map[pair]bool{}
	}
	for p := range missing {
		s.there[p] = true
	}
	return nil
}

// OpenClearing opens a cell's own accounts of an asset for what moves to and from another cell; they may be there already.
func OpenClearing(ctx context.Context, in Recorder, asset money.Asset, number uint32, peer uint64) error {
	return open(ctx, in, transit.Accounts(asset, number, peer))
}

// open opens accounts of the cell's own; those that exist stay as they are.
func open(ctx context.Context, in Recorder, accounts []journal.Account) error {
	r := &cell.Request{
		Kind: journal.KindAccounts, Actor: driverActor, Events: journal.Bytes(accounts), Results: make([]journal.Result, len(accounts)),
	}
	if err := in.Do(ctx, r); err != nil {
		return err
	}
	for i, result := range r.Results {
		if result.Status != journal.AccountCreated && result.Status != journal.AccountExists {
			return fmt.Errorf("account %v: status %d", accounts[i].ID, result.Status)
		}
	}
	return nil
}
