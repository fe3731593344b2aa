// Package readmodeltest is the suite that every target of package readmodel passes, with a ledger that makes random
// journals for it and knows what the tables must say of them, by the ledger's own state and not by the projector. It is
// for tests only.
//
// Start reading at [Run]; the ledger is [World].
package readmodeltest
