// Package monitor runs watch beside a ledger: it feeds the engine with the journal's blocks, with what witnesses saw and
// with the time, keeps what the engine says, and has the freezes made that the engine wants.
//
// One order of inputs decides everything. It is written to a log, group by group, and each group is stored in one atomic
// batch with the effects that it caused, which are numbered. After a crash the newest checkpoint and the log after it
// give the same effects with the same numbers, and those that are stored are left out: so no break is lost or told
// twice. Blocks are durable in the journal already; the log only names them.
//
// It never slows a payment down: it reads the journal at its own pace. Where it can't go on, because its disk is full or
// broken, it says so, proves nothing more, and starts again by itself as it would after a crash.
//
// Start reading at Monitor, then session (one life of the database and the engine) and its loop.
package monitor
