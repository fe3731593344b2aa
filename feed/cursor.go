package feed

import (
	"context"
	"encoding/json"
	"fmt"
)

// cursor is the document that says how far a sink is.
type cursor struct {
	Sink     string   `json:"sink"`
	Position Position `json:"position"` // everything up to here is delivered
}

// readCursor returns the position, or ok false where there is none yet.
func readCursor(ctx context.Context, shelf Shelf, sink string) (p Position, ok bool, err error) {
	b, err := shelf.Document(ctx, cursorName(sink))
	if err != nil {
		return p, false, fmt.Errorf("read the cursor: %w", err)
	}
	if b == nil {
		return p, false, nil
	}
	var c cursor
	if err := json.Unmarshal(b, &c); err != nil {
		return p, false, fmt.Errorf("read the cursor %s: %w", cursorName(sink), err)
	}
	if err := c.Position.check(); err != nil || c.Sink != sink {
		return p, false, fmt.Errorf("read the cursor %s: it is of sink %q, at %v", cursorName(sink), c.Sink, c.Position)
	}
	return c.Position, true, nil
}

func writeCursor(ctx context.Context, shelf Shelf, sink string, p Position) error {
	b, err := json.Marshal(cursor{sink, p})
	if err == nil {
		err = shelf.PutDocument(ctx, cursorName(sink), append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	return nil
}
