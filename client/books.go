package client

import ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"

// Books returns the generated client of the books: day closes, trial balances,
// proposals and policies. It does not repeat anything.
func (c *Client) Books() ledgerv1.BooksServiceClient {
	return ledgerv1.NewBooksServiceClient(c.conn())
}
