package api

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

const (
	maxRepair = 100 // transfers
	maxTries  = 100 // proposals of the same repair that were rejected or expired
)

// RepairMetadata is the key under which a repairing transfer names its break.
const RepairMetadata = "watch_break"

// proposeRepair journals a proposal of the transfers that would mend a break. Their ids are computed from the break and
// from themselves, so that a repair which is approved twice is booked once.
func (s *Server) proposeRepair(ctx context.Context, p auth.Principal, r *watchv1.ProposeRepairRequest) (*watchv1.ProposeRepairResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	if err := checkWhy(r.GetWhy(), journal.MaxReason); err != nil {
		return nil, err
	}
	found, err := findBreak(ctx, w, r.GetId())
	if err != nil {
		return nil, err
	}
	if found.State != watch.Open && found.State != watch.Explained {
		return nil, ended(found)
	}
	transfers, err := repairOf(found, r.GetTransfers())
	if err != nil {
		return nil, err
	}
	proposed := repairTransfers(found, transfers)
	id, fresh, err := s.repairProposal(ctx, found, proposed)
	if err != nil {
		return nil, err
	}
	if fresh {
		answer, err := s.propose(ctx, p, &ledgerv1.ProposeRequest{
			Id: id.String(), Reason: r.GetWhy(),
			What: &ledgerv1.ProposeRequest_Transfers{Transfers: &ledgerv1.CreateTransfersRequest{Transfers: proposed}},
		})
		if err != nil {
			return nil, inField(err, "transfers.transfers[", "transfers[")
		}
		if st := answer.GetStatus(); st != ledgerv1.ControlStatus_CONTROL_STATUS_CREATED && st != ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS {
			return nil, &fault{
				code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED,
				message: "the ledger did not take the proposal: " + strings.ToLower(strings.TrimPrefix(st.String(), "CONTROL_STATUS_")),
			}
		}
	}
	if err := w.Proposed(ctx, found.ID, watchID(id), p.Name, r.GetWhy()); err != nil {
		return nil, watchFault(err)
	}
	response := &watchv1.ProposeRepairResponse{ProposalId: id.String(), Transfers: transfers}
	for _, t := range proposed {
		response.TransferIds = append(response.TransferIds, t.GetId())
	}
	return response, nil
}

// repairOf returns the transfers that are asked for, or else those that the watch suggests.
func repairOf(b *watch.Record, asked []*watchv1.RepairTransfer) ([]*watchv1.RepairTransfer, error) {
	switch {
	case len(asked) > maxRepair:
		return nil, malformed("transfers", fmt.Sprintf("%d, at most %d", len(asked), maxRepair))
	case len(asked) == 0 && len(b.Repair) == 0:
		return nil, &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_NO_REPAIR, field: "transfers",
			message: fmt.Sprintf("transfers: the watch knows none that would mend break %s (%s): say which", watch.HexID(b.ID), b.Class),
		}
	case len(asked) == 0:
		return suggested(b), nil
	}
	list := make([]*watchv1.RepairTransfer, len(asked))
	for i, t := range asked {
		var err error
		if list[i], err = readRepair(t, fmt.Sprintf("transfers[%d].", i)); err != nil {
			return nil, err
		}
		if t.GetUserData_128() == "" {
			list[i].UserData_128 = watch.DecimalID(b.Key)
		}
	}
	return list, nil
}

// readRepair writes a transfer in one way only, because its ids are computed from its text.
func readRepair(t *watchv1.RepairTransfer, path string) (*watchv1.RepairTransfer, error) {
	t = proto.CloneOf(t)
	for _, f := range []struct {
		name string
		text *string
	}{
		{"debitAccountId", &t.DebitAccountId},
		{"creditAccountId", &t.CreditAccountId},
		{"amount", &t.Amount},
		{"userData128", &t.UserData_128},
	} {
		v, err := readU128(path+f.name, *f.text)
		if err != nil {
			return nil, err
		}
		*f.text = v.String()
	}
	_, err := readCode(path+"code", t.GetCode())
	return t, err
}

