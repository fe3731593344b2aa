package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
)

// ErrEntry is an entry of the log that can't be read.
var ErrEntry = errors.New("entry of the log")

// Entry is a signed statement in the log.
type Entry struct {
	Index     uint64 // place in the log, from 0
	Statement []byte // [Statement.Encode]
	Signature []byte // Ed25519 over Statement
}

const (
	signatureHead = "ed25519 "
	signatureLine = len(signatureHead) + 88 + 1 // 64 bytes in base64, and the line feed
	maxEntry      = maxStatement + signatureLine
)

// seal returns an entry's bytes as they stand in the log: the statement, and a line with its signature.
func (e *Entry) seal() []byte {
	return fmt.Appendf(bytes.Clone(e.Statement), "%s%s\n", signatureHead, base64.StdEncoding.EncodeToString(e.Signature))
}

// ParseEntry reads an entry's bytes. It checks neither the signature nor what is stated.
func ParseEntry(index uint64, b []byte) (Entry, error) {
	if len(b) < signatureLine || len(b) > maxEntry {
		return Entry{}, fmt.Errorf("%w %d: it has %d bytes, want %d to %d", ErrEntry, index, len(b), signatureLine, maxEntry)
	}
	at := len(b) - signatureLine
	text, ok := bytes.CutPrefix(b[at:], []byte(signatureHead))
	if !ok || text[len(text)-1] != '\n' {
		return Entry{}, fmt.Errorf("%w %d: it does not end with a signature", ErrEntry, index)
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(string(text[:len(text)-1]))
	if err != nil || len(signature) != ed25519.SignatureSize {
		return Entry{}, fmt.Errorf("%w %d: its signature is not 64 bytes in base64", ErrEntry, index)
	}
	return Entry{index, bytes.Clone(b[:at]), signature}, nil
}

// Open checks the signature and reads the statement.
func (e *Entry) Open(key ed25519.PublicKey) (Statement, error) {
	if !Verify(key, e.Statement, e.Signature) {
		return Statement{}, fmt.Errorf("%w %d: the signature is not of this statement by this key", ErrEntry, e.Index)
	}
	s, err := ParseStatement(e.Statement)
	if err != nil {
		return s, fmt.Errorf("%w %d: %w", ErrEntry, e.Index, err)
	}
	return s, nil
}
