package audit

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
)

// MakeLog writes a log of many statements at once, as OpenLog would one by one. Bad ones, too: nothing is checked.
func MakeLog(t testing.TB, key *Key, dir string, list []Statement) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer{origin(1), key}).
		WithCheckpointInterval(100*time.Millisecond).WithCheckpointRepublishInterval(0).WithBatching(128, 20*time.Millisecond)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		t.Fatal(err)
	}
	var added []tessera.IndexFuture
	for i := range list {
		text, err := list[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		added = append(added, appender.Add(ctx, tessera.NewEntry((&Entry{Statement: text, Signature: key.Sign(text)}).seal())))
	}
	for _, index := range added {
		if _, err := index(); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

// NewTestKey returns the key of a seed.
func NewTestKey(seed []byte) *Key { return &Key{ed25519.NewKeyFromSeed(seed)} }

// Seal returns an entry's bytes as they stand in the log.
func Seal(e *Entry) []byte { return e.seal() }

// PathOf reads the path of a file and writes it again.
func PathOf(path string) (again string, needs uint64, ok bool) {
	f, ok := parseFile(path)
	return f.path(), f.needs(), ok
}

// ParseBundle parts a bundle.
func ParseBundle(b []byte, n uint64) ([][]byte, error) { return parseBundle(b, n) }
