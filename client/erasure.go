package client

import (
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Erasure returns the generated client of erasures. It does not repeat anything;
// an erasure may be sent again with the same id.
func (c *Client) Erasure() ledgerv1.ErasureServiceClient {
	return ledgerv1.NewErasureServiceClient(c.conn())
}
