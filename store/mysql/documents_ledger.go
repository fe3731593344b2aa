package mysql

import (
	"context"
	"fmt"
)

// addDocumentSQL changes nothing where there is something. IGNORE would hide other faults as well.
const addDocumentSQL = `INSERT INTO sterling_document (cell, name, body) SELECT ?, ?, ? FROM DUAL` + insertWritable + ` ON DUPLICATE KEY UPDATE body = body`

// everyCell has what the nodes of all cells keep together: no cell has this number.
const everyCell = 0

// LedgerDocument returns what the nodes of all cells keep under a name, nil where there is nothing.
func (s *Store) LedgerDocument(ctx context.Context, name string) ([]byte, error) {
	return s.document(ctx, everyCell, name)
}

// AddLedgerDocument keeps body, 1 byte to 2 MiB, for the nodes of all cells, under a name of 1 to 160 bytes of ASCII. What
// is there already stays, and is no error: LedgerDocument tells which one it is.
func (s *Store) AddLedgerDocument(ctx context.Context, name string, body []byte) error {
	if name == "" || len(name) > maxDocumentName || len(body) == 0 || len(body) > maxDocument {
		return fmt.Errorf("add document %.80q: a name of %d bytes, a body of %d: want 1 to %d and 1 to %d", name, len(name), len(body), maxDocumentName, maxDocument)
	}
	if err := s.exec(ctx, addDocumentSQL, key(everyCell), []byte(name), body); err != nil {
		return fmt.Errorf("add document %q: %w", name, err)
	}
	return nil
}
