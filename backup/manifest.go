package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/journal"
)

// FormatVersion is the version of the repository's format that this package writes, and the only one it reads.
const FormatVersion = 1

// maxManifest bounds a manifest in bytes: a hundred thousand objects.
const maxManifest = 32 << 20

// Digest is a SHA-256, in text 64 lower-case hexadecimal digits.
type Digest [32]byte

// String returns all 64 digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) || !lower(string(text)) {
		return fmt.Errorf("%q is not a SHA-256 in hexadecimal", text)
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("%q is not a SHA-256 in hexadecimal", text)
	}
	return nil
}

// Kind says whether a backup stands for itself.
type Kind string

// The kinds of a backup.
const (
	Full        Kind = "full"        // from block 1 on
	Incremental Kind = "incremental" // the blocks after another backup, its parent
)

// Manifest is one backup: which blocks it has and which objects hold them. With its parent's, and so on, it covers
// every block from 1 to LastSeq.
type Manifest struct {
	Version    int       `json:"version"`
	ID         string    `json:"id"`
	Cell       uint64    `json:"cell"`
	Time       time.Time `json:"time"` // when the journal's head was read
	Kind       Kind      `json:"kind"`
	Parent     string    `json:"parent,omitempty"`      // id; of an incremental one
	ParentHash *Digest   `json:"parent_hash,omitempty"` // hash in the parent's manifest
	FirstSeq   uint64    `json:"first_seq"`
	LastSeq    uint64    `json:"last_seq"`
	PrevHash   Digest    `json:"prev_hash"` // of the block before FirstSeq; zero for block 1
	LastHash   Digest    `json:"last_hash"` // of block LastSeq
	LastTime   uint64    `json:"last_time,string"`
	Objects    []Object  `json:"objects"`
	Extras     []string  `json:"extras,omitempty"` // names of what lies beside the backups, as of this one
}

// Object is a run of blocks in the repository.
type Object struct {
	Name     string `json:"name"`
	FirstSeq uint64 `json:"first_seq"`
	LastSeq  uint64 `json:"last_seq"`
	Bytes    int64  `json:"bytes"`     // as stored
	RawBytes int64  `json:"raw_bytes"` // decompressed
	SHA256   Digest `json:"sha256"`    // as stored
}

// The file around a manifest: its hash, then its bytes exactly as they were hashed. Nothing in it can be written in two
// ways.
const (
	fileHead   = "{\n \"sha256\": \""
	fileMiddle = "\",\n \"manifest\": "
	fileTail   = "\n}\n"
)

// Encode returns the manifest as it is stored, and its hash.
func (m *Manifest) Encode() ([]byte, Digest, error) {
	body, err := json.MarshalIndent(m, " ", " ")
	if err != nil {
		return nil, Digest{}, fmt.Errorf("encode manifest %s: %w", m.ID, err)
	}
	sum := Digest(sha256.Sum256(body))
	return slices.Concat([]byte(fileHead), []byte(sum.String()), []byte(fileMiddle), body, []byte(fileTail)), sum, nil
}

// openFile takes a stored manifest out of its file and checks its hash.
func openFile(b []byte) (body []byte, sum Digest, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(fileHead))
	if !ok || len(rest) < 2*len(sum) {
		return nil, sum, errors.New("it does not begin as a manifest does")
	}
	if err := sum.UnmarshalText(rest[:2*len(sum)]); err != nil {
		return nil, sum, err
	}
	body, ok = bytes.CutPrefix(rest[2*len(sum):], []byte(fileMiddle))
	body, ok2 := bytes.CutSuffix(body, []byte(fileTail))
	if !ok || !ok2 || Digest(sha256.Sum256(body)) != sum {
		return nil, sum, errors.New("its hash is not the one it says")
	}
	return body, sum, nil
}

// DecodeManifest reads a manifest that was stored under this name, and checks all of it that can be known from itself.
// Errors are *ObjectError.
func DecodeManifest(name string, b []byte) (*Manifest, Digest, error) {
	body, sum, err := openFile(b)
	if err != nil {
		return nil, sum, damaged(name, "%v", err)
	}
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, sum, damaged(name, "%v", err)
	}
	if v.Version != FormatVersion {
		return nil, sum, &ObjectError{Object: name, Reason: fmt.Sprintf("it has %d, this program knows %d", v.Version, FormatVersion), Err: ErrVersion}
	}
	m := new(Manifest)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, sum, damaged(name, "%v", err)
	}
	if err := m.check(); err != nil {
		return nil, sum, damaged(name, "%v", err)
	}
	if want := manifestName(m.Cell, m.ID); want != name {
		return nil, sum, damaged(name, "it is the manifest of %s", want)
	}
	return m, sum, nil
}

// check holds the manifest's fields against each other.
func (m *Manifest) check() error {
	switch {
	case m.Cell == 0 || !validID(m.ID):
		return fmt.Errorf("it is of cell %d and has the id %q", m.Cell, m.ID)
	case m.FirstSeq == 0 || m.LastSeq < m.FirstSeq || m.LastSeq > journal.MaxSeq:
		return fmt.Errorf("it has blocks %d to %d", m.FirstSeq, m.LastSeq)
	case m.Kind == Full && (m.FirstSeq != 1 || m.Parent != "" || m.ParentHash != nil || m.PrevHash != Digest{}):
		return errors.New("a full backup begins with block 1 and has no parent")
	case m.Kind == Incremental && (m.FirstSeq == 1 || !validID(m.Parent) || m.ParentHash == nil):
		return errors.New("an incremental backup begins after its parent")
	case m.Kind != Full && m.Kind != Incremental:
		return fmt.Errorf("its kind is %q", m.Kind)
	}
	next := m.FirstSeq
	for i := range m.Objects {
		o := &m.Objects[i]
		switch {
		case o.FirstSeq != next || o.LastSeq < o.FirstSeq || o.LastSeq > m.LastSeq:
			return fmt.Errorf("object %d has blocks %d to %d, block %d is next", i, o.FirstSeq, o.LastSeq, next)
		case o.Bytes <= 0 || o.Bytes > maxObject || o.RawBytes <= 0 || o.RawBytes > maxRaw:
			return fmt.Errorf("object %d has %d bytes, decompressed %d", i, o.Bytes, o.RawBytes)
		case o.Name != runName(m.Cell, o.FirstSeq, o.LastSeq, o.SHA256):
			return fmt.Errorf("object %d has the name %q", i, o.Name)
		}
		next = o.LastSeq + 1
	}
	if next != m.LastSeq+1 {
		return fmt.Errorf("its objects end with block %d, it says %d", next-1, m.LastSeq)
	}
	for _, name := range m.Extras {
		if !validName(name) {
			return fmt.Errorf("an extra has the name %q", name)
		}
	}
	return nil
}

const idTime = "20060102t150405.000000z"

// newID makes the id of a backup: the time first, so that ids sort by it, then random digits.
func newID(now time.Time, random io.Reader) (string, error) {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness for an id: %w", err)
	}
	return now.UTC().Format(idTime) + "-" + hex.EncodeToString(b[:]), nil
}

func validID(id string) bool {
	if len(id) != len(idTime)+9 || id[len(idTime)] != '-' {
		return false
	}
	_, err := time.Parse(idTime, id[:len(idTime)])
	digits := id[len(idTime)+1:]
	_, hexErr := hex.DecodeString(digits)
	return err == nil && hexErr == nil && lower(digits)
}

func lower(text string) bool { return text == strings.ToLower(text) }
