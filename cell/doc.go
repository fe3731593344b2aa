// Package cell runs one ledger over one journal: the sequencer that gathers requests of all clients into blocks, the
// group commit, recovery, snapshots and reads. It decides nothing about money (package ledger does) and knows no
// engine (a Log does). Start reading at Cell.
package cell
