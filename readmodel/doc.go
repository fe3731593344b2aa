// Package readmodel keeps relational tables of what a cell's journal says, for reports in SQL: accounts, balances,
// transfers, reservations, transactions, metadata, freezes and day closes, documented in docs/sql. Its sub-packages write
// them into PostgreSQL, the MySQL family and SQLite; they pass one suite, readmodeltest.
//
// The projector follows the journal: it reads blocks up to the highest acknowledged one, turns a run of them into one
// batch of row changes, and gives that to a [Target], which writes it in one transaction together with the position. So
// every block is in the tables exactly once, whatever crashes, and every moment of them is a moment of the ledger. All is
// derived from the blocks and from the tables themselves; the rules of the ledger are not needed.
//
// It never takes part in a write to the ledger, never slows one down, never changes the journal, and never opens a
// personal value: those stay sealed, as the journal has them. Tables that contradict the journal are emptied and built
// anew.
//
// Start reading at [Projector.Run]; what a block becomes is in derive.go; what a target owes is at [Target].
package readmodel
