package client

import ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"

// Feed returns the generated client of the change feed over one of the connections. It does not subscribe again by
// itself: keep resume_after with what the events did, and subscribe after it.
func (c *Client) Feed() ledgerv1.FeedServiceClient {
	return ledgerv1.NewFeedServiceClient(c.conn())
}

// Sinks returns the generated client of the sinks' interface. It does not repeat anything.
func (c *Client) Sinks() ledgerv1.SinkServiceClient {
	return ledgerv1.NewSinkServiceClient(c.conn())
}
