// Package postgres keeps a cell's journal in a PostgreSQL database: one row for each block, appended by one
// conditional INSERT. It implements cell.Log and cell.Leases, and keeps the map of cells. The engine brings
// replication and consensus; this package brings none. It never decides what a block means, never tries an append
// twice in one call, never cancels a running append (PostgreSQL answers a cancelled commit with a commit and a
// warning), and never deletes a block.
//
// The SQL is the subset that CockroachDB and YugabyteDB share; what is tested is listed in docs/engines.md, with the
// schema and the settings that an engine must have.
//
// Start reading at Open (open.go), then Append (append.go), the connection it owns (writer.go) and Check (check.go).
package postgres
