// Package devcluster runs a ledger of several cells on one machine, to try it out, to measure it and to break it: each
// node is a child process of the program itself, on a loopback address, and all keep their journals in one database.
//
// It is never part of a node: nothing of production starts here. It restarts no node, and brings no database. The nodes
// end with whoever started them, however that ends (on Linux; elsewhere not when it is killed).
//
// Start reading at Start; what a folder holds is in folder.go.
package devcluster
