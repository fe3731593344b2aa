// Package transit is the protocol of a transfer between accounts of two cells, as a plan: which events each step is made
// of, what their ids are, and what is to be done next, told from nothing but what a ledger has open. The cell of the debit
// account is the transfer's home, and its leader drives the transfer; the other cell, the peer, is told and never decides.
//
// The steps, of one attempt at transfer T from D to C with the random id r (the accounts X, in transit, and Y, clearing
// with the other cell, are each cell's own):
//
//	reserve  home  pending D→X: takes the money from D, as far as D may spend it
//	hold     peer  pending Y→C: C can take it
//	decide   home  one chain: void of the reserve, marker (pending X→Y), and, to commit, T itself, D→X
//	confirm  peer  post or void of the hold, as T ended at home
//	settle   home  post or void of the marker, likewise
//
// Every step has an id of its own and may be sent any number of times, in any order, by any number of leaders one after
// the other: the ledger does each once. The decision needs the reserve to be open, so there is one; a confirmation that
// voids fences its hold, so a late one reserves nothing. What is open are the reserves and markers at home: Resume tells
// from one of them how to go on.
//
// It does no I/O, and knows no clock, no randomness and no ledger: the router drives it, the ledger checks it. Start
// reading at Attempt.
package transit
