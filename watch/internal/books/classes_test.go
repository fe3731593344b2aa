package books_test

import (
	"testing"

	parent "github.com/sterlingrun/sterling/watch"
	"github.com/sterlingrun/sterling/watch/internal/books"
)

// TestClasses: findings have the classes that package watch names.
func TestClasses(t *testing.T) {
	want := [...]parent.Class{
		parent.TamperedHistory, parent.Fork, parent.LostUpdate, parent.Unbalanced, parent.LimitExceeded, parent.MovedWhileFrozen,
		parent.DuplicateID, parent.ClockJump, parent.SourceGap,
	}
	for i, class := range books.Classes {
		if class != string(want[i]) {
			t.Errorf("class %q, package watch has %q", class, want[i])
		}
	}
}
