package backup

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// maxExtra bounds an extra in bytes.
const maxExtra = 64 << 20

// putExtras overwrites what lies beside the backups: SHA-256 of the data, then the data.
func (w *writer) putExtras(ctx context.Context) error {
	for _, x := range w.o.Extras {
		name := extrasPrefix(w.o.Cell) + x.Name
		sum := sha256.Sum256(x.Data)
		if err := w.repository.Put(ctx, name, append(sum[:], x.Data...)); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
	}
	return nil
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
