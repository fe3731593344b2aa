package storetest_test

import (
	"testing"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/store/local"
	"github.com/sterlingrun/sterling/store/storetest"
)

func TestCellOnACorrectLog(t *testing.T) {
	memory := &celltest.Memory{}
	storetest.Cell(t, func() cell.Log { return memory }, func() cell.Snapshots {
		disk, err := local.Open(t.TempDir(), local.Options{Cell: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = disk.Close() })
		return disk.Snapshots()
	})
}
