// Package index follows a cell's journal and answers queries: the transfers of an account, its balances over time,
// transfers and accounts by user data. It keeps positions, not records: a record is read from the journal. It is
// never asked whether money may move, holds nothing that the journal does not, and may be deleted and built again.
//
// Blocks go into a buffer in memory, where queries see them at once. A full buffer is written as one sorted table and
// ingested into Pebble, together with the sequence number it goes through: so the index is always exactly as new as
// its last table, without a write-ahead log, and what comes after is replayed from the journal. Blocks arrive in
// order, so everything in memory is newer than everything in Pebble: a query reads one after the other and need not
// merge.
//
// The keys of Pebble, numbers big-endian:
//
//	'a' account u32, position u64        a transfer of the account; the value is empty, or, where the account keeps a
//	                                     history, timestamp u64 and the four balances after, u128 each
//	'b' timestamp u64                    first transfer of a block; value: sequence number u64, time base u64 (a
//	                                     transfer's timestamp less its index; 0 where transfers were imported)
//	'm'                                  how far the index is: see point
//	'x' 'y' 'z' value u128/u64/u32, position u64     transfers by user data that is not zero
//	'X' 'Y' 'Z' value u128/u64/u32, number u32       accounts by user data that is not zero
//
// Start reading at Index (writing) and Queries (reading).
package index
