package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sterlingrun/sterling/durable"
)

// demoFile marks a data folder as a demonstration's. What would be a crime elsewhere, such as money that moves without
// an order, is made there on purpose; so the mark is given to empty folders only, and never taken away or added later.
const demoFile = "demo.json"

// demoMark is what the file says.
type demoMark struct {
	Demo bool `json:"demo"`
}

// ErrMark is a mark that can't be read: the folder then counts as nobody's demonstration.
var ErrMark = errors.New("damaged mark of a demonstration")

// MarkDemo makes a folder that is not there yet, or is empty, a demonstration's. Of any other it changes nothing: demo
// tells what it is.
func MarkDemo(data string) (demo bool, err error) {
	entries, err := os.ReadDir(data)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look into the data folder: %w", err)
	}
	for _, e := range entries {
		if e.Name() != "lost+found" {
			return IsDemo(data)
		}
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return false, fmt.Errorf("make the data folder: %w", err)
	}
	mark, err := json.Marshal(demoMark{true})
	if err != nil {
		return false, fmt.Errorf("mark the data folder: %w", err)
	}
	if err := durable.WriteFile(filepath.Join(data, demoFile), append(mark, '\n')); err != nil {
		return false, fmt.Errorf("mark the data folder: %w", err)
	}
	return true, nil
}

// IsDemo tells whether a folder is a demonstration's. ErrMark where the mark is there and says something else.
func IsDemo(data string) (bool, error) {
	b, err := os.ReadFile(filepath.Join(data, demoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the mark of a demonstration: %w", err)
	}
	var m demoMark
	if err := json.Unmarshal(b, &m); err != nil || !m.Demo {
		return false, fmt.Errorf("%w: %s", ErrMark, filepath.Join(data, demoFile))
	}
	return true, nil
}
