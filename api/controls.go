package api

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// control sends control records to the cell.
func (s *Server) control(ctx context.Context, p auth.Principal, kind journal.Kind, records []byte) (*cell.Request, error) {
	r := &cell.Request{
		Kind: kind, Actor: p.ID, Events: records,
		Results: make([]journal.Result, len(records)/journal.RecordSize),
	}
	if err := s.config.Cell.Do(ctx, r); err != nil {
		return nil, err
	}
	return r, nil
}

func readReason(dst *[journal.MaxReason]byte, text string) error {
	if len(text) > len(dst) || !utf8.ValidString(text) || bytes.IndexByte([]byte(text), 0) >= 0 {
		return malformed("reason", fmt.Sprintf("want up to %d bytes of UTF-8 text", len(dst)))
	}
	copy(dst[:], text)
	return nil
}

func (s *Server) freeze(ctx context.Context, p auth.Principal, r *ledgerv1.FreezeRequest) (*ledgerv1.FreezeResponse, error) {
	id, err := readU128("id", r.GetId())
	if err != nil {
		return nil, err
	}
	f := journal.Freeze{ID: id}
	if f.Mode, err = readSide("mode", int32(r.GetMode()), journal.FreezeAll); err != nil {
		return nil, err
	}
	switch by := r.GetSelector().(type) {
	case *ledgerv1.FreezeRequest_AccountId:
		f.Selector = journal.SelectAccount
		if f.Account, err = readU128("accountId", by.AccountId); err != nil {
			return nil, err
		}
	case *ledgerv1.FreezeRequest_TransferCode:
		f.Selector = journal.SelectCode
		if f.Code, err = readCode("transferCode", by.TransferCode); err != nil {
			return nil, err
		}
	case *ledgerv1.FreezeRequest_WholeCell:
		if by.WholeCell {
			f.Selector = journal.SelectCell
		}
	}
	if err := readReason(&f.Reason, r.GetReason()); err != nil {
		return nil, err
	}
	done, err := s.control(ctx, p, journal.KindFreeze, journal.Bytes([]journal.Freeze{f}))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.FreezeResponse{
		Status: ledgerv1.ControlStatus(done.Results[0].Status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}, nil
}

// readSide checks an enum's number; zero is left to the ledger's statuses.
func readSide(field string, number int32, largest journal.FreezeMode) (journal.FreezeMode, error) {
	if number < 0 || number > int32(largest) {
		return 0, malformed(field, fmt.Sprintf("%d is unknown", number))
	}
	return journal.FreezeMode(number), nil //nolint:gosec // checked
}

func readUnfreeze(r *ledgerv1.UnfreezeRequest) (u journal.Unfreeze, err error) {
	if u.ID, err = readU128("id", r.GetId()); err != nil {
		return u, err
	}
	if u.FreezeID, err = readU128("freezeId", r.GetFreezeId()); err != nil {
		return u, err
	}
	return u, readReason(&u.Reason, r.GetReason())
}

func (s *Server) unfreeze(ctx context.Context, p auth.Principal, r *ledgerv1.UnfreezeRequest) (*ledgerv1.UnfreezeResponse, error) {
	u, err := readUnfreeze(r)
	if err != nil {
		return nil, err
	}
	done, err := s.control(ctx, p, journal.KindUnfreeze, journal.Bytes([]journal.Unfreeze{u}))
	if err != nil {
		return nil, err
	}
	return &ledgerv1.UnfreezeResponse{
		Status: ledgerv1.ControlStatus(done.Results[0].Status), Timestamp: done.Results[0].Timestamp, Position: s.position(done.Seq),
	}, nil
}

func (s *Server) listFreezes(ctx context.Context, p auth.Principal, _ *ledgerv1.ListFreezesRequest) (*ledgerv1.ListFreezesResponse, error) {
	list, err := s.config.Cell.Freezes(ctx, true)
	if err == nil {
		list, err = s.scopeFreezes(ctx, p.Scope, list)
	}
	if err != nil {
		return nil, err
	}
	response := &ledgerv1.ListFreezesResponse{Position: s.position(s.config.Cell.Head())}
	for i := range list {
		response.Freezes = append(response.Freezes, feed.FreezeMessage(&list[i].Freeze, list[i].Timestamp, hex.EncodeToString(list[i].Actor[:])))
	}
	return response, nil
}

func (s *Server) setVelocityLimits(ctx context.Context, p auth.Principal, r *ledgerv1.SetVelocityLimitsRequest) (*ledgerv1.SetVelocityLimitsResponse, error) {
	if len(r.GetLimits()) > MaxEvents {
		return nil, malformed("limits", fmt.Sprintf("more than %d in one call", MaxEvents))
	}
	response := &ledgerv1.SetVelocityLimitsResponse{Position: s.position(s.config.Cell.Head())}
	records := make([]journal.Limit, len(r.GetLimits()))
	for i, l := range r.GetLimits() {
		if err := readLimit(&records[i], l, fmt.Sprintf("limits[%d].", i)); err != nil {
			return nil, err
		}
	}
	if len(records) == 0 {
		return response, nil
	}
	done, err := s.control(ctx, p, journal.KindLimits, journal.Bytes(records))
	if err != nil {
		return nil, err
	}
	for _, result := range done.Results {
		response.Results = append(response.Results, &ledgerv1.ControlResult{
			Status: ledgerv1.ControlStatus(result.Status), Timestamp: result.Timestamp,
		})
	}
	response.Position = s.position(done.Seq)
	return response, nil
}

func readLimit(record *journal.Limit, l *ledgerv1.VelocityLimit, path string) (err error) {
	for _, f := range []struct {
		dst  *money.U128
		name string
		text string
	}{
		{&record.ID, "id", l.GetId()},
		{&record.Account, "accountId", l.GetAccountId()},
		{&record.HourAmount, "amountPerHour", l.GetAmountPerHour()},
		{&record.DayAmount, "amountPerDay", l.GetAmountPerDay()},
	} {
		if *f.dst, err = readU128(path+f.name, f.text); err != nil {
			return err
		}
	}
	record.HourCount, record.DayCount = l.GetCountPerHour(), l.GetCountPerDay()
	record.Side, err = readSide(path+"side", int32(l.GetSide()), journal.FreezeCredit)
	return err
}

func (s *Server) registerAssetsCall(ctx context.Context, p auth.Principal, r *ledgerv1.RegisterAssetsRequest) (*ledgerv1.RegisterAssetsResponse, error) {
	if len(r.GetAssets()) > MaxEvents {
		return nil, malformed("assets", fmt.Sprintf("more than %d in one call", MaxEvents))
	}
	response := &ledgerv1.RegisterAssetsResponse{Position: s.position(s.config.Cell.Head())}
	assets := make([]money.Asset, len(r.GetAssets()))
	for i, name := range r.GetAssets() {
		a, err := money.ParseAsset(name)
		if err != nil {
			return nil, malformed(fmt.Sprintf("assets[%d]", i), err.Error())
		}
		assets[i] = a
	}
	if len(assets) == 0 {
		return response, nil
	}
	seq, err := s.registerAssets(ctx, p.ID, assets)
	if err != nil {
		return nil, err
	}
	catalogue := s.config.Cell.Assets()
	for _, a := range assets {
		response.Assets = append(response.Assets, assetMessage(a, catalogue.Number(a)))
	}
	response.Position = s.position(seq)
	return response, nil
}

func (s *Server) listAssets(ctx context.Context, p auth.Principal, _ *ledgerv1.ListAssetsRequest) (*ledgerv1.ListAssetsResponse, error) {
	seq, err := s.config.Cell.Fresh(ctx)
	if err != nil {
		return nil, err
	}
	catalogue := s.config.Cell.Assets()
	response := &ledgerv1.ListAssetsResponse{Position: s.position(seq)}
	for n := 1; n <= catalogue.Len(); n++ {
		a, _ := catalogue.Asset(uint32(n))
		if p.Scope.HasAsset(a.String()) {
			response.Assets = append(response.Assets, assetMessage(a, uint32(n)))
		}
	}
	return response, nil
}

func assetMessage(a money.Asset, number uint32) *ledgerv1.Asset {
	return &ledgerv1.Asset{Name: a.String(), Number: number, Scale: uint32(a.Scale)}
}