// suggested is what the watch suggests. Without user data of its own a transfer gets the break's key, by which the flow
// knows it.
func suggested(b *watch.Record) (out []*watchv1.RepairTransfer) {
	for _, t := range b.Repair {
		if t.UserData128.IsZero() && t.UserData64 == 0 {
			t.UserData128 = b.Key
		}
		out = append(out, &watchv1.RepairTransfer{
			DebitAccountId: watch.DecimalID(t.Debit), CreditAccountId: watch.DecimalID(t.Credit), Amount: decimalAmount(t.Amount), Asset: t.Asset,
			Code: uint32(t.Code), UserData_128: watch.DecimalID(t.UserData128), UserData_64: t.UserData64, UserData_32: t.UserData32,
		})
	}
	return out
}

// repairTransfers makes the ledger's transfers. Each names its break in its metadata.
func repairTransfers(b *watch.Record, list []*watchv1.RepairTransfer) []*ledgerv1.Transfer {
	out := make([]*ledgerv1.Transfer, len(list))
	for i, t := range list {
		out[i] = &ledgerv1.Transfer{
			DebitAccountId: t.GetDebitAccountId(), CreditAccountId: t.GetCreditAccountId(), Amount: proto.String(t.GetAmount()), Asset: t.GetAsset(),
			Code: t.GetCode(), UserData_128: t.GetUserData_128(), UserData_64: t.GetUserData_64(), UserData_32: t.GetUserData_32(),
			Metadata: map[string]*ledgerv1.MetadataValue{
				RepairMetadata: {Value: &ledgerv1.MetadataValue_Text{Text: watch.HexID(b.ID)}},
			},
		}
	}
	for i, t := range out {
		t.Id = repairID(b.ID, "transfer", out, uint64(i)).String()
	}
	return out
}

// repairID is the first 16 bytes of SHA-256 over the break, what the id is of, its number, and all transfers.
func repairID(b watch.ID, of string, list []*ledgerv1.Transfer, n uint64) money.U128 {
	h := sha256.New()
	h.Write([]byte("sterling watch repair\x00" + of + "\x00"))
	h.Write(b[:])
	_ = binary.Write(h, binary.LittleEndian, n) // a hash takes everything
	for _, t := range list {
		_, _ = fmt.Fprintf(h, "%q %q %q %q %d %q %d %d\n", t.GetDebitAccountId(), t.GetCreditAccountId(), t.GetAmount(), t.GetAsset(),
			t.GetCode(), t.GetUserData_128(), t.GetUserData_64(), t.GetUserData_32())
	}
	return money.LE(h.Sum(nil))
}

// repairProposal returns the id under which a repair is proposed, and whether it is yet to be: one that is open stays,
// and after one that was rejected or has expired there is another.
func (s *Server) repairProposal(ctx context.Context, b *watch.Record, list []*ledgerv1.Transfer) (id money.U128, fresh bool, err error) {
	for n := range uint64(maxTries) {
		id = repairID(b.ID, "proposal", list, n)
		var found ledger.Proposal
		known := false
		if err := s.config.Cell.Read(ctx, func(st *ledger.State) { found, known = st.Proposal(id) }); err != nil {
			return id, false, err
		}
		switch {
		case !known:
			return id, true, nil
		case found.Verdict == journal.Approve:
			return id, false, &fault{
				code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_BREAK_ENDED, field: "id",
				message: fmt.Sprintf("the repair of break %s was approved: it is booked, and the watch will see it", watch.HexID(b.ID)),
			}
		case found.Verdict == 0 && found.Payload != nil:
			return id, false, nil
		}
	}
	return id, false, &fault{
		code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_MALFORMED, field: "transfers",
		message: fmt.Sprintf("transfers: this repair was rejected %d times", maxTries),
	}
}
