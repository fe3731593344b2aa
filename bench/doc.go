// Package bench measures the whole ledger: a server with fsync on, and clients on the same machine that send it the
// shapes of load named in docs/benchmarks.md. It reports throughput, latency, processor time, memory and how far the
// index is behind, beside what was asked for.
//
// It never counts a transfer that was not acknowledged as created, and fails when one that was acknowledged is missing
// afterwards. It uses the public API only. Requests are encoded once and then patched in place, so that the clients'
// share of the processor stays small; every id is fresh.
//
// Start reading at [Run]; shapes.go has the shapes, load.go how load is made.
package bench
