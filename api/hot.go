package api

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// hot is a method whose bytes are read and written without messages.
type hot struct {
	readWire, readJSON   func(s *Server, c *call, data []byte) error
	run                  func(s *Server, ctx context.Context, c *call) error
	writeWire, writeJSON func(s *Server, c *call, dst []byte) ([]byte, error)
}

func createAccounts() *hot {
	return &hot{
		readWire: func(s *Server, c *call, data []byte) error {
			return s.codec.DecodeAccountsWire(&c.batch, data, c.assets)
		},
		readJSON: func(s *Server, c *call, data []byte) error {
			return s.codec.DecodeAccountsJSON(&c.batch, data, c.assets)
		},
		run:       (*Server).createAccounts,
		writeWire: writeResults,
		writeJSON: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendAccountResultsJSON(dst, &c.reply), nil
		},
	}
}

func createTransfers() *hot {
	return &hot{
		readWire: func(s *Server, c *call, data []byte) error {
			return s.codec.DecodeTransfersWire(&c.batch, data, c.assets)
		},
		readJSON: func(s *Server, c *call, data []byte) error {
			return s.codec.DecodeTransfersJSON(&c.batch, data, c.assets)
		},
		run:       (*Server).createTransfers,
		writeWire: writeResults,
		writeJSON: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendTransferResultsJSON(dst, &c.reply), nil
		},
	}
}

// createTransfersStream serves one message of the stream, which has no JSON.
func createTransfersStream() *hot {
	return &hot{
		readWire: func(s *Server, c *call, data []byte) error { return s.codec.DecodeStreamWire(&c.batch, data, c.assets) },
		run:      (*Server).createTransfers,
		writeWire: func(s *Server, c *call, dst []byte) ([]byte, error) {
			c.reply.Sequence = c.batch.Sequence
			return s.codec.AppendStreamWire(dst, &c.reply), nil
		},
	}
}

func lookupAccounts() *hot {
	return &hot{
		readWire: readIDsWire, readJSON: readIDsJSON,
		run: (*Server).lookupAccounts,
		writeWire: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendAccountsWire(dst, &c.reply, c.assets), nil
		},
		writeJSON: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendAccountsJSON(dst, &c.reply, c.assets), nil
		},
	}
}

func lookupTransfers() *hot {
	return &hot{
		readWire: readIDsWire, readJSON: readIDsJSON,
		run: (*Server).lookupTransfers,
		writeWire: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendTransfersWire(dst, &c.reply, c.assets), nil
		},
		writeJSON: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendTransfersJSON(dst, &c.reply, c.assets), nil
		},
	}
}

func readIDsWire(s *Server, c *call, data []byte) error { return s.codec.DecodeIDsWire(&c.batch, data) }

func readIDsJSON(s *Server, c *call, data []byte) error { return s.codec.DecodeIDsJSON(&c.batch, data) }

func writeResults(s *Server, c *call, dst []byte) ([]byte, error) {
	return s.codec.AppendResultsWire(dst, &c.reply), nil
}

func writePackedResults(s *Server, c *call, dst []byte) ([]byte, error) {
	return s.codec.AppendResultsPacked(dst, &c.reply), nil
}

func createAccountsPacked() *hot {
	return withMessageJSON[ledgerv1.CreateAccountsPackedRequest, ledgerv1.CreateAccountsPackedResponse](&hot{
		readWire:  func(s *Server, c *call, data []byte) error { return s.codec.DecodeAccountsPacked(&c.batch, data) },
		run:       (*Server).createAccounts,
		writeWire: writePackedResults,
	})
}

func createTransfersPacked() *hot {
	return withMessageJSON[ledgerv1.CreateTransfersPackedRequest, ledgerv1.CreateTransfersPackedResponse](&hot{
		readWire:  func(s *Server, c *call, data []byte) error { return s.codec.DecodeTransfersPacked(&c.batch, data) },
		run:       (*Server).createTransfers,
		writeWire: writePackedResults,
	})
}

