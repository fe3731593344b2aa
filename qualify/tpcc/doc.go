// Package tpcc puts a load of the TPC-C kind on an SQL engine and then checks the specification's twelve consistency
// conditions (TPC Benchmark C 5.11, clause 3.3.2): money and counts that are written by different statements of
// concurrent transactions have to agree afterwards, to the cent. It also keeps books of its own about what it was
// acknowledged, which have to agree as well.
//
// It is no audited TPC-C result and never claims one: there is no think time, the terminals are goroutines, deliveries
// run at once. Report names these deviations.
//
// Start reading at Run (run.go), then Load (load.go), drive.go with the transactions beside it, and Conditions.
package tpcc
