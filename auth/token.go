package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// A token is sterling_<id>_<secret>: the id finds the entry of the token file,
// the secret proves possession. Both are lower-case hexadecimal.
const (
	tokenPrefix = "sterling_"
	idBytes     = 16
	secretBytes = 32
	tokenLength = len(tokenPrefix) + 2*idBytes + 1 + 2*secretBytes
)

type tokenID = [idBytes]byte

// newToken draws a token and returns it with its id and the hash to store.
func newToken(random io.Reader) (token string, id tokenID, hash [sha256.Size]byte, err error) {
	var secret [secretBytes]byte
	if _, err := io.ReadFull(random, id[:]); err != nil {
		return "", id, hash, fmt.Errorf("draw a token id: %w", err)
	}
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", id, hash, fmt.Errorf("draw a token secret: %w", err)
	}
	text := hex.EncodeToString(secret[:])
	return tokenPrefix + hex.EncodeToString(id[:]) + "_" + text, id, sha256.Sum256([]byte(text)), nil
}

// NewToken draws a token that belongs to no data folder: the token itself, which
// is shown once and never kept, its id (32 hexadecimal digits), and the SHA-256
// of its secret, which is all that others need. It gets its rights from the
// journal: see [Store.SetJournaled].
func NewToken(random io.Reader) (token, id string, hash [sha256.Size]byte, err error) {
	token, raw, hash, err := newToken(random)
	return token, hex.EncodeToString(raw[:]), hash, err
}

// splitToken returns the id and the hash of the secret; ok is false if the token
// does not have the shape of one.
func splitToken(token string) (id tokenID, hash [sha256.Size]byte, ok bool) {
	if len(token) != tokenLength || !strings.HasPrefix(token, tokenPrefix) {
		return id, hash, false
	}
	rest := token[len(tokenPrefix):]
	if rest[2*idBytes] != '_' || !decodeID(&id, rest[:2*idBytes]) {
		return id, hash, false
	}
	var secret [2 * secretBytes]byte // on the stack: this runs for every call
	copy(secret[:], rest[2*idBytes+1:])
	return id, sha256.Sum256(secret[:]), true
}

func decodeID(id *tokenID, text string) bool {
	var digits [2 * idBytes]byte
	if copy(digits[:], text) != len(digits) || strings.ToLower(text) != text {
		return false
	}
	_, err := hex.Decode(id[:], digits[:])
	return err == nil
}

// Bearer returns the token of an Authorization header's value. The scheme is
// compared without regard to case (RFC 9110, 11.1).
func Bearer(header string) (token string, ok bool) {
	const scheme = "Bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", false
	}
	return header[len(scheme):], true
}
