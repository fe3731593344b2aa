// Package appends examines the one operation that a ledger's journal needs of an engine: the conditional append. It
// lets writers contend for every number and has the history checked for linearizability, kills the engine in between
// where it may, counts what was acknowledged and what is there, and measures how long an append takes. It knows the
// journal only as a cell.Log, and never trusts what a log says about itself: at the end it reads every block and
// follows the chain by its hashes.
//
// Start reading at Contend (contend.go), then model (model.go), Rows (rows.go) and Speed (speed.go).
package appends
