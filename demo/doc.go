// Package demo is a bank as it is in life, as load for a ledger: customers pay merchants by card (reserved, then
// captured whole or in parts, voided, or forgotten), get salaries, send each other money, repay loans, change currency,
// and are given cash back in the evening's peak. Every movement goes through the public API.
//
// What happens is a plan made from a seed: the same seed makes the same transfers with the same ids, so that a plan
// that is run again moves nothing twice. It never invents money outside of its own accounts: debits equal credits, and
// a run checks that.
//
// Start reading at [Run]; plan.go decides what happens when, stories.go what a payment is made of, bank.go who has an
// account.
package demo
