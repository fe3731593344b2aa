// Command mesh measures the mesh in one alternating run on one machine: the node proxy beside HAProxy and nginx from the
// distribution's packages, by processor time of the proxy processes for each request; overload; and with a control plane
// and nodes of the real program: proxyless gRPC, memory, changes of policy, upgrades and rotations under load.
//
//	go run ./bench/mesh -out bench/results/mesh.json
//	go run ./bench/mesh -cases l7,overload -beside /path/to/another/build
//
// It never compares numbers of different runs, and never leaves a process behind. Absolute numbers say little about
// another machine; the ratios do. Start reading at run; load.go makes the load, subjects.go starts the
// proxies, plane.go the mesh, and rows.go has what is asked.
package main
