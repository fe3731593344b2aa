// Package gvisor runs workloads in gVisor, under a policy of package sandbox, and records what they do in a record of
// package trail.
//
// It never runs a workload with less than its policy asks for: where gVisor, a control group or the recorder is
// missing, it says what is missing, and nothing runs. When the recorder dies, the workload is frozen; it does not run
// unwatched. It does not contain gVisor: it starts a program that is (cmd/sterling-sandbox/runsc). Linux on amd64 only, as
// root.
//
// Three processes stand outside each sandbox: the runner (Runner.Run), which owns the sandbox's life; the recorder
// (Record), which writes its events down; and the guard, which kills gVisor's when the runner is gone. Where a
// sandbox comes from a pool (Pool), or its workload is detached, the runner is a process of its own (Runner.Keep), which
// needs nobody once the workload runs. Start reading at Runner.
package gvisor
