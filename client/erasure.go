package client

import (
	"context"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Erasure returns the generated client of erasures. It does not repeat anything;
// an erasure may be sent again with the same id.
func (c *Client) Erasure() ledgerv1.ErasureServiceClient {
	return ledgerv1.NewErasureServiceClient(c.conn())
}

// Erase destroys the key of a subject's personal metadata, here and in the backups
// that the server is configured with. It can't be undone. A request without an id
// gets one. Look at the copies of the response, too: where one was not written, that
// backup still has the key; mend it, and erase again.
func (c *Client) Erase(ctx context.Context, r *ledgerv1.EraseRequest) (*ledgerv1.EraseResponse, error) {
	r, _, err := withID(c, r, func(r *ledgerv1.EraseRequest, id string) { r.Id = id })
	if err != nil {
		return nil, err
	}
	return controlled(ctx, c, "erase subject "+r.GetSubject(), r, func(ctx context.Context) (*ledgerv1.EraseResponse, error) {
		return c.Erasure().Erase(ctx, r)
	})
}

// Subject tells whether a subject has a key.
func (c *Client) Subject(ctx context.Context, subject string) (*ledgerv1.GetSubjectResponse, error) {
	return read(ctx, c, "get subject "+subject, func(ctx context.Context) (*ledgerv1.GetSubjectResponse, error) {
		return c.Erasure().GetSubject(ctx, &ledgerv1.GetSubjectRequest{Subject: subject})
	})
}
