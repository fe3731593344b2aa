package ledger

import "github.com/sterlingrun/sterling/journal"

// Sampled reports whether the balances after a transfer at p are kept for accounts without a history of their own.
func Sampled(p journal.Position) bool { return sampled(p) }
