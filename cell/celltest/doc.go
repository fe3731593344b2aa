// Package celltest is what every store of a cell has to pass: conformance suites for cell.Log (Logs) and for
// cell.Snapshots (Snapshots), and a correct log in memory (Memory) to test other things on. It tests the contract
// only, through the interfaces; the faults of one store's own medium are that store's tests. Start reading at Logs.
package celltest
