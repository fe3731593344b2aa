// Package faults is what the watch is tried with: streams of a bank's life, through the real ledger, with everything
// that is late, reordered, early or told twice in an honest way, and injectors that bend such a stream between two of
// its components, one for every class of break at least, each with what has to be found. A stream is a function of its
// seed. The package never reads a disk or a clock; what it plays goes to a watch.Engine, or to whoever else takes steps.
//
// Start reading at Stream and Play; Injectors lists the faults, Disturbances what must stay silent, Try runs one
// through an engine and judges what was found.
package faults
