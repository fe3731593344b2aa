package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

const (
	documentSQL       = `SELECT body FROM sterling_document WHERE cell = $1 AND name = $2`
	documentsSQL      = `SELECT name FROM sterling_document WHERE cell = $1 AND substring(name, 1, $3::integer) = $2::varchar`
	putDocumentSQL    = `INSERT INTO sterling_document (cell, name, body) VALUES ($1, $2, $3) ON CONFLICT (cell, name) DO UPDATE SET body = excluded.body`
	removeDocumentSQL = `DELETE FROM sterling_document WHERE cell = $1 AND name = $2`

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
	err = s.readers.QueryRow(ctx, documentSQL, key(cell), name).Scan(&body)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read document %q: %w", name, s.doubt(err))
	}
	return body, nil
}

// Documents returns the names that begin with a prefix, in order.
func (s *Store) Documents(ctx context.Context, prefix string) ([]string, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	rows, err := s.readers.Query(ctx, documentsSQL, key(s.cell), prefix, len(prefix))
	if err != nil {
		return nil, fmt.Errorf("list documents %q: %w", prefix, s.doubt(err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list documents %q: %w", prefix, s.doubt(err))
	}
	slices.Sort(names) // as bytes: the database may have an order of its own
	return names, nil
}

// PutDocument keeps body, 1 byte to 2 MiB, under a name of 1 to 160 bytes of ASCII, in place of what was there. After an
// error it is one or the other.
func (s *Store) PutDocument(ctx context.Context, name string, body []byte) error {
	if name == "" || len(name) > maxDocumentName || len(body) == 0 || len(body) > maxDocument {
		return fmt.Errorf("keep document %.80q: a name of %d bytes, a body of %d: want 1 to %d and 1 to %d", name, len(name), len(body), maxDocumentName, maxDocument)
	}
	if err := s.durably(ctx, putDocumentSQL, key(s.cell), name, body); err != nil {
		return fmt.Errorf("keep document %q: %w", name, err)
	}
	return nil
}

// RemoveDocument forgets what is kept under a name, if there is something.
func (s *Store) RemoveDocument(ctx context.Context, name string) error {
	if err := s.durably(ctx, removeDocumentSQL, key(s.cell), name); err != nil {
		return fmt.Errorf("remove document %q: %w", name, err)
	}
	return nil
}

// durably runs a statement in a transaction of its own, whose commit is a durable one whatever the server's default is.
func (s *Store) durably(ctx context.Context, statement string, args ...any) error {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return s.doubt(pgx.BeginFunc(ctx, s.readers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, durableSQL); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statement, args...)
		return err
	}))
}
