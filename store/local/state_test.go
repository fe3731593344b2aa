package local_test

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/store/local"
)

func TestStateWithoutAJournal(t *testing.T) {
	fs := vfs.NewMem()
	s, err := local.OpenState("node", local.Options{FS: fs, Cell: 7})
	if err != nil {
		t.Fatal(err)
	}
	w, err := s.Snapshots().Create(12)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("the state")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := local.OpenState("node", local.Options{FS: fs, Cell: 7}); !errors.Is(err, local.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = local.OpenState("node", local.Options{FS: fs, Cell: 7}); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Snapshots().List(); err != nil || len(list) != 1 || list[0] != 12 {
		t.Errorf("snapshots %v, %v", list, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := local.Open("node", options(fs)); !errors.Is(err, cell.ErrDamaged) {
		t.Errorf("a journal was begun in the folder of a node that has its journal elsewhere: %v", err)
	}
}

func TestStateRefusesAJournal(t *testing.T) {
	fs := vfs.NewMem()
	l, _ := aged(t, fs)
	closeStore(t, l)
	if _, err := local.OpenState("data", local.Options{FS: fs, Cell: 7}); !errors.Is(err, local.ErrHasJournal) {
		t.Errorf("%v, want ErrHasJournal", err)
	}
}
