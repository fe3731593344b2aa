// Package node wires the product: configuration in, running parts out. It is the only place that knows all parts, and
// it decides nothing itself. Start reading at Start.
package node
