package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// Names of the files in the data folder. Each has mode 0600.
const (
	TokensFile = "tokens.json" // entries without secrets
	AdminFile  = "admin.token" // the first token, in clear, for the person who set up the node
	lockFile   = "tokens.lock" // held while tokens.json is rewritten
)

const (
	fileVersion1 = 1 // has neither scopes, rates nor rotation
	fileVersion2 = 2 // written only where one of them is used, so that older programs go on where they can
	fileVersion3 = 3 // has shadow, which an older program must not overlook; written only where it is used
	maxFileBytes = 8 << 20
	maxNameBytes = 64
	filePerm     = 0o600
)

// Token is an entry of the token file: everything about a token but its secret.
type Token struct {
	ID      string    `json:"id"` // 32 hexadecimal digits
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"sha256"` // of the secret's text, hexadecimal
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // zero: in force; the entry stays, for its name in audits

	Scope                   // of version 2, like all below
	CallsPerSecond  float64 `json:"calls_per_second,omitempty"`  // 0: no limit
	EventsPerSecond float64 `json:"events_per_second,omitempty"` // 0: no limit
	// PreviousHash is that of the secret before the last rotation, good until
	// PreviousUntil.
	PreviousHash  string    `json:"previous_sha256,omitempty"`
	PreviousUntil time.Time `json:"previous_until,omitzero"`

	// Shadow is a token for the shadow traffic of load tests: the ledger takes nothing unmarked of it, and its shadow
	// takes nothing of other tokens. Of version 3.
	Shadow bool `json:"shadow,omitempty"`
}

// needs2 reports whether an entry has what version 1 of the file can't say.
func (t *Token) needs2() bool {
	return len(t.Assets) > 0 || len(t.AddressPrefixes) > 0 || t.CallsPerSecond != 0 || t.EventsPerSecond != 0 ||
		t.PreviousHash != "" || !t.PreviousUntil.IsZero()
}

// version is the lowest version of the file that can say what the entry has.
func (t *Token) version() int {
	switch {
	case t.Shadow:
		return fileVersion3
	case t.needs2():
		return fileVersion2
	}
	return fileVersion1
}

type tokenFile struct {
	Version int     `json:"version"`
	Tokens  []Token `json:"tokens"`
}

// ErrNoToken is returned by [Revoke] for an id that the file does not have.
var ErrNoToken = errors.New("no such token")

// Bootstrap makes the first admin token of a data folder and writes it to
// admin.token. It does nothing, and returns false, where tokens.json exists. A
// folder with an admin.token but without tokens.json was left by a crash in
// between: that token is registered.
func Bootstrap(dir string, now time.Time, random io.Reader) (created bool, err error) {
	err = withLock(dir, func() error {
		if _, err := os.Lstat(filepath.Join(dir, TokensFile)); err == nil {
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for the token file: %w", err)
		}
		id, hash, err := adminToken(dir, random)
		if err != nil {
			return err
		}
		created = true
		return writeFile(dir, tokenFile{Tokens: []Token{{
			ID: hex.EncodeToString(id[:]), Name: "first admin", Role: RoleAdmin,
			Hash: hex.EncodeToString(hash[:]), Created: now.UTC(),
		}}})
	})
	return created && err == nil, err
}

func adminToken(dir string, random io.Reader) (id tokenID, hash [sha256.Size]byte, err error) {
	path := filepath.Join(dir, AdminFile)
	token, id, hash, err := newToken(random)
	if err != nil {
		return id, hash, err
	}
	err = writeNew(path, []byte(token+"\n"))
	if !errors.Is(err, fs.ErrExist) {
		return id, hash, err
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return id, hash, fmt.Errorf("read the admin token left by an interrupted start: %w", err)
	}
	id, hash, ok := splitToken(string(bytes.TrimSpace(old)))
	if !ok {
		return id, hash, fmt.Errorf("%s holds no token and %s is missing: remove the first to make a new admin token", path, TokensFile)
	}
	return id, hash, nil
}

// Spec is what a new token is to be.
type Spec struct {
	Name    string // whose it is: 1 to 64 bytes of printable text
	Role    Role
	Expires time.Time // zero: never
	Scope
	CallsPerSecond, EventsPerSecond float64 // 0: no limit
	Shadow                          bool    // for shadow traffic only
}

// Create adds a token without scope and limits; see [CreateToken].
func Create(dir, name string, role Role, created, expires time.Time, random io.Reader) (token string, entry Token, err error) {
	return CreateToken(dir, Spec{Name: name, Role: role, Expires: expires}, created, random)
}

// CreateToken adds a token and returns it in clear: it can't be shown again.
func CreateToken(dir string, spec Spec, now time.Time, random io.Reader) (token string, entry Token, err error) {
	if err := checkName(spec.Name); err != nil {
		return "", Token{}, err
	}
	if !spec.Role.Allows(Read) {
		return "", Token{}, fmt.Errorf("role %v is unknown", spec.Role)
	}
	if !spec.Expires.IsZero() && !spec.Expires.After(now) {
		return "", Token{}, fmt.Errorf("the token would expire at %s, which is not in the future", spec.Expires.Format(time.RFC3339))
	}
	token, id, hash, err := newToken(random)
	if err != nil {
		return "", Token{}, err
	}
	entry = Token{
		ID: hex.EncodeToString(id[:]), Name: spec.Name, Role: spec.Role,
		Hash: hex.EncodeToString(hash[:]), Created: now.UTC(), Expires: utcOrZero(spec.Expires),
		Scope: spec.Scope, CallsPerSecond: spec.CallsPerSecond, EventsPerSecond: spec.EventsPerSecond, Shadow: spec.Shadow,
	}
	if err := entry.checkLimits(); err != nil {
		return "", Token{}, err
	}
	err = update(dir, func(f *tokenFile) error {
		f.Tokens = append(f.Tokens, entry)
		return nil
	})
	if err != nil {
		return "", Token{}, err
	}
	return token, entry, nil
}

// checkLimits checks what narrows a token.
func (t *Token) checkLimits() error {
	return errors.Join(t.check(), checkRate("calls_per_second", t.CallsPerSecond), checkRate("events_per_second", t.EventsPerSecond))
}

func utcOrZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC()
}

func checkName(name string) error {
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) {
		return fmt.Errorf("token name %q: want 1 to %d bytes of text", name, maxNameBytes)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("token name %q has a character that can't be printed", name)
		}
	}
	return nil
}

// Revoke ends a token by its id (32 hexadecimal digits, as [List] shows). Servers
// on the same folder refuse it within [ReloadInterval]. Revoking again is no
// error and keeps the first time.
func Revoke(dir, id string, now time.Time) error {
	return update(dir, func(f *tokenFile) error {
		for i := range f.Tokens {
			if f.Tokens[i].ID != id {
				continue
			}
			if f.Tokens[i].Revoked.IsZero() {
				f.Tokens[i].Revoked = now.UTC()
			}
			return nil
		}
		return fmt.Errorf("revoke token %q: %w", id, ErrNoToken)
	})
}

// Block revokes an actor whom the file does not know: the holder of an issuer's
// token or of a client certificate, by the actor id that the access log and the
// journal have (32 hexadecimal digits). name is kept for whoever reads the list.
// Of a token of the file it is Revoke.
func Block(dir, id, name string, now time.Time) error {
	if err := checkName(name); err != nil {
		return err
	}
	var parsed tokenID
	if len(id) != 2*idBytes || !decodeID(&parsed, id) {
		return fmt.Errorf("actor id %q: want %d lower-case hexadecimal digits", id, 2*idBytes)
	}
	return update(dir, func(f *tokenFile) error {
		for i := range f.Tokens {
			if t := &f.Tokens[i]; t.ID == id {
				if t.Revoked.IsZero() {
					t.Revoked = now.UTC()
				}
				return nil
			}
		}
		f.Tokens = append(f.Tokens, Token{
			ID: id, Name: name, Role: RoleReader, Hash: strings.Repeat("0", 2*sha256.Size), // of no secret
			Created: now.UTC(), Revoked: now.UTC(),
		})
		return nil
	})
}

// List returns the entries of the token file in the order of creation.
func List(dir string) ([]Token, error) {
	f, err := readFile(filepath.Join(dir, TokensFile))
	return f.Tokens, err
}

func update(dir string, change func(*tokenFile) error) error {
	return withLock(dir, func() error {
		f, err := readFile(filepath.Join(dir, TokensFile))
		if err != nil {
			return err
		}
		if err := change(&f); err != nil {
			return err
		}
		return writeFile(dir, f)
	})
}

// readFile reads and checks the whole file: an entry that can't be understood
// must not be skipped, for it may be a revocation.
func readFile(path string) (tokenFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return tokenFile{}, fmt.Errorf("open the token file: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return tokenFile{}, fmt.Errorf("inspect the token file: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return tokenFile{}, fmt.Errorf("%s can be written by others (mode %v): check its entries, then chmod 600 it", path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return tokenFile{}, fmt.Errorf("read the token file: %w", err)
	}
	if len(data) > maxFileBytes {
		return tokenFile{}, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	parsed, err := parseFile(data)
	if err != nil {
		return tokenFile{}, fmt.Errorf("parse %s: %w", path, err)
	}
	return parsed, nil
}

func parseFile(data []byte) (tokenFile, error) {
	var f tokenFile
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return tokenFile{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return tokenFile{}, errors.New("data after the end of the document")
	}
	if f.Version < fileVersion1 || f.Version > fileVersion3 {
		return tokenFile{}, fmt.Errorf("version %d is unknown: this program reads versions %d to %d; a newer one wrote it", f.Version, fileVersion1, fileVersion3)
	}
	seen := make(map[tokenID]bool, len(f.Tokens))
	for i := range f.Tokens {
		t := &f.Tokens[i]
		id, err := t.checkEntry()
		switch {
		case err != nil:
			return tokenFile{}, fmt.Errorf("tokens[%d].%w", i, err)
		case seen[id]:
			return tokenFile{}, fmt.Errorf("tokens[%d].id: %s occurs twice", i, t.ID)
		case f.Version < t.version():
			return tokenFile{}, fmt.Errorf("tokens[%d] has a scope, a rate, a rotation (of version 2) or shadow (of version 3), which version %d has not", i, f.Version)
		case t.Hash == "":
			return tokenFile{}, fmt.Errorf("tokens[%d].sha256 is missing", i)
		}
		seen[id] = true
	}
	return f, nil
}

// checkEntry checks an entry of the file or of the journal, but for a hash that
// is missing.
func (t *Token) checkEntry() (id tokenID, err error) {
	switch {
	case len(t.ID) != 2*idBytes || !decodeID(&id, t.ID):
		return id, fmt.Errorf("id: want %d lower-case hexadecimal digits", 2*idBytes)
	case t.Hash != "" && !isHash(t.Hash):
		return id, fmt.Errorf("sha256: want %d hexadecimal digits", 2*sha256.Size)
	case t.PreviousHash != "" && !isHash(t.PreviousHash):
		return id, fmt.Errorf("previous_sha256: want %d hexadecimal digits", 2*sha256.Size)
	case (t.PreviousHash == "") != t.PreviousUntil.IsZero():
		return id, errors.New("previous_sha256 and previous_until: want both or none")
	case !t.Role.Allows(Read):
		return id, errors.New("role is missing")
	}
	return id, t.checkLimits()
}

func isHash(text string) bool {
	hash, err := hex.DecodeString(text)
	return err == nil && len(hash) == sha256.Size
}

// writeFile replaces the token file so that a crash leaves the old or the new
// one, never a mixture.
func writeFile(dir string, f tokenFile) error {
	f.Version = fileVersion1
	for i := range f.Tokens {
		f.Version = max(f.Version, f.Tokens[i].version())
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the token file: %w", err)
	}
	if _, err := parseFile(data); err != nil {
		return fmt.Errorf("check the new token file: %w", err)
	}
	path := filepath.Join(dir, TokensFile)
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a leftover of an interrupted write: %w", err)
	}
	if err := writeNew(next, append(data, '\n')); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("put the new token file in place: %w", err)
	}
	return syncDir(dir)
}

// writeNew writes a file that must not exist yet, and its name, to the disk.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	err = errors.Join(d.Sync(), d.Close())
	if err != nil {
		return fmt.Errorf("sync the data folder: %w", err)
	}
	return nil
}

// withLock keeps two processes from rewriting the file at once. The lock file
// stays: removing it would let a third process lock another one.
func withLock(dir string, f func() error) (err error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, filePerm)
	if err != nil {
		return fmt.Errorf("open the token lock: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock the token file: %w", err)
	}
	return f()
}
