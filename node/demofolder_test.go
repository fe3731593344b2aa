package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/node"
)

func TestOnlyAnEmptyFolderBecomesADemonstration(t *testing.T) {
	t.Parallel()
	fresh := filepath.Join(t.TempDir(), "a", "b")
	used := t.TempDir()
	if err := os.WriteFile(filepath.Join(used, "journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, folder string
		want         bool
	}{{"not there", fresh, true}, {"marked", fresh, true}, {"empty", t.TempDir(), true}, {"used", used, false}} {
		if got, err := node.MarkDemo(c.folder); got != c.want || err != nil {
			t.Errorf("mark, %s: %v, %v", c.name, got, err)
		}
		if got, err := node.IsDemo(c.folder); got != c.want || err != nil {
			t.Errorf("look, %s: %v, %v", c.name, got, err)
		}
	}
	for _, text := range []string{"", "{", `{"demo": false}`, "[]"} {
		if err := os.WriteFile(filepath.Join(used, "demo.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := node.IsDemo(used); got || !errors.Is(err, node.ErrMark) {
			t.Errorf("a mark of %q: %v, %v", text, got, err)
		}
		if got, err := node.MarkDemo(used); got || !errors.Is(err, node.ErrMark) {
			t.Errorf("mark over %q: %v, %v", text, got, err)
		}
	}
}
