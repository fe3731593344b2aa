package client

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Books returns the generated client of the books. It does not repeat anything.
func (c *Client) Books() ledgerv1.BooksServiceClient {
	return ledgerv1.NewBooksServiceClient(c.conn())
}

// read calls a method of any service, and repeats it.
func read[Resp any](ctx context.Context, c *Client, what string, call func(context.Context) (Resp, error)) (Resp, error) {
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	return again(ctx, c, &trail{}, what, call)
}

// controlled calls a method that journals a control under request's id, and repeats
// it. Its errors are those of [Client.Transfer].
func controlled[Resp interface {
	GetStatus() ledgerv1.ControlStatus
}, Req interface{ GetId() string }](ctx context.Context, c *Client, what string, request Req, call func(context.Context) (Resp, error),
) (Resp, error) {
	ctx, cancel := c.policy.bound(ctx)
	defer cancel()
	t := trail{limit: c.policy.attempt}
	response, err := again(ctx, c, &t, what, call)
	if err != nil {
		return response, unknown(err, t.unsure, []Req{request})
	}
	switch s := response.GetStatus(); s {
	case ledgerv1.ControlStatus_CONTROL_STATUS_CREATED, ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS:
		return response, nil
	default:
		id, _ := money.Parse(request.GetId()) // else the server would have refused the call
		return response, fmt.Errorf("%s: %w", what, &StatusError{ID: id, Status: ControlStatus(s)})
	}
}

// control is the answer to most controls.
type control interface {
	GetStatus() ledgerv1.ControlStatus
	GetTimestamp() uint64
	GetPosition() *Position
}

func resultOf(id money.U128, response control, err error) (Result, error) {
	return Result{
		ID: id, Timestamp: response.GetTimestamp(), Position: response.GetPosition(),
		Existed: response.GetStatus() == ledgerv1.ControlStatus_CONTROL_STATUS_EXISTS,
	}, err
}

// withID returns r itself if it has an id, or a copy with a new one.
func withID[Req interface {
	proto.Message
	GetId() string
}](c *Client, r Req, set func(r Req, id string)) (Req, money.U128, error) {
	if r.GetId() != "" {
		id, err := money.Parse(r.GetId())
		if err != nil {
			return r, id, fmt.Errorf("id: %w: %w", ErrEntry, err)
		}
		return r, id, nil
	}
	id, err := c.NewID()
	if err != nil {
		return r, id, err
	}
	r = proto.CloneOf(r)
	set(r, id.String())
	return r, id, nil
}

// CloseDay closes the books of a day and of all days before it: from then on nothing
// is booked into them but by a decision of two people. A request without an id gets
// one. A refusal is a [StatusError] with a [ControlStatus]; for the trial balance see
// [Client.GetClose].
func (c *Client) CloseDay(ctx context.Context, r *ledgerv1.CloseDayRequest) (Result, error) {
	r, id, err := withID(c, r, func(r *ledgerv1.CloseDayRequest, id string) { r.Id = id })
	if err != nil {
		return Result{}, err
	}
	response, err := controlled(ctx, c, "close "+r.GetDate(), r, func(ctx context.Context) (*ledgerv1.CloseDayResponse, error) {
		return c.Books().CloseDay(ctx, r)
	})
	return resultOf(id, response, err)
}

// Closes returns all closes and reopenings, in order, and the last closed day.
func (c *Client) Closes(ctx context.Context) (*ledgerv1.ListClosesResponse, error) {
	return read(ctx, c, "list closes", func(ctx context.Context) (*ledgerv1.ListClosesResponse, error) {
		return c.Books().ListCloses(ctx, &ledgerv1.ListClosesRequest{})
	})
}

// GetClose returns a close with its signed trial balance. Its key proves nothing by
// itself: give the one you keep to [VerifyClose].
func (c *Client) GetClose(ctx context.Context, id money.U128) (*ledgerv1.GetCloseResponse, error) {
	return read(ctx, c, fmt.Sprintf("get close %v", id), func(ctx context.Context) (*ledgerv1.GetCloseResponse, error) {
		return c.Books().GetClose(ctx, &ledgerv1.GetCloseRequest{Id: id.String()})
	})
}

// TrialBalance returns the trial balance of any days as the books are now; empty
// days are no bounds.
func (c *Client) TrialBalance(ctx context.Context, from, through string) (*ledgerv1.GetTrialBalanceResponse, error) {
	return read(ctx, c, "get a trial balance", func(ctx context.Context) (*ledgerv1.GetTrialBalanceResponse, error) {
		return c.Books().GetTrialBalance(ctx, &ledgerv1.GetTrialBalanceRequest{From: from, Through: through})
	})
}

// Propose asks for what another person has to approve. A request without an id gets
// one, but what is proposed must have its own ids.
func (c *Client) Propose(ctx context.Context, r *ledgerv1.ProposeRequest) (Result, error) {
	r, id, err := withID(c, r, func(r *ledgerv1.ProposeRequest, id string) { r.Id = id })
	if err != nil {
		return Result{}, err
	}
	response, err := controlled(ctx, c, "propose", r, func(ctx context.Context) (*ledgerv1.ProposeResponse, error) {
		return c.Books().Propose(ctx, r)
	})
	return resultOf(id, response, err)
}

// Decide approves or rejects a proposal. A request without an id gets one. The
// response is there also with a [StatusError]: after [ErrProposalFailed] it says
// what of the proposal failed, and nothing was done.
func (c *Client) Decide(ctx context.Context, r *ledgerv1.DecideRequest) (*ledgerv1.DecideResponse, error) {
	r, _, err := withID(c, r, func(r *ledgerv1.DecideRequest, id string) { r.Id = id })
	if err != nil {
		return nil, err
	}
	return controlled(ctx, c, "decide on proposal "+r.GetProposalId(), r, func(ctx context.Context) (*ledgerv1.DecideResponse, error) {
		return c.Books().Decide(ctx, r)
	})
}

// ListProposals returns the open proposals, in order; all of them if all.
func (c *Client) ListProposals(ctx context.Context, all bool) ([]*ledgerv1.Proposal, error) {
	response, err := read(ctx, c, "list proposals", func(ctx context.Context) (*ledgerv1.ListProposalsResponse, error) {
		return c.Books().ListProposals(ctx, &ledgerv1.ListProposalsRequest{All: all})
	})
	return response.GetProposals(), err
}

// SetPolicy sets the rules of the house. A request without an id gets one. What
// makes them looser is refused with [ErrProposalRequired]: propose it.
func (c *Client) SetPolicy(ctx context.Context, r *ledgerv1.SetPolicyRequest) (Result, error) {
	r, id, err := withID(c, r, func(r *ledgerv1.SetPolicyRequest, id string) { r.Id = id })
	if err != nil {
		return Result{}, err
	}
	response, err := controlled(ctx, c, "set the policy", r, func(ctx context.Context) (*ledgerv1.SetPolicyResponse, error) {
		return c.Books().SetPolicy(ctx, r)
	})
	return resultOf(id, response, err)
}

// Policy returns the rules of the house.
func (c *Client) Policy(ctx context.Context) (*ledgerv1.GetPolicyResponse, error) {
	return read(ctx, c, "get the policy", func(ctx context.Context) (*ledgerv1.GetPolicyResponse, error) {
		return c.Books().GetPolicy(ctx, &ledgerv1.GetPolicyRequest{})
	})
}
