package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sterlingrun/sterling/durable"
)

// cursor is the file that says how far a sink is.
type cursor struct {
	Sink     string   `json:"sink"`
	Position Position `json:"position"` // everything up to here is delivered
}

// readCursor returns the position, or ok false where there is no file yet.
func readCursor(path, sink string) (p Position, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, false, nil
	}
	if err != nil {
		return p, false, fmt.Errorf("read the cursor: %w", err)
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return p, false, fmt.Errorf("read the cursor %s: %w", path, err)
	}
	if err := c.Position.check(); err != nil || c.Sink != sink {
		return p, false, fmt.Errorf("read the cursor %s: it is of sink %q, at %v", path, c.Sink, c.Position)
	}
	return c.Position, true, nil
}

func writeCursor(path, sink string, p Position) error {
	b, err := json.Marshal(cursor{sink, p})
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return durable.WriteFile(path, append(b, '\n'))
}
