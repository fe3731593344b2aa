// Package router knows which cell has which account, and brings transfers between cells to their end.
//
// A Map says which cell owns which bucket of accounts. A Router tells for each event of a caller's request where it
// belongs. A Driver is the coordinator of one cell: its node that leads takes every transfer that begins there and ends
// in another cell through the steps of package transit, and goes on with what another leader left open. Peers carries
// the steps to the other cells' leaders.
//
// It never decides about money: the ledgers of both cells do, and what they journaled is all that a driver goes by. It
// never answers by anything that is not durable, and never holds up a transfer within one cell for another cell's sake.
// Start reading at Driver.Transfer.
package router
