// Package ledger is the state machine of money: accounts and transfers with two-phase, linked, balancing, closing and
// imported ones, freezes and velocity limits. It is pure: requests, times and stored records go in, outcomes and
// effects come out; it never reads a clock, a disk or a random source, and the same journal always gives the same
// state. It is owned by one goroutine. Start reading at State.
package ledger
