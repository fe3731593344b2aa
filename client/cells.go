package client

import (
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Cells returns the generated client of what nodes say to each other, over one of the connections; its token is the
// secret that the nodes share. It does not repeat anything, but goes to the node that leads.
func (c *Client) Cells() cellv1.CellServiceClient { return cellv1.NewCellServiceClient(c.conn()) }

// Moves returns the generated client of the operators' interface to a ledger's cells: their map, and moving accounts
// from one to another. It does not repeat anything, but goes to the node that leads.
func (c *Client) Moves() ledgerv1.CellsServiceClient { return ledgerv1.NewCellsServiceClient(c.conn()) }
