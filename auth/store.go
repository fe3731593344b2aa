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

// ReloadInterval is how long a change of the token file may go unnoticed by a
// caller, and how long an open stream may outlive its token.
const ReloadInterval = time.Second

// lookInterval is how often the file is looked at. Half the promise, so that the
// checks of an open stream, which come on top, keep it.
const lookInterval = ReloadInterval / 2

// soonInterval is how often the file is looked at for tokens that it does not
// have: it bounds what someone without a token can cause.
const soonInterval = ReloadInterval / 100

// Store verifies tokens against the token file of a data folder, whose changes it
// follows, and the journal's set. It is safe for concurrent use and has no
// goroutine of its own. Verify takes no lock.
type Store struct {
	path   string
	logger *slog.Logger

	current atomic.Pointer[snapshot]
	checked atomic.Int64 // UnixNano of the last look at the file

	mu        sync.Mutex // one change at a time; guards what follows
	info      os.FileInfo
	file      []Token
	journaled []Token
}

// snapshot is both sources in one. It does not change.
type snapshot struct {
	tokens map[tokenID]entry
	err    error // the file changed into something that can't be read
}

type entry struct {
	hash, previous [sha256.Size]byte // zero: no secret hashes to it
	previousUntil  time.Time
	principal      Principal
	expires        time.Time
	revoked        bool
}

// Open reads the token file of a data folder. now starts the reload interval.
func Open(dir string, now time.Time, logger *slog.Logger) (*Store, error) {
	s := &Store{path: filepath.Join(dir, TokensFile), logger: logger}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.checked.Store(now.UnixNano())
	return s, nil
}

// Verify returns the principal of a token. The errors are [ErrUnknownToken] and
// [ErrExpiredToken].
func (s *Store) Verify(token string, now time.Time) (Principal, error) {
	id, hash, ok := splitToken(token)
	if !ok {
		return Principal{}, ErrUnknownToken
	}
	s.follow(now, lookInterval)
	p, err := s.verify(id, hash, now)
	if err != nil && s.follow(now, soonInterval) { // it may have been made a moment ago
		return s.verify(id, hash, now)
	}
	return p, err
}

func (s *Store) verify(id tokenID, hash [sha256.Size]byte, now time.Time) (Principal, error) {
	e, found := s.current.Load().tokens[id]
	// Compared also when not found, against hashes nothing has, so that timing
	// does not tell which ids exist.
	same := subtle.ConstantTimeCompare(hash[:], e.hash[:]) == 1
	before := subtle.ConstantTimeCompare(hash[:], e.previous[:]) == 1 && now.Before(e.previousUntil)
	if !found || !same && !before || e.revoked {
		return Principal{}, ErrUnknownToken
	}
	if !e.expires.IsZero() && !now.Before(e.expires) {
		return Principal{}, ErrExpiredToken
	}
	return e.principal, nil
}

// Revoked reports whether an id is revoked, in the file or in the journal. It is
// for callers who are known by other means than a token of the store.
func (s *Store) Revoked(id [16]byte, now time.Time) bool {
	s.follow(now, lookInterval)
	return s.current.Load().tokens[id].revoked
}

// SetJournaled replaces the set of tokens that comes from the journal. What the
// journal says of an id goes before what the file says of it, except that a token
// revoked in either is revoked, and that the earlier expiry counts. A journaled
// token without a hash changes the token of the file that has its secret; alone
// it opens nothing. A set with an entry that can't be understood is refused as a
// whole, and the one before stays. The store keeps the slice.
func (s *Store) SetJournaled(tokens []Token) error {
	seen := make(map[tokenID]bool, len(tokens))
	for i := range tokens {
		id, err := tokens[i].checkEntry()
		if err == nil && seen[id] {
			err = fmt.Errorf("id: %s occurs twice", tokens[i].ID)
		}
		if err != nil {
			return fmt.Errorf("journaled tokens[%d].%w", i, err)
		}
		seen[id] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journaled = tokens
	s.publish(s.current.Load().err)
	return nil
}

// Err returns why the token file could not be read after its last change, or
// nil. Until it is mended the entries read before it stay in force.
func (s *Store) Err() error {
	return s.current.Load().err
}

// follow looks at the file once per interval, on the caller's time: a change
// costs one caller one read. It reports whether it looked.
func (s *Store) follow(now time.Time, interval time.Duration) bool {
	if d := now.UnixNano() - s.checked.Load(); d < int64(interval) && d >= 0 {
		return false
	}
	if !s.mu.TryLock() {
		return false // another caller is at it
	}
	defer s.mu.Unlock()
	s.checked.Store(now.UnixNano())
	info, err := os.Stat(s.path)
	if err == nil && sameVersion(info, s.info) {
		return true
	}
	if err := s.load(); err != nil {
		if old := s.Err(); old == nil || old.Error() != err.Error() {
			s.logger.Error("token file can't be read: the entries read before stay in force", "error", err)
		}
		s.publish(err)
		return true
	}
	s.logger.Info("token file read again", "tokens", len(s.file))
	return true
}

// sameVersion relies on every write being a rename of a new file.
func sameVersion(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// load reads the file and publishes it.
func (s *Store) load() error {
	// The version is taken first: a change while reading is seen next time.
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("inspect the token file: %w", err)
	}
	f, err := readFile(s.path)
	if err != nil {
		return err
	}
	s.info, s.file = info, f.Tokens
	s.publish(nil)
	return nil
}

// publish merges both sources for Verify. Both were checked.
func (s *Store) publish(err error) {
	var old map[tokenID]entry
	if snap := s.current.Load(); snap != nil {
		old = snap.tokens
	}
	next := make(map[tokenID]entry, len(s.file)+len(s.journaled))
	for i := range s.file {
		id, e := s.file[i].entry()
		next[id] = e
	}
	for i := range s.journaled {
		id, e := s.journaled[i].entry()
		if f, found := next[id]; found {
			e.principal.Shadow = f.principal.Shadow // the journal can't say it
			if s.journaled[i].Hash == "" {
				e.hash, e.previous, e.previousUntil = f.hash, f.previous, f.previousUntil
			}
			e.revoked = e.revoked || f.revoked
			if e.expires.IsZero() || !f.expires.IsZero() && f.expires.Before(e.expires) {
				e.expires = f.expires
			}
		}
		next[id] = e
	}
	for id, e := range next { // a limit that did not change keeps what was used up
		if l, was := e.principal.Limiter, old[id].principal.Limiter; l != nil && was != nil && l.callRate == was.callRate && l.eventRate == was.eventRate {
			e.principal.Limiter = was
			next[id] = e
		}
	}
	s.current.Store(&snapshot{tokens: next, err: err})
}

// entry returns a checked token as Verify needs it.
func (t *Token) entry() (id tokenID, e entry) {
	decodeID(&id, t.ID)
	// A hash that is missing leaves zeros.
	_, _ = hex.Decode(e.hash[:], []byte(t.Hash))
	_, _ = hex.Decode(e.previous[:], []byte(t.PreviousHash))
	e.previousUntil, e.expires, e.revoked = t.PreviousUntil, t.Expires, !t.Revoked.IsZero()
	e.principal = Principal{ID: id, Name: t.Name, Role: t.Role, Via: ViaToken, Shadow: t.Shadow, Limiter: NewLimiter(t.CallsPerSecond, t.EventsPerSecond)}
	if len(t.Assets) > 0 || len(t.AddressPrefixes) > 0 {
		e.principal.Scope = &Scope{Assets: t.Assets, AddressPrefixes: t.AddressPrefixes}
	}
	return id, e
}
