package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func readToken(text string) (id journal.Actor, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return id, malformed("token", "want the token's id, 32 hexadecimal digits")
	}
	return journal.Actor(raw), nil
}

func readPrincipal(r *ledgerv1.Principal) (*cell.Request, error) {
	role, err := auth.ParseRole(r.GetRole())
	if err != nil {
		return nil, malformed("principal.role", err.Error())
	}
	record := journal.Principal{Role: uint8(role), Expires: r.GetExpires()}
	if record.Token, err = readToken(r.GetToken()); err != nil {
		return nil, err
	}
	if len(r.GetSecretHash()) != len(record.Secret) {
		return nil, malformed("principal.secretHash", "want the SHA-256 of the token's secret, 32 bytes")
	}
	copy(record.Secret[:], r.GetSecretHash())
	if err := readReason(&record.Name, r.GetName()); err != nil {
		return nil, malformed("principal.name", "want up to 64 bytes of UTF-8 text")
	}
	d := journal.Details{Assets: slices.Sorted(slices.Values(r.GetAssets())), Prefixes: slices.Sorted(slices.Values(r.GetAddressPrefixes())), Rate: r.GetRate()}
	d.Assets, d.Prefixes = slices.Compact(d.Assets), slices.Compact(d.Prefixes)
	if err := d.Check(); err != nil {
		return nil, malformed("principal", err.Error())
	}
	request := &cell.Request{Kind: journal.KindPrincipals, Events: journal.Bytes([]journal.Principal{record})}
	if !d.Empty() {
		request.Attachments = []journal.Attachment{{Data: d.Append(nil)}}
	}
	return request, nil
}

func principalMessage(p *journal.Principal, scope []byte) (*ledgerv1.Principal, error) {
	d, err := journal.DecodeDetails(scope)
	if err != nil {
		return nil, fmt.Errorf("scope of token %x: %w", p.Token, err)
	}
	m := &ledgerv1.Principal{
		Token: hex.EncodeToString(p.Token[:]), SecretHash: p.Secret[:], Expires: p.Expires, Name: text(p.Name),
		Assets: d.Assets, AddressPrefixes: d.Prefixes, Rate: d.Rate,
	}
	if p.Role != 0 {
		m.Role = auth.Role(p.Role).String()
	}
	return m, nil
}

func (s *Server) listPrincipals(ctx context.Context, _ auth.Principal, _ *ledgerv1.ListPrincipalsRequest) (*ledgerv1.ListPrincipalsResponse, error) {
	var list []ledger.Principal
	if err := s.config.Cell.Read(ctx, func(st *ledger.State) { list = st.Principals() }); err != nil {
		return nil, err
	}
	response := &ledgerv1.ListPrincipalsResponse{Position: s.position(s.config.Cell.Head())}
	for i := range list {
		if list[i].Role == 0 {
			continue
		}
		m, err := principalMessage(&list[i].Principal, list[i].Scope)
		if err != nil {
			return nil, err
		}
		m.SecretHash = nil // nobody needs it
		response.Principals = append(response.Principals, m)
	}
	return response, nil
}

func (s *Server) revokePrincipal(ctx context.Context, p auth.Principal, r *ledgerv1.RevokePrincipalRequest) (*ledgerv1.RevokePrincipalResponse, error) {
	if p.Role != auth.RoleAdmin {
		return nil, roleRefused(p, "RevokePrincipal")
	}
	record := journal.Principal{}
	var err error
	if record.Token, err = readToken(r.GetToken()); err != nil {
		return nil, err
	}
	if err := readReason(&record.Name, r.GetName()); err != nil {
		return nil, malformed("name", "want up to 64 bytes of UTF-8 text")
	}
	done, err := s.control(ctx, p, journal.KindPrincipals, journal.Bytes([]journal.Principal{record}))
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.RevokePrincipalResponse{
		Status: ledgerv1.ControlStatus(done.Results[0].Status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}
	return response, s.principalsChanged(ctx)
}

// principalsChanged hands the journaled rights to whoever verifies tokens. The change itself is durable: that the node has
// stood down since is no fault of the call, and a node that follows gets the rights as it follows.
func (s *Server) principalsChanged(ctx context.Context) error {
	if s.config.Principals == nil {
		return nil
	}
	var list []ledger.Principal
	err := s.config.Cell.Read(ctx, func(st *ledger.State) { list = st.Principals() })
	if errors.Is(err, cell.ErrNotLeader) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.config.Principals(list)
}
