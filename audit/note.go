package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// maxNote bounds a checkpoint in bytes, with signatures of witnesses.
const maxNote = 64 << 10

const originHead = "sterling/"

// origin is the name of a cell's log, and of its key.
func origin(cell uint64) string { return originHead + strconv.FormatUint(cell, 10) }

// cellOf is the reverse of origin.
func cellOf(name string) (cell uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, originHead)
	cell, err := strconv.ParseUint(digits, 10, 64)
	return cell, ok && err == nil && origin(cell) == name
}

// Checkpoint is the log's own word on its size and content: a C2SP tlog-checkpoint, whose signature was checked.
type Checkpoint struct {
	Cell uint64
	Size uint64   // entries
	Root [32]byte // of the Merkle tree over them, RFC 6962
	Note []byte   // with the signature, as it was published
}

// signer signs notes by the key of a data folder.
type signer struct {
	name string
	key  *Key
}

// Name implements note.Signer.
func (s signer) Name() string { return s.name }

// KeyHash implements note.Signer.
func (s signer) KeyHash() uint32 { return keyHash(s.name, s.key.Public()) }

// Sign implements note.Signer.
func (s signer) Sign(text []byte) ([]byte, error) { return s.key.Sign(text), nil }

// algEd25519 is the algorithm's number in keys of notes.
const algEd25519 = 1

func keyHash(name string, key ed25519.PublicKey) uint32 {
	h := sha256.Sum256(fmt.Appendf(nil, "%s\n%c%s", name, algEd25519, key))
	return binary.BigEndian.Uint32(h[:])
}

// Trusted is a public key that whoever verifies a log trusts, and which cell it is of, if that is known.
type Trusted struct {
	Key  ed25519.PublicKey
	Cell uint64 // 0: of any
}

// String returns the key as a verifier key of notes: "sterling/1+8 digits+base64". It is what [ParseTrusted] reads, and
// what other tools for transparency logs take.
func (t Trusted) String() string {
	name := origin(t.Cell)
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, t.Key), base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, t.Key...)))
}

// ParseTrusted reads a public key: a verifier key of notes, 64 hexadecimal digits, or 32 bytes in base64.
func ParseTrusted(text string) (Trusted, error) {
	text = strings.TrimSpace(text)
	if name, rest, ok := strings.Cut(text, "+"); ok && strings.HasPrefix(name, originHead) {
		cell, ok := cellOf(name)
		_, encoded, _ := strings.Cut(rest, "+")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(raw) != 1+ed25519.PublicKeySize {
			return Trusted{}, fmt.Errorf("%w: %.120q is no verifier key of a ledger", ErrKey, text)
		}
		t := Trusted{raw[1:], cell}
		if t.String() != text {
			return Trusted{}, fmt.Errorf("%w: %.120q has a checksum of another key", ErrKey, text)
		}
		return t, nil
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if raw, err := decode(text); err == nil && len(raw) == ed25519.PublicKeySize {
			return Trusted{Key: raw}, nil
		}
	}
	return Trusted{}, fmt.Errorf("%w: want sterling/CELL+…, 64 hexadecimal digits or 32 bytes in base64, not %.120q", ErrKey, text)
}

// OpenCheckpoint reads a published checkpoint and checks its signature by the key.
func (t Trusted) OpenCheckpoint(raw []byte) (Checkpoint, error) {
	if len(raw) > maxNote {
		return Checkpoint{}, fmt.Errorf("checkpoint of %d bytes, at most %d", len(raw), maxNote)
	}
	name, _, _ := bytes.Cut(raw, []byte("\n"))
	cell, ok := cellOf(string(name))
	if !ok {
		return Checkpoint{}, fmt.Errorf("%.80q is not the log of a ledger: its checkpoint begins with %sCELL", name, originHead)
	}
	if t.Cell != 0 && cell != t.Cell {
		return Checkpoint{}, fmt.Errorf("it is the log of cell %d, the key is of cell %d", cell, t.Cell)
	}
	verifier, err := note.NewVerifier(Trusted{t.Key, cell}.String())
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	n, err := note.Open(raw, note.VerifierList(verifier))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by this key: %w", err)
	}
	c := Checkpoint{Cell: cell, Note: bytes.Clone(raw)}
	lines := strings.Split(n.Text, "\n") // origin, size, root, and the end of the last line
	if len(lines) != 4 || !scan(lines[1], &c.Size) || strconv.FormatUint(c.Size, 10) != lines[1] {
		return Checkpoint{}, errors.New("the checkpoint has more or less than origin, size and root")
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return Checkpoint{}, fmt.Errorf("the root of the checkpoint, %.80q, is not 32 bytes in base64", lines[2])
	}
	c.Root = [sha256.Size]byte(root)
	return c, nil
}
