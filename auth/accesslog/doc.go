// Package accesslog writes down who did what: one JSON object per line, in two
// files of a folder. controls.jsonl has the calls that steer the ledger, each
// before it is served and when it has ended, and the calls that were refused;
// calls.jsonl has all others. So a flood of payments never pushes out the record
// of a control.
//
// It never sees a secret, decides nothing, and never makes a payment wait for the
// disk. Start reading at [Open], [Log.Begin] and [Log.End].
package accesslog
