// Package sandbox says what a workload may do. A Policy is one YAML document; Parse reads it, Check explains what is
// risky in it, and Compile turns it into what enforces it: an OCI runtime spec, flags and a trace session for gVisor,
// and the objects for a Kubernetes cluster.
//
// It runs nothing, and reads no file: paths come in as they are to be enforced. It has no field that loosens what
// gVisor does by default: no capabilities, no host network, no devices of the host. Running is package
// sandbox/gvisor's; the record of what ran is package sandbox/trail's.
//
// Start reading at Policy.
package sandbox