func lookupAccountsPacked() *hot {
	return withMessageJSON[ledgerv1.LookupAccountsPackedRequest, ledgerv1.LookupAccountsPackedResponse](&hot{
		readWire: func(s *Server, c *call, data []byte) error { return s.codec.DecodeIDsPacked(&c.batch, data) },
		run:      (*Server).lookupAccounts,
		writeWire: func(s *Server, c *call, dst []byte) ([]byte, error) {
			return s.codec.AppendAccountsPacked(dst, &c.reply), nil
		},
	})
}

// messageOf is a pointer to T that is a message.
type messageOf[T any] interface {
	*T
	proto.Message
}

// withMessageJSON gives a packed method its JSON by way of messages: nobody sends
// records as base64 for speed.
func withMessageJSON[Req, Resp any, PReq messageOf[Req], PResp messageOf[Resp]](h *hot) *hot {
	h.readJSON = func(s *Server, c *call, data []byte) error {
		request := PReq(new(Req))
		if err := protojson.Unmarshal(data, request); err != nil {
			return malformed("", err.Error())
		}
		wire, err := proto.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode a packed request again: %w", err)
		}
		return h.readWire(s, c, wire)
	}
	h.writeJSON = func(s *Server, c *call, dst []byte) ([]byte, error) {
		wire, err := h.writeWire(s, c, nil)
		if err != nil {
			return nil, err
		}
		response := PResp(new(Resp))
		if err := proto.Unmarshal(wire, response); err != nil {
			return nil, fmt.Errorf("decode a packed response again: %w", err)
		}
		return protojson.MarshalOptions{EmitDefaultValues: true}.MarshalAppend(dst, response)
	}
	return h
}

func (s *Server) createTransfers(ctx context.Context, c *call) error {
	if s.config.Cells != nil && (c.moved || !s.config.Cells.Router.Here(c.batch.Transfers)) {
		return s.transfersAcross(ctx, c)
	}
	if err := s.allowTransfers(ctx, c.principal.Scope, c.batch.Transfers); err != nil {
		return err
	}
	attached, err := s.attachTransfers(ctx, &c.batch)
	if err != nil {
		return err
	}
	return s.do(ctx, c, journal.KindTransfers, journal.Bytes(c.batch.Transfers), attached)
}

func (s *Server) createAccounts(ctx context.Context, c *call) error {
	if s.config.Cells != nil && (!s.config.Cells.Router.AccountsHere(c.batch.Accounts) || hasAddress(&c.batch)) {
		return s.accountsAcross(ctx, c)
	}
	if c.principal.Scope != nil {
		if err := s.allowAccounts(ctx, c); err != nil {
			return err
		}
	}
	if len(c.batch.Unregistered) > 0 {
		if err := s.registerMissing(ctx, c); err != nil {
			return err
		}
	}
	attached, err := s.attachAccounts(ctx, &c.batch)
	if err != nil {
		return err
	}
	return s.do(ctx, c, journal.KindAccounts, journal.Bytes(c.batch.Accounts), attached)
}

// do hands the events to the cell and keeps its answer.
func (s *Server) do(ctx context.Context, c *call, kind journal.Kind, events []byte, attached []journal.Attachment) error {
	n := len(events) / journal.RecordSize
	c.reply.Cell = s.config.CellNumber
	if n == 0 {
		c.reply.Seq = s.config.Cell.Head()
		return nil
	}
	c.request = cell.Request{Kind: kind, Actor: c.principal.ID, Events: events, Results: c.resultsFor(n), Attachments: attached}
	if err := s.config.Cell.Do(ctx, &c.request); err != nil {
		c.lost = true
		return err
	}
	c.reply.Results, c.reply.Seq = c.request.Results, c.request.Seq
	return nil
}

