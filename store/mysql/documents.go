package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

const (
	documentSQL       = `SELECT body FROM sterling_document WHERE cell = ? AND name = ?`
	documentsSQL      = `SELECT name FROM sterling_document WHERE cell = ? AND SUBSTRING(name, 1, ?) = ? ORDER BY name`
	putDocumentSQL    = `INSERT INTO sterling_document (cell, name, body) SELECT ?, ?, ? FROM DUAL` + insertWritable + ` ON DUPLICATE KEY UPDATE body = VALUES(body)`
	removeDocumentSQL = `DELETE FROM sterling_document WHERE cell = ? AND name = ?`

	maxDocument     = 2 << 20
	maxDocumentName = 160
)

// Document returns what the cell's nodes keep under a name, nil where there is nothing.
func (s *Store) Document(ctx context.Context, name string) ([]byte, error) {
	return s.document(ctx, s.cell, name)
}

func (s *Store) document(ctx context.Context, cell uint64, name string) (body []byte, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	err = s.readers.QueryRowContext(ctx, documentSQL, key(cell), []byte(name)).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read document %q: %w", name, s.renew(err))
	}
	return body, nil
}

// Documents returns the names that begin with a prefix, in order.
func (s *Store) Documents(ctx context.Context, prefix string) (names []string, err error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	err = s.query(ctx, func(rows *sql.Rows) error {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
		return nil
	}, documentsSQL, key(s.cell), len(prefix), []byte(prefix))
	if err != nil {
		return nil, fmt.Errorf("list documents %q: %w", prefix, err)
	}
	return names, nil
}

// PutDocument keeps body, 1 byte to 2 MiB, under a name of 1 to 160 bytes of ASCII, in place of what was there. After an
// error it is one or the other.
func (s *Store) PutDocument(ctx context.Context, name string, body []byte) error {
	if name == "" || len(name) > maxDocumentName || len(body) == 0 || len(body) > maxDocument {
		return fmt.Errorf("keep document %.80q: a name of %d bytes, a body of %d: want 1 to %d and 1 to %d", name, len(name), len(body), maxDocumentName, maxDocument)
	}
	if err := s.exec(ctx, putDocumentSQL, key(s.cell), []byte(name), body); err != nil {
		return fmt.Errorf("keep document %q: %w", name, err)
	}
	return nil
}

// RemoveDocument forgets what is kept under a name, if there is something.
func (s *Store) RemoveDocument(ctx context.Context, name string) error {
	if err := s.exec(ctx, removeDocumentSQL, key(s.cell), []byte(name)); err != nil {
		return fmt.Errorf("remove document %q: %w", name, err)
	}
	return nil
}

func (s *Store) exec(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	_, err := s.readers.ExecContext(ctx, statement, args...)
	return s.renew(err)
}
