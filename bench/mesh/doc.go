// Command mesh measures the node proxy beside HAProxy and nginx from the distribution's packages: processor time of the
// proxy processes for each request, in one alternating run on one machine.
//
//	go run ./bench/mesh -out bench/results/mesh.json
//
// It never compares numbers of different runs, and never leaves a process behind. Absolute numbers say little about
// another machine; the ratios do. Start reading at run; load.go makes the load, subjects.go starts the proxies.
package main
