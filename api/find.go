package api

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/index"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// accountsOf returns accounts by number, with their details.
func (s *Server) accountsOf(ctx context.Context, numbers []uint32) ([]*ledgerv1.Account, error) {
	accounts, err := s.config.Cell.AccountsByNumber(ctx, numbers)
	if err != nil {
		return nil, err
	}
	return s.accountMessages(ctx, accounts)
}

func (s *Server) listAccountsByAddress(ctx context.Context, p auth.Principal, r *ledgerv1.ListAccountsByAddressRequest) (*ledgerv1.ListAccountsByAddressResponse, error) {
	limit, err := pageRows("limit", r.GetLimit(), MaxEvents)
	if err != nil {
		return nil, err
	}
	after, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
	if err != nil {
		return nil, malformed("pageToken", "is none of this call's")
	}
	at, err := s.reach(ctx, r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	found, err := s.config.Queries.Addresses(ctx, r.GetPrefix(), string(after), limit)
	if err != nil {
		return nil, err
	}
	numbers := make([]uint32, len(found))
	for i := range found {
		numbers[i] = found[i].Number
	}
	response := &ledgerv1.ListAccountsByAddressResponse{Position: at}
	if response.Accounts, err = s.accountsOf(ctx, numbers); err != nil {
		return nil, err
	}
	response.Accounts = slices.DeleteFunc(response.Accounts, func(a *ledgerv1.Account) bool {
		return p.Scope != nil && !(p.Scope.HasAsset(a.GetAsset()) && p.Scope.HasAddress(a.GetAddress()))
	})
	if len(found) == limit {
		response.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(found[limit-1].Address))
	}
	return response, nil
}

func readMetaQuery(r *ledgerv1.QueryByMetadataRequest) (f index.MetaQuery, err error) {
	if f.Limit, err = pageRows("limit", r.GetLimit(), MaxEvents); err != nil {
		return f, err
	}
	if n := len(r.GetConditions()); n < 1 || n > index.MaxConditions {
		return f, malformed("conditions", fmt.Sprintf("want 1 to %d", index.MaxConditions))
	}
	for i, c := range r.GetConditions() {
		field := fmt.Sprintf("conditions[%d]", i)
		m := journal.Meta{Key: c.GetKey()}
		if c.GetValue() != nil {
			if m, err = readMeta(c.GetKey(), c.GetValue(), field+".value"); err != nil {
				return f, err
			}
			if m.Type == journal.MetaPersonal {
				return f, malformed(field+".value", "a personal value is not found; leave the value out to look for its key")
			}
		}
		if m.Key == "" || len(m.Key) > journal.MaxMetaKey {
			return f, malformed(field+".key", fmt.Sprintf("want 1 to %d bytes", journal.MaxMetaKey))
		}
		f.Conditions = append(f.Conditions, index.MetaCondition(m))
	}
	if r.GetPageToken() != "" {
		n, err := readPage(r.GetPageToken())
		if err != nil {
			return f, err
		}
		f.From = journal.Position(n[0])
	}
	return f, nil
}

func (s *Server) queryByMetadata(ctx context.Context, _ auth.Principal, r *ledgerv1.QueryByMetadataRequest) (*ledgerv1.QueryByMetadataResponse, error) {
	f, err := readMetaQuery(r)
	if err != nil {
		return nil, err
	}
	at, err := s.reach(ctx, r.GetMinPosition())
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.QueryByMetadataResponse{Position: at}
	var next journal.Position
	switch r.GetTarget() {
	case ledgerv1.MetadataTarget_METADATA_TARGET_ACCOUNTS:
		response.Accounts, next, err = s.accountsByMetadata(ctx, f)
	case ledgerv1.MetadataTarget_METADATA_TARGET_TRANSFERS:
		var rows []ledger.Transfer
		if rows, next, err = s.config.Queries.TransfersByMetadata(ctx, f); err == nil {
			response.Transfers, err = s.transferMessages(rows)
		}
	default:
		err = malformed("target", "want METADATA_TARGET_ACCOUNTS or METADATA_TARGET_TRANSFERS")
	}
	if err != nil {
		return nil, err
	}
	if next != 0 {
		response.NextPageToken = writePage(uint64(next))
	}
	return response, nil
}

// accountsByMetadata leaves out what an account was given once and has no more.
func (s *Server) accountsByMetadata(ctx context.Context, f index.MetaQuery) ([]*ledgerv1.Account, journal.Position, error) {
	found, next, err := s.config.Queries.AccountsByMetadata(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	var numbers []uint32
	err = s.config.Cell.Read(ctx, func(st *ledger.State) {
		numbers = numbers[:0]
		for _, m := range found {
			if st.Metadata(m.Number) == m.Position {
				numbers = append(numbers, m.Number)
			}
		}
	})
	if err != nil {
		return nil, 0, err
	}
	list, err := s.accountsOf(ctx, numbers)
	return list, next, err
}
