package client

import watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"

// Audit returns the generated client of what the ledger has signed about itself.
// It does not repeat anything.
func (c *Client) Audit() watchv1.AuditServiceClient { return watchv1.NewAuditServiceClient(c.conn()) }
