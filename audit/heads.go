package audit

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"strings"
)

// headsHead begins a statement about records: its format and version.
const headsHead = "sterling sandbox heads v1"

// MaxHeads is how many heads one statement has at most.
const MaxHeads = 256

// Heads states what the log's keeper was told of records that others keep, such as those of sandboxes: how far each is,
// and the hash that names it up to there. Whoever reads a record later can tell whether it still is that one, and
// whether lines are gone. The keeper has not seen the records.
type Heads struct {
	Cell  uint64 // of the log
	Made  uint64 // when it was stated, ns since 1970 UTC
	Heads []Head // 1 to MaxHeads, ascending by Head.Compare; two that contradict each other both stand
}

// Head is how far one record is.
type Head struct {
	Record [32]byte // hash of its first line, which no other record has
	Lines  uint64   // at least 1
	Hash   [32]byte // of the last of these lines: with it the head names all of them
	Name   string   // what the record is of: letters, digits, ".", "_", "-", ":", up to 64 bytes
	By     [16]byte // the caller who told; zero: the log's keeper
}

// Compare orders heads as a statement has them: by record, lines, hash and caller.
func (h *Head) Compare(o *Head) int {
	return cmp.Or(bytes.Compare(h.Record[:], o.Record[:]), cmp.Compare(h.Lines, o.Lines), bytes.Compare(h.Hash[:], o.Hash[:]), bytes.Compare(h.By[:], o.By[:]))
}

// Check tells whether a head can be stated: ErrStatement where a field is out of its range.
func (h *Head) Check() error {
	if h.Lines == 0 || !isName(h.Name) {
		return fmt.Errorf("%w: the head of %.80q has %d lines", ErrStatement, h.Name, h.Lines)
	}
	return nil
}

// Encode returns the statement's only bytes, which docs/formats.md specifies, or ErrStatement where a field is out of
// its range.
func (h *Heads) Encode() ([]byte, error) {
	if len(h.Heads) == 0 || len(h.Heads) > MaxHeads {
		return nil, fmt.Errorf("%w: %d heads, want 1 to %d", ErrStatement, len(h.Heads), MaxHeads)
	}
	b := fmt.Appendf(nil, "%s\ncell %d\nmade %d\n", headsHead, h.Cell, h.Made)
	for i := range h.Heads {
		one := &h.Heads[i]
		if err := one.Check(); err != nil {
			return nil, err
		}
		if i > 0 && h.Heads[i-1].Compare(one) >= 0 {
			return nil, fmt.Errorf("%w: head %d is not after the one before it", ErrStatement, i)
		}
		b = append(b, one.line()...)
	}
	return b, nil
}

// MaxHead bounds a head's line in bytes.
const MaxHead = 300

// line is a head as it stands in a statement, and as it is sent to the log's keeper.
func (h *Head) line() []byte {
	return fmt.Appendf(nil, "head %x %d %x %s %x\n", h.Record, h.Lines, h.Hash, h.Name, h.By)
}

// Text returns the head's line, as ParseHead reads it.
func (h *Head) Text() (string, error) { return string(h.line()), h.Check() }

// ParseHead reads one line. What Text would not have written is ErrStatement.
func ParseHead(text string) (Head, error) {
	h, ok := parseHead(strings.TrimSuffix(text, "\n"))
	if !ok || string(h.line()) != text {
		return Head{}, fmt.Errorf("%w: no head of a record", ErrStatement)
	}
	return h, h.Check()
}

// ParseHeads reads a statement about records. Bytes that Encode would not have written are ErrStatement.
func ParseHeads(b []byte) (Heads, error) {
	var h Heads
	if len(b) > maxStatement {
		return h, fmt.Errorf("%w: it has %d bytes, at most %d", ErrStatement, len(b), maxStatement)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 || lines[0] != headsHead || lines[len(lines)-1] != "" {
		return h, fmt.Errorf("%w: it is not of this version", ErrStatement)
	}
	cell, okCell := strings.CutPrefix(lines[1], "cell ")
	made, okMade := strings.CutPrefix(lines[2], "made ")
	if !okCell || !okMade || !scan(cell, &h.Cell) || !scan(made, &h.Made) {
		return h, fmt.Errorf("%w: no cell, or no time", ErrStatement)
	}
	for i, line := range lines[3 : len(lines)-1] {
		one, ok := parseHead(line)
		if !ok {
			return h, fmt.Errorf("%w: line %d is no head", ErrStatement, i+4)
		}
		h.Heads = append(h.Heads, one)
	}
	again, err := h.Encode()
	if err != nil {
		return h, err
	}
	if !bytes.Equal(again, b) {
		return h, fmt.Errorf("%w: it is not written as a log's keeper writes it", ErrStatement)
	}
	return h, nil
}

func parseHead(line string) (h Head, ok bool) {
	words := strings.Split(line, " ")
	if len(words) != 6 || words[0] != "head" || len(words[5]) != hex.EncodedLen(len(h.By)) {
		return h, false
	}
	h.Name = words[4]
	_, err := hex.Decode(h.By[:], []byte(words[5]))
	return h, err == nil && scan(words[1], &h.Record) && scan(words[2], &h.Lines) && scan(words[3], &h.Hash)
}

// OfRecords tells whether the entry states heads of records, and nothing of the ledger.
func (e *Entry) OfRecords() bool { return bytes.HasPrefix(e.Statement, []byte(headsHead+"\n")) }

// OpenHeads checks the signature and reads the heads.
func (e *Entry) OpenHeads(key ed25519.PublicKey) (Heads, error) {
	if !Verify(key, e.Statement, e.Signature) {
		return Heads{}, fmt.Errorf("%w %d: the signature is not of this statement by this key", ErrEntry, e.Index)
	}
	h, err := ParseHeads(e.Statement)
	if err != nil {
		return h, fmt.Errorf("%w %d: %w", ErrEntry, e.Index, err)
	}
	return h, nil
}
