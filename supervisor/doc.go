// Package supervisor runs declared services: replicas in sandboxes of their own, started again when they end, replaced
// when they are not healthy or when another release is declared.
//
// It makes no decision itself: package service plans, from what was declared and what is there. It runs no workload
// either: sandboxes are another program's (Program), which goes on when this process ends. What it knows that can't be
// seen is on disk before it acts: a supervisor that starts anew finds its replicas again, starts none twice, and notes
// those that ended meanwhile. It is one in its folder, and listens on a Unix socket there, for its own user.
//
// Start reading at Supervisor and its step.
package supervisor
