package sim

import (
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
)

// TestIDFiles: what the shared world has in place of files keeps to the same rules.
func TestIDFiles(t *testing.T) {
	celltest.IDs(t, func(*testing.T) celltest.IDHarness {
		f := newIDFiles()
		return celltest.IDHarness{IDs: f, Reopen: func() (cell.IDFiles, error) { return f, nil }}
	})
}
