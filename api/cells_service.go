package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1/cellv1connect"
	"github.com/sterlingrun/sterling/router"
)

// cellMethods are what nodes of other cells call; none without a secret.
func (s *Server) cellMethods() []*method {
	if s.config.Cells == nil {
		return nil
	}
	return []*method{
		{path: cellv1connect.CellServiceSubmitProcedure, between: true, permission: auth.Write, cold: unrouted((*Server).submit)},
		{path: cellv1connect.CellServiceForwardProcedure, between: true, permission: auth.Write, cold: unrouted((*Server).forward)},
		{path: cellv1connect.CellServiceDescribeProcedure, between: true, permission: auth.Read, cold: unrouted((*Server).describe)},
		{path: cellv1connect.CellServiceClaimProcedure, between: true, permission: auth.Write, cold: unrouted((*Server).claim)},
		{path: cellv1connect.CellServiceCatalogueProcedure, between: true, permission: auth.Write, cold: unrouted((*Server).catalogue)},
		{path: cellv1connect.CellServiceRecordProcedure, between: true, permission: auth.Write, cold: unrouted((*Server).record)},
		{path: cellv1connect.CellServiceBucketsProcedure, between: true, permission: auth.Read, cold: unrouted((*Server).buckets)},
	}
}

// openCells makes the server one of a ledger of several cells.
func (s *Server) openCells() error {
	cells := s.config.Cells
	if cells == nil {
		return nil
	}
	if cells.Token == "" {
		return errors.New("cells: nodes need a secret to know each other by")
	}
	cells.host = &router.Host{
		Cell: s.config.CellNumber, Local: s.config.Cell, Assets: s.config.Cell.Assets, Register: s.knowAssets, Owns: cells.Router.Owns,
		Arrived: func(ctx context.Context) error { return cells.Driver.Rescan(ctx) },
	}
	s.config.Accounts = everywhere{s, s.config.Accounts}
	return nil
}

// admitNode knows nodes of the ledger by their secret. How long it takes does not tell how much of a token was right.
func (s *Server) admitNode(v *visitor) (auth.Principal, error) {
	token, _ := auth.Bearer(v.authorization)
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.config.Cells.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return auth.Principal{}, tokenRefused("this is for nodes of the ledger's cells, which know a secret")
	}
	if err := s.admitPeer(v.origin); err != nil {
		return auth.Principal{}, err
	}
	p := *nodePrincipal()
	if err := s.judgeColor(v.shadow, &p); err != nil {
		return p, err
	}
	if s.config.Leads != nil {
		return p, s.config.Leads()
	}
	return p, nil
}

func (s *Server) submit(ctx context.Context, _ auth.Principal, r *cellv1.SubmitRequest) (*cellv1.SubmitResponse, error) {
	if err := s.speaksFor(ctx, r.GetHome()); err != nil {
		return nil, err
	}
	steps, err := router.ReadSteps(r)
	var statuses []journal.Status
	if err == nil {
		statuses, err = s.config.Cells.host.Accept(ctx, steps)
	}
	if errors.Is(err, router.ErrStep) {
		return nil, malformed("steps", err.Error())
	}
	if isMoving(err) { // or this node's map is old; the caller tries again
		return nil, errors.Join(err, s.config.Cells.refresh(ctx, 0))
	}
	response := &cellv1.SubmitResponse{Statuses: make([]uint32, len(statuses))}
	for i := range statuses {
		response.Statuses[i] = uint32(statuses[i])
	}
	return response, err
}

const idBytes = 16

func (s *Server) describe(ctx context.Context, _ auth.Principal, r *cellv1.DescribeRequest) (*cellv1.DescribeResponse, error) {
	b := r.GetAccounts()
	if len(b)%idBytes != 0 || len(b)/idBytes > 2*MaxEvents {
		return nil, malformed("accounts", fmt.Sprintf("%d bytes: want ids of 16, and %d at most", len(b), 2*MaxEvents))
	}
	ids := make([]money.U128, len(b)/idBytes)
	for i := range ids {
		ids[i] = money.LE(b[idBytes*i:])
	}
	list, err := s.config.Accounts.(everywhere).local.Describe(ctx, ids)
	if err != nil {
		return nil, err
	}
	response, names := &cellv1.DescribeResponse{}, s.assetTable()
	for _, a := range list {
		response.Accounts = append(response.Accounts, &cellv1.Description{Found: a.Found, Asset: names.Name(a.Asset), Address: a.Address})
	}
	return response, nil
}

