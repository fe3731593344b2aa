// Package ownkernel runs workloads in a machine with a Linux kernel of its own: a small QEMU, a kernel that the host's
// distribution built and signed, and an init of ours (package guest), with one disk that can only be read and one serial
// port. Where KVM boots, the processor keeps machine and host apart; elsewhere QEMU translates every instruction (TCG),
// which is slow, and which its authors do not call a boundary of security: the levels are told apart in every status.
//
// It has no network and shares no folder with the host. QEMU itself has no rights: a user of its own, empty namespaces,
// a root with its libraries and nothing else, its own seccomp filter, and the limits of the policy. Events are those of
// the init, as gVisor's kernel writes them, for the same recorder; what they do not tell is in Unseen, and policies
// that need it are refused (package sandbox). Life and record of a sandbox are not its concern: package gvisor's Runner
// keeps them. Linux on amd64 only, as root.
//
// Start reading at Host.
package ownkernel
