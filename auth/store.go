package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// ReloadInterval is how long a change of the token file may go unnoticed.
const ReloadInterval = time.Second

// Store verifies tokens against the token file of a data folder and follows its
// changes. It is safe for concurrent use and has no goroutine of its own.
type Store struct {
	path   string
	logger *slog.Logger

	current atomic.Pointer[snapshot]
	checked atomic.Int64 // UnixNano of the last look at the file
	mu      sync.Mutex   // one reload at a time
}

type snapshot struct {
	file   os.FileInfo
	tokens map[tokenID]entry
	err    error // the file changed into something that can't be read
}

type entry struct {
	hash      [sha256.Size]byte
	principal Principal
	expires   time.Time
	revoked   bool
}

// Open reads the token file of a data folder. now starts the reload interval.
func Open(dir string, now time.Time, logger *slog.Logger) (*Store, error) {
	s := &Store{path: filepath.Join(dir, TokensFile), logger: logger}
	snap, err := load(s.path)
	if err != nil {
		return nil, err
	}
	s.current.Store(snap)
	s.checked.Store(now.UnixNano())
	return s, nil
}

// Verify returns the principal of a token. The errors are [ErrUnknownToken] and
// [ErrExpiredToken].
func (s *Store) Verify(token string, now time.Time) (Principal, error) {
	s.follow(now)
	id, hash, ok := splitToken(token)
	if !ok {
		return Principal{}, ErrUnknownToken
	}
	e, found := s.current.Load().tokens[id]
	// Compared also when not found, against a hash nothing has, so that timing
	// does not tell which ids exist.
	same := subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1
	if !found || !same || e.revoked {
		return Principal{}, ErrUnknownToken
	}
	if !e.expires.IsZero() && !now.Before(e.expires) {
		return Principal{}, ErrExpiredToken
	}
	return e.principal, nil
}

// Err returns why the token file could not be read after its last change, or
// nil. Until it is mended the entries read before it stay in force.
func (s *Store) Err() error {
	return s.current.Load().err
}

// follow looks at the file once per interval, on the caller's time: a change
// costs one caller one read.
func (s *Store) follow(now time.Time) {
	if d := now.UnixNano() - s.checked.Load(); d < int64(ReloadInterval) && d >= 0 {
		return
	}
	if !s.mu.TryLock() {
		return // another caller is at it
	}
	defer s.mu.Unlock()
	s.checked.Store(now.UnixNano())
	old := s.current.Load()
	info, err := os.Stat(s.path)
	if err == nil && sameVersion(info, old.file) {
		return
	}
	next, err := load(s.path)
	if err != nil {
		if old.err == nil || old.err.Error() != err.Error() {
			s.logger.Error("token file can't be read: the entries read before stay in force", "error", err)
		}
		s.current.Store(&snapshot{file: old.file, tokens: old.tokens, err: err})
		return
	}
	s.current.Store(next)
	s.logger.Info("token file read again", "tokens", len(next.tokens))
}

// sameVersion relies on every write being a rename of a new file.
func sameVersion(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func load(path string) (*snapshot, error) {
	// The version is taken first: a change while reading is seen next time.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("inspect the token file: %w", err)
	}
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	snap := &snapshot{file: info, tokens: make(map[tokenID]entry, len(f.Tokens))}
	for i, t := range f.Tokens {
		var e entry
		if !decodeID(&e.principal.ID, t.ID) {
			return nil, fmt.Errorf("tokens[%d].id: want %d lower-case hexadecimal digits", i, 2*idBytes)
		}
		if _, err := hex.Decode(e.hash[:], []byte(t.Hash)); err != nil {
			return nil, fmt.Errorf("tokens[%d].sha256: %w", i, err)
		}
		e.principal.Name, e.principal.Role = t.Name, t.Role
		e.expires, e.revoked = t.Expires, !t.Revoked.IsZero()
		snap.tokens[e.principal.ID] = e
	}
	return snap, nil
}