// describedBy has another cell describe its accounts.
func (s *Server) describedBy(ctx context.Context, in uint64, ids []money.U128) ([]AccountScope, error) {
	peer, err := s.config.Cells.Network.To(in)
	if err != nil {
		return nil, err
	}
	b := make([]byte, idBytes*len(ids))
	for i, id := range ids {
		id.PutLE(b[idBytes*i:])
	}
	response, err := peer.Describe(ctx, &cellv1.DescribeRequest{Accounts: b})
	if err != nil {
		return nil, faultOf(ctx, in, err)
	}
	list := make([]AccountScope, len(response.GetAccounts()))
	for i, a := range response.GetAccounts() {
		list[i].Found, list[i].Address = a.GetFound(), a.GetAddress()
		if !a.GetFound() {
			continue
		}
		if list[i].Asset, err = s.numberOf(ctx, a.GetAsset()); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// numberOf is the number of another cell's asset: that is the same in all cells.
func (s *Server) numberOf(ctx context.Context, name string) (uint32, error) {
	if n, ok := s.assetTable().Number(name); ok {
		return n, nil
	}
	a, err := money.ParseAsset(name)
	if err == nil {
		err = s.knowAssets(ctx, []money.Asset{a})
	}
	n, _ := s.assetTable().Number(name)
	return n, err
}

// catalogueCell is the cell that numbers the assets of all: the one with the lowest id.
func (s *Server) catalogueCell() uint64 { return s.config.Cells.Router.Map().Cells[0].ID }

// knowAssets makes sure that the cell has the assets, under the numbers that they have in all cells: new ones are numbered
// by one cell, whose catalogue the others copy in its order.
func (s *Server) knowAssets(ctx context.Context, assets []money.Asset) error {
	if s.catalogueCell() == s.config.CellNumber {
		if len(assets) == 0 {
			return nil
		}
		_, err := s.recordAssets(ctx, journal.Actor{}, assets)
		return err
	}
	peer, err := s.config.Cells.Network.To(s.catalogueCell())
	if err != nil {
		return err
	}
	r := &cellv1.CatalogueRequest{}
	for _, a := range assets {
		r.Register = append(r.Register, a.String())
	}
	response, err := peer.Catalogue(ctx, r)
	if err != nil {
		return faultOf(ctx, s.catalogueCell(), err)
	}
	own := s.config.Cell.Assets()
	var missing []money.Asset
	for i, name := range response.GetAssets() {
		a, err := money.ParseAsset(name)
		if err != nil {
			return fmt.Errorf("the catalogue of cell %d: asset %d: %w", s.catalogueCell(), i+1, err)
		}
		if was, ok := own.Asset(uint32(i + 1)); ok && was != a {
			return fmt.Errorf("%w: asset %d is %v in this cell and %v in cell %d", cell.ErrDamaged, i+1, was, a, s.catalogueCell())
		} else if !ok {
			missing = append(missing, a)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = s.recordAssets(ctx, journal.Actor{}, missing)
	return err
}

func (s *Server) catalogue(ctx context.Context, _ auth.Principal, r *cellv1.CatalogueRequest) (*cellv1.CatalogueResponse, error) {
	if s.catalogueCell() != s.config.CellNumber || len(r.GetRegister()) > MaxEvents {
		return nil, malformed("register", "this is not the cell that numbers assets, or too many of them")
	}
	var fresh []money.Asset
	for _, name := range r.GetRegister() {
		a, err := money.ParseAsset(name)
		if err != nil {
			return nil, malformed("register", err.Error())
		}
		if s.config.Cell.Assets().Number(a) == 0 {
			fresh = append(fresh, a)
		}
	}
	if len(fresh) > 0 {
		if _, err := s.recordAssets(ctx, journal.Actor{}, fresh); err != nil {
			return nil, err
		}
	}
	response, all := &cellv1.CatalogueResponse{}, s.config.Cell.Assets()
	for n := 1; n <= all.Len(); n++ {
		a, _ := all.Asset(uint32(n))
		response.Assets = append(response.Assets, a.String())
	}
	return response, nil
}

// claim takes addresses that lead to this cell.
func (s *Server) claim(ctx context.Context, _ auth.Principal, r *cellv1.ClaimRequest) (*cellv1.ClaimResponse, error) {
	if len(r.GetClaims()) > MaxEvents {
		return nil, malformed("claims", fmt.Sprintf("more than %d in one call", MaxEvents))
	}
	list := make([]router.Claim, len(r.GetClaims()))
	for i, c := range r.GetClaims() {
		if err := journal.CheckAddress(c.GetAddress()); err != nil || len(c.GetAccount()) != idBytes {
			return nil, malformed(fmt.Sprintf("claims[%d]", i), "want an address and an account's id of 16 bytes")
		}
		n, err := s.numberOf(ctx, c.GetAsset())
		if err != nil {
			return nil, err
		}
		list[i] = router.Claim{Address: c.GetAddress(), Account: money.LE(c.GetAccount()), Asset: n}
	}
	taken, err := router.ClaimAddresses(ctx, s.config.Cell, list)
	return &cellv1.ClaimResponse{Taken: taken}, err
}

// permit says whether the role and the scope of a caller let it call a method.
func permit(m *method, p *auth.Principal) error {
	if !p.Role.Allows(m.permission) {
		return roleRefused(*p, m.name)
	}
	if p.Scope != nil && !m.scoped {
		return scopeRefused("", "token "+quoted(p.Name)+" has a scope, and "+m.name+" takes one without: it is not about single accounts")
	}
	return nil
}
