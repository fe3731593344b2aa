package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// isAddress tells an address from an id: it has a letter or a colon.
func isAddress(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r == ':' || unicode.IsLetter(r) })
}

// checkAccount reads what names an account, as far as that goes without asking the ledger.
func checkAccount(what, text string) error {
	if !isAddress(text) {
		_, err := parseID(what, text)
		return err
	}
	if err := journal.CheckAddress(text); err != nil {
		return usage("%s: %w", what, err)
	}
	return nil
}

// account returns the id of an account that is named by its id or its address; "" stays "".
func (s *session) account(ctx context.Context, what, text string) (string, error) {
	ids, err := s.accounts(ctx, what, []string{text})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// accounts returns the ids of accounts, in order. The ledger is asked only if there are addresses among the names.
func (s *session) accounts(ctx context.Context, what string, names []string) ([]string, error) {
	known := map[string]string{"": ""}
	var addresses []string
	for _, name := range names {
		if _, seen := known[name]; seen {
			continue
		}
		if err := checkAccount(what, name); err != nil {
			return nil, err
		}
		if isAddress(name) {
			addresses = append(addresses, name)
			known[name] = ""
			continue
		}
		known[name], _ = parseID(what, name) // checked above
	}
	for chunk := range slices.Chunk(addresses, client.MaxEvents) {
		if err := s.lookUp(ctx, chunk, known); err != nil {
			return nil, err
		}
	}
	ids := make([]string, len(names))
	for i, name := range names {
		ids[i] = known[name]
	}
	return ids, nil
}

// lookUp puts the ids of addresses into known. All of them have to be there.
func (s *session) lookUp(ctx context.Context, addresses []string, known map[string]string) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.LookupAddresses(ctx, &ledgerv1.LookupAddressesRequest{Addresses: addresses})
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, a := range response.GetAccounts() {
		known[a.GetAddress()], found[a.GetAddress()] = a.GetId(), true
	}
	return missing("account", addresses, found)
}

// settleAccounts puts ids in the place of addresses in transfers; where names them in errors.
func (s *session) settleAccounts(ctx context.Context, transfers []*ledgerv1.Transfer) error {
	names := make([]string, 0, 2*len(transfers))
	for _, t := range transfers {
		for _, side := range []*string{&t.DebitAccountId, &t.CreditAccountId} {
			if isAddress(*side) {
				names = append(names, *side)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	ids, err := s.accounts(ctx, "account", names)
	if err != nil {
		return err
	}
	for _, t := range transfers {
		for _, side := range []*string{&t.DebitAccountId, &t.CreditAccountId} {
			if isAddress(*side) {
				*side, ids = ids[0], ids[1:]
			}
		}
	}
	return nil
}

// printTransfers prints transfers, in a table with the addresses of their accounts where they have one.
func (s *session) printTransfers(ctx context.Context, m proto.Message, list []*ledgerv1.Transfer) error {
	if s.flags.output == "json" {
		return s.printJSON(m)
	}
	names, err := s.addressesOf(ctx, list)
	if err != nil {
		return err
	}
	return s.print(m, transferHead, transferRows(list, names))
}

// addressesOf returns the addresses of all accounts of transfers, by their ids.
func (s *session) addressesOf(ctx context.Context, list []*ledgerv1.Transfer) (map[string]string, error) {
	ids := map[string]bool{}
	for _, t := range list {
		ids[t.GetDebitAccountId()], ids[t.GetCreditAccountId()] = true, true
	}
	delete(ids, "")
	names := map[string]string{}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), client.MaxEvents) {
		if err := s.addressesOfIDs(ctx, chunk, names); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func (s *session) addressesOfIDs(ctx context.Context, ids []string, names map[string]string) error {
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.LookupAccounts(ctx, &ledgerv1.LookupAccountsRequest{Ids: ids})
	if err != nil {
		return fmt.Errorf("look up %d accounts: %w", len(ids), err)
	}
	for _, a := range response.GetAccounts() {
		if a.GetAddress() != "" {
			names[a.GetId()] = a.GetAddress()
		}
	}
	return nil
}

// called is an account's address, or else its id.
func called(id string, names map[string]string) string {
	if name, ok := names[id]; ok {
		return name
	}
	return dash(id)
}
