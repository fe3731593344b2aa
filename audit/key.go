// Package audit signs what a ledger states about itself, keeps the statements in a transparency log that nobody can
// rewrite unnoticed, and verifies such a log by nothing but its public key. It knows neither what a block is nor how
// totals come about, and never reads a journal: node hands statements in. Start reading at Statement, Log and VerifyLog; Key
// is what signs.
package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sterlingrun/sterling/durable"
)

// KeyFile is the name of the key's file in a data folder: PKCS #8 in PEM, mode 0600.
const KeyFile = "signing.key"

const pemType = "PRIVATE KEY"

// ErrKey is a key file that can't be used.
var ErrKey = errors.New("signing key")

// Key is an Ed25519 key. It is safe for concurrent use.
type Key struct{ private ed25519.PrivateKey }

// OpenKey reads the key of a data folder, and makes one where there is none. Others must not be able to read it.
func OpenKey(dir string) (*Key, error) {
	path := filepath.Join(dir, KeyFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s can be read by others (mode %v): chmod 600", ErrKey, path, info.Mode().Perm())
	}
	block, rest := pem.Decode(data)
	if block == nil || block.Type != pemType || len(rest) > 0 {
		return nil, fmt.Errorf("%w: %s is not a private key in PEM", ErrKey, path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKey, path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: %s holds a %T, want Ed25519", ErrKey, path, parsed)
	}
	return &Key{private}, nil
}

func makeKey(path string) (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if err := durable.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: encoded})); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Key{private}, nil
}

// Sign signs a statement. The same statement always gets the same signature.
func (k *Key) Sign(statement []byte) []byte { return ed25519.Sign(k.private, statement) }

// Public returns the key that Verify takes, 32 bytes.
func (k *Key) Public() ed25519.PublicKey { return k.private.Public().(ed25519.PublicKey) }

// Verify reports whether the signature is of this statement, by the holder of the key.
func Verify(public ed25519.PublicKey, statement, signature []byte) bool {
	return len(public) == ed25519.PublicKeySize && ed25519.Verify(public, statement, signature)
}