// registerMissing registers the assets of new accounts that have no number yet
// and puts the numbers into the accounts.
func (s *Server) registerMissing(ctx context.Context, c *call) error {
	var missing []money.Asset
	seen := map[money.Asset]bool{}
	for _, u := range c.batch.Unregistered {
		if !seen[u.Asset] {
			seen[u.Asset] = true
			missing = append(missing, u.Asset)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := s.registerAssets(ctx, c.principal.ID, missing); err != nil {
		return err
	}
	c.assets = s.assetTable()
	for _, u := range c.batch.Unregistered {
		number, ok := c.assets.Number(u.Asset.String())
		if !ok {
			return fmt.Errorf("asset %v has no number after it was registered", u.Asset)
		}
		c.batch.Accounts[u.Event].Asset = number
	}
	return nil
}

// registerAssets registers assets; those that are registered already stay as
// they are. It returns the block that the answer depends on.
func (s *Server) registerAssets(ctx context.Context, actor journal.Actor, assets []money.Asset) (seq uint64, err error) {
	if s.config.Cells != nil && s.catalogueCell() != s.config.CellNumber {
		return s.config.Cell.Head(), s.knowAssets(ctx, assets)
	}
	return s.recordAssets(ctx, actor, assets)
}

// recordAssets is registerAssets in this cell's own catalogue.
func (s *Server) recordAssets(ctx context.Context, actor journal.Actor, assets []money.Asset) (seq uint64, err error) {
	records := make([]journal.Asset, len(assets))
	for i, a := range assets {
		records[i] = ledger.AssetRecord(a)
	}
	r := cell.Request{
		Kind: journal.KindAssets, Actor: actor,
		Events: journal.Bytes(records), Results: make([]journal.Result, len(records)),
	}
	if err := s.config.Cell.Do(ctx, &r); err != nil {
		return 0, err
	}
	for i, result := range r.Results {
		switch result.Status {
		case journal.ControlCreated, journal.ControlExists:
		case journal.ControlAssetsExhausted:
			return 0, &fault{
				code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_ASSETS_EXHAUSTED,
				message: fmt.Sprintf("asset %v can't be registered: the catalogue is full", assets[i]),
			}
		default:
			return 0, malformed("", fmt.Sprintf("asset %v can't be registered: status %d", assets[i], result.Status))
		}
	}
	return r.Seq, nil
}

func (s *Server) lookupAccounts(ctx context.Context, c *call) error {
	accounts, err := s.config.Cell.LookupAccounts(ctx, s.ownOf(c.batch.IDs))
	if err != nil {
		return err
	}
	s.found(c)
	if c.reply.Accounts, err = s.scopeAccounts(ctx, c.principal.Scope, accounts); err != nil {
		return err
	}
	c.reply.Details, err = s.accountDetails(ctx, c.reply.Accounts)
	for i := range c.reply.Accounts {
		c.reply.Accounts[i].Flags &= journal.AccountFlagsKnown // packed answers show the records as they are
	}
	if err == nil && s.config.Cells != nil {
		err = s.accountsFromCells(ctx, c)
	}
	return err
}

func (s *Server) lookupTransfers(ctx context.Context, c *call) error {
	transfers, err := s.config.Cell.LookupTransfers(ctx, c.batch.IDs)
	if err != nil {
		return err
	}
	s.found(c)
	if transfers, err = s.scopeTransfers(ctx, c.principal.Scope, transfers); err != nil {
		return err
	}
	c.reply.Transfers = make([]journal.Transfer, len(transfers))
	for i := range transfers {
		t := &c.reply.Transfers[i]
		*t = transfers[i].Transfer
		if transfers[i].Attachment == "" {
			continue
		}
		d, err := s.detailsOf(transfers[i].ID, []byte(transfers[i].Attachment))
		if err != nil {
			return err
		}
		d.Event, d.Transit = i, feed.ShowTransit(t, []byte(transfers[i].Attachment))
		c.reply.Details = append(c.reply.Details, d)
	}
	if s.config.Cells != nil {
		return s.transfersFromCells(ctx, c)
	}
	return nil
}

// found is called after a look-up: the position and the catalogue must be no
// older than what was read.
func (s *Server) found(c *call) {
	c.reply.Cell, c.reply.Seq = s.config.CellNumber, s.config.Cell.Head()
	c.assets = s.assetTable()
}

// assetTable returns the names of the catalogue as it is now. Assets are never
// taken away, so the length tells whether the table is still right.
func (s *Server) assetTable() *codec.AssetTable {
	catalogue := s.config.Cell.Assets()
	if t := s.assets.Load(); t != nil && t.Len() == catalogue.Len() {
		return t
	}
	names := make([]string, 0, catalogue.Len())
	for n := 1; n <= catalogue.Len(); n++ {
		a, _ := catalogue.Asset(uint32(n))
		names = append(names, a.String())
	}
	t := codec.NewAssetTable(names)
	s.assets.Store(t)
	return t
}
