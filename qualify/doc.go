// Package qualify says what a qualification is: the checks that tell whether a database engine may hold money, the
// report about them, and its verdict, fit or unfit. What is checked lies below: rules (settings), appends (the
// conditional append, durability, speed), isolation (anomalies, uniqueness), tpcc (a load of the TPC-C kind with its
// consistency conditions); run puts them together.
//
// A qualification never touches data that it did not make: everything lies in a schema of its own, which it removes.
// It kills an engine only if it has started it. What could not be shown is no success: an error in a check is a
// failed check, and what was left out stands in the report among its limits.
//
// Start reading at Report (report.go) and Check (check.go), then run.Qualify.
package qualify
