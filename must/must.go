// Package must crashes early on broken invariants of ours, with the values that broke them. It is never for faults
// of the world (disk, network, input): those are errors. Start reading at True.
package must

import "fmt"

// True panics with the formatted message when ok is false. The arguments are evaluated either way: keep them cheap.
func True(ok bool, format string, args ...any) {
	if !ok {
		panic("invariant broken: " + fmt.Sprintf(format, args...))
	}
}

// NoError panics when err is not nil, for errors that only a bug of ours can cause.
func NoError(err error, what string) {
	if err != nil {
		panic("invariant broken: " + what + ": " + err.Error())
	}
}
