// Package mover moves buckets of accounts from the cell that its node leads to another cell, while calls go on.
//
// The giver's leader reads its journal for the ids of the buckets and has them carried to the taker in the background.
// Then, bucket by bucket: it closes the bucket, carries the last ids, takes the accounts out of its own ledger and has
// the taker's ledger take them in, and changes the map of cells. From the close to the change of the map, calls that
// touch the bucket wait; see Progress for how long.
//
// It remembers nothing: what the two journals say tells how far a move is. A leader that takes over calls off what was
// closed with nothing handed over yet, and brings everything else to its end. Every step can be sent any number of times.
//
// It never decides what an account has or whether a bucket may move: the ledgers of both cells do. It never holds up
// calls that don't touch the bucket, and never reads the journal under the cell's eyes. Start reading at Runner.Start
// and bucket.move.
package mover
