package backup

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// maxExtra bounds an extra in bytes.
const maxExtra = 1 << 30

// putExtras overwrites what lies beside the backups: SHA-256 of the data, then the data.
func (w *writer) putExtras(ctx context.Context) error {
	for _, x := range w.o.Extras {
		if err := PutExtra(ctx, w.repository, w.o.Cell, x); err != nil {
			return err
		}
	}
	return nil
}

// PutExtra overwrites one extra of a cell, apart from a backup.
func PutExtra(ctx context.Context, r Repository, cell uint64, x Extra) error {
	name := extrasPrefix(cell) + x.Name
	put := func(data []byte) error {
		sum := sha256.Sum256(data)
		if err := r.Put(ctx, name, append(sum[:], data...)); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		return nil
	}
	if x.Source == nil {
		return put(x.Data)
	}
	return x.Source(ctx, func(_ context.Context, from io.Reader, size int64) error {
		if size < 0 || size > maxExtra {
			return fmt.Errorf("put %s: %d bytes, at most %d", name, size, maxExtra)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(from, data); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		return put(data)
	})
}

// getExtras reads what a backup says lies beside it.
func getExtras(ctx context.Context, r Repository, m *Manifest) ([]Extra, error) {
	var list []Extra
	for _, n := range m.Extras {
		name := extrasPrefix(m.Cell) + n
		b, err := fetch(ctx, r, name, sha256.Size+maxExtra)
		if err != nil {
			return nil, err
		}
		if len(b) < sha256.Size || sha256.Sum256(b[sha256.Size:]) != [sha256.Size]byte(b[:sha256.Size]) {
			return nil, damaged(name, "its hash is not the one it says")
		}
		list = append(list, Extra{Name: n, Data: b[sha256.Size:]})
	}
	return list, nil
}
