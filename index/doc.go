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
//	'A' address, 0                       an account by its address; value: number u32
//	'B' id u128, number u32              an account by its id; value: number of its asset u32
//	'X' 'Y' 'Z' value u128/u64/u32, number u32       accounts by user data that is not zero
//	'a' account u32, position u64        a transfer of the account; the value is empty, or says what the balances were
//	                                     after it, or that it is booked on another day: see aside
//	'b' timestamp u64                    first transfer of a block; value: sequence number u64, time base u64 (a
//	                                     transfer's timestamp less its index; 0 where transfers were imported)
//	'c' timestamp u64                    first expiry of a block, or something handed over; value as of 'b'
//	'd' account u32, date u32, position u64          a posting that is not booked on the day of its timestamp; value:
//	                                     see booking
//	'e' account u32, position u64        an expiry of the account; value: see expired
//	'f' 'g' hash u128, position u64      an event that gave an account metadata, by key and by key and value; value:
//	                                     number of the account u32
//	'h' account u32, position u64        what the account has more or less after something was handed over between cells;
//	                                     value: see moved
//	'i' account u32, position u64        those of 'h' with which the account left
//	'k' 'l' hash u128, position u64      transfers by metadata, in the same way
//	'm'                                  how far the index is: see point
//	'x' 'y' 'z' value u128/u64/u32, position u64     transfers by user data that is not zero
//
// Live is the index of a running ledger, which is built in the background where it has missed blocks. Deriver works out
// what blocks did, for that.
//
// Start reading at Index (writing) and Queries (reading).
package index
