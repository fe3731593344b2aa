package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Repository keeps objects by name. Names are relative, of lower-case letters, digits, "-", "_", "." and "/". Its
// methods are safe for concurrent use, by several processes too.
type Repository interface {
	// Put stores an object of at least one byte, whole or not at all; it is durable when Put returns nil. An object of the same name is
	// replaced. Put does not keep data.
	Put(ctx context.Context, name string, data []byte) error
	// Get returns an object of at most limit bytes; ErrAbsent where there is none, ErrDamaged where it is larger.
	Get(ctx context.Context, name string, limit int64) ([]byte, error)
	// List returns what lies below a prefix that ends with "/", in the order of names. What an interrupted Put left
	// behind is listed with Leftover set.
	List(ctx context.Context, prefix string) ([]Entry, error)
	// Remove deletes an object; one that is not there is no error.
	Remove(ctx context.Context, name string) error
}

// Entry is one object in a listing.
type Entry struct {
	Name     string
	Bytes    int64
	Modified time.Time // by the repository's clock
	Leftover bool      // of a Put that was cut short
}

// Names in a repository.
func cellPrefix(cell uint64) string     { return fmt.Sprintf("cell-%d/", cell) }
func manifestPrefix(cell uint64) string { return cellPrefix(cell) + "manifests/" }
func blocksPrefix(cell uint64) string   { return cellPrefix(cell) + "blocks/" }
func extrasPrefix(cell uint64) string   { return cellPrefix(cell) + "extras/" }

const manifestSuffix = ".json"

func manifestName(cell uint64, id string) string {
	return manifestPrefix(cell) + id + manifestSuffix
}

func runName(cell, first, last uint64, sum Digest) string {
	return fmt.Sprintf("%s%016x-%016x-%s.run.zst", blocksPrefix(cell), first, last, sum)
}

// validName reports whether an extra may have this name: what it says can't lead out of a folder.
func validName(name string) bool {
	if name == "" || len(name) > 128 {
		return false
	}
	for _, part := range strings.Split(name, "/") {
		if strings.Trim(part, ".") == "" || strings.ContainsFunc(part, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
		}) {
			return false
		}
	}
	return true
}

// fetch gets an object that something else names: its absence is damage.
func fetch(ctx context.Context, r Repository, name string, limit int64) ([]byte, error) {
	b, err := r.Get(ctx, name, limit)
	if errors.Is(err, ErrAbsent) {
		return nil, &ObjectError{Object: name, Err: ErrMissing}
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return b, nil
}
