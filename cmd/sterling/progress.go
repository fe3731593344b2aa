package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// workBar shows how far a piece of work is, when a person watches; otherwise it returns nil.
func workBar(w io.Writer, what, unit string) func(done, total uint64) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	var bar *progressbar.ProgressBar
	return func(done, total uint64) {
		if total == 0 {
			return
		}
		if bar == nil {
			bar = progressbar.NewOptions64(int64(total), progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), //nolint:gosec // 48 bits
				progressbar.OptionClearOnFinish(), progressbar.OptionSetItsString(unit), progressbar.OptionShowIts(),
				progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond))
		}
		_ = bar.Set64(int64(done)) //nolint:gosec // 48 bits
	}
}
