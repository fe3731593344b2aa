package keystore

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	masterPrefix = "sterling-master-key-1 "
	masterIDSize = 8
	rotating     = ".new" // suffix of the next master key while the store changes to it
)

// FileMaster is a [Master] whose key lies in a file. The file has one line: a name, a blank, and 64 hexadecimal digits.
type FileMaster struct {
	key [keySize]byte
	id  [masterIDSize]byte // says which key wrapped something, and nothing about the key
}

// NewMaster returns a master with this key, which nobody may be able to guess.
func NewMaster(key [32]byte) (*FileMaster, error) {
	id, err := hkdf.Expand(sha256.New, key[:], "sterling master key id", masterIDSize)
	if err != nil {
		return nil, fmt.Errorf("derive the id of the master key: %w", err)
	}
	return &FileMaster{key: key, id: [masterIDSize]byte(id)}, nil
}

// CreateMaster makes a random master key and writes it to a file, readable by its owner only, which must not be there
// yet. It is durable on return.
func CreateMaster(path string) (*FileMaster, error) {
	var key [keySize]byte
	if err := random(key[:]); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of the master key: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create the master key: %w", err)
	}
	_, err = f.WriteString(masterPrefix + hex.EncodeToString(key[:]) + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("write the master key %s: %w", path, err), os.Remove(path))
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return NewMaster(key)
}

// LoadMaster reads a master key that [CreateMaster] wrote. A file that others than its owner may read or write is
// refused. Where there is none, the error is an [fs.ErrNotExist].
func LoadMaster(path string) (*FileMaster, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the master key: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("inspect the master key: %w", err)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s may be read or written by others (mode %v): chmod 600 it, and if others had access, rotate it", ErrMaster, path, perm)
	}
	b, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	text, ok := bytes.CutPrefix(bytes.TrimSpace(b), []byte(masterPrefix))
	var key [keySize]byte
	if !ok || len(text) != 2*keySize {
		return nil, fmt.Errorf("%w: %s does not hold one", ErrMaster, path)
	}
	if _, err := hex.Decode(key[:], text); err != nil {
		return nil, fmt.Errorf("%w: %s does not hold one", ErrMaster, path)
	}
	return NewMaster(key)
}

// ID names the key, in 16 hexadecimal digits, without telling anything about it.
func (m *FileMaster) ID() string { return hex.EncodeToString(m.id[:]) }

// Wrap implements [Master].
func (m *FileMaster) Wrap(_ context.Context, root [32]byte) ([]byte, error) {
	aead, err := newAEAD(m.key[:])
	if err != nil {
		return nil, err
	}
	b := make([]byte, masterIDSize+nonceSize, masterIDSize+nonceSize+keySize+tagSize)
	copy(b, m.id[:])
	if err := random(b[masterIDSize:]); err != nil {
		return nil, err
	}
	return aead.Seal(b, b[masterIDSize:], root[:], m.id[:]), nil
}

// Unwrap implements [Master].
func (m *FileMaster) Unwrap(_ context.Context, wrapped []byte) (root [32]byte, err error) {
	if len(wrapped) != masterIDSize+nonceSize+keySize+tagSize {
		return root, fmt.Errorf("%w: a key of %d bytes was not wrapped by a master key in a file", ErrMaster, len(wrapped))
	}
	if id := wrapped[:masterIDSize]; !bytes.Equal(id, m.id[:]) {
		return root, fmt.Errorf("%w: the keys were wrapped with master key %x, this one is %x", ErrMaster, id, m.id)
	}
	aead, err := newAEAD(m.key[:])
	if err != nil {
		return root, err
	}
	clear, err := aead.Open(nil, wrapped[masterIDSize:][:nonceSize], wrapped[masterIDSize+nonceSize:], m.id[:])
	if err != nil {
		return root, fmt.Errorf("%w: the wrapped key was altered", ErrMaster)
	}
	return [32]byte(clear), nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the folder of the master key: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync the folder of the master key: %w", err)
	}
	return nil
}

// scrubFile overwrites a file of the operating system with random bytes and removes it. One that is not there is fine.
func scrubFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s to overwrite it: %w", path, err)
	}
	junk := make([]byte, len(masterPrefix)+2*keySize+1)
	err = random(junk)
	if err == nil {
		_, err = f.Write(junk)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("overwrite %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the overwritten %s: %w", path, err)
	}
	return syncFolder(filepath.Dir(path))
}
