// Package run qualifies an engine: it makes a scratch schema, or starts an engine of its own, has every section of
// package qualify's checks made, each bounded in time, and returns the report. It never leaves anything behind in an
// engine that it did not start.
//
// Start reading at Qualify.
package run
