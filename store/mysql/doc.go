// Package mysql keeps a cell's journal in a database of the MySQL family: one row for each block, appended by one
// conditional INSERT. It implements cell.Log and cell.Leases, and keeps the map of cells. The engine brings
// replication and consensus; this package brings none. It never decides what a block means, never tries an append
// twice in one call, and never deletes a block.
//
// The SQL is the subset that MySQL, MariaDB with Galera, TiDB and OceanBase share; what is tested is listed in
// docs/engines.md, with the schema and the settings that an engine must have.
//
// Start reading at Open (open.go), then Append (append.go), how a session is made fit (connect.go) and Check
// (check.go).
package mysql
