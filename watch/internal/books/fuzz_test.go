package books_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/watch/internal/books"
)

// everything is a journal that has a bit of everything.
func everything(t testing.TB) *rig {
	r := newRig(t)
	r.setUp()
	r.send(reserve(200, 1, 2, 50, 1), reserve(201, 1, 2, 50, 0), reserve(202, 2, 1, 5, 9))
	post := resolve(203, 201, 20, journal.TransferPost)
	post.Flags |= journal.TransferKeepRemainder
	r.send(post, plain(204, 77, 1, 1))
	r.clock += 2 * second
	r.send(resolve(205, 202, 0, journal.TransferVoid))
	limit(r, journal.Limit{})
	for _, c := range plantedControls() {
		if c.name == "another leg than its digest's" || c.name == "another thing than was proposed" || c.name == "a freeze lifted that is not in force" {
			c.prepare(r)
		}
	}
	r.clock += 2 * dayNs
	r.send(plain(206, 1, 2, 5))
	return r
}

// FuzzApply bends bytes of blocks behind their hashes: whatever stands there, the model says something and goes on, or
// stops for good.
func FuzzApply(f *testing.F) {
	f.Add(uint16(2), []byte{0, 0, 1})
	f.Add(uint16(3), []byte{0, 48, 9, 0, 118, 4})
	f.Add(uint16(5), []byte{1, 0, 7})
	r := everything(f)
	f.Fuzz(func(t *testing.T, at uint16, edits []byte) {
		m := books.New(cellID, books.Options{Window: 10})
		var prev [32]byte
		for i, raw := range r.raws() {
			b := bytes.Clone(raw)
			if i == int(at)%len(r.log) {
				for ; len(edits) >= 3; edits = edits[3:] {
					if body := len(b) - journal.HeaderSize; body > 0 {
						b[journal.HeaderSize+int(binary.BigEndian.Uint16(edits))%body] = edits[2]
					}
				}
			}
			copy(b[64:], prev[:])
			sum := sha256.Sum256(b[journal.HeaderSize:])
			copy(b[160:], sum[:])
			prev = sha256.Sum256(b[:journal.HeaderSize])
			found := 0
			taken := m.Apply(b, func(*books.Movement) {}, func(*books.Finding) { found++ })
			if !taken && m.Broken() == nil || !errors.Is(errors.Join(m.Broken(), books.ErrBroken), books.ErrBroken) {
				t.Fatalf("block %d: taken %v, broken %v", i+1, taken, m.Broken())
			}
			if m.Broken() != nil {
				if found == 0 {
					t.Fatalf("broken without a finding: %v", m.Broken())
				}
				return
			}
		}
		var taken bytes.Buffer
		if err := m.Snapshot(&taken); err != nil {
			t.Fatal(err)
		}
		if _, err := books.Restore(&taken, cellID, books.Options{}); err != nil {
			t.Fatalf("its own snapshot: %v", err)
		}
	})
}

// FuzzRestore bends snapshots and gives them the checksum that they would have.
func FuzzRestore(f *testing.F) {
	r := everything(f)
	m := books.New(cellID, books.Options{Window: 10})
	watch(m, r.raws())
	var taken bytes.Buffer
	if err := m.Snapshot(&taken); err != nil {
		f.Fatal(err)
	}
	whole := taken.Bytes()
	f.Add([]byte{0, 9, 1}, uint16(0))
	f.Add([]byte{0, 0, 255, 128, 40, 3}, uint16(9))
	f.Fuzz(func(t *testing.T, edits []byte, cut uint16) {
		b := bytes.Clone(whole[:len(whole)-sha256.Size])
		head := 32 << 10 // hashes of blocks
		for ; len(edits) >= 3; edits = edits[3:] {
			at := int(binary.BigEndian.Uint16(edits))
			if at&0x8000 == 0 && len(b) > head {
				at += head
			}
			b[at%len(b)] = edits[2]
		}
		b = b[:len(b)-int(cut)%len(b)]
		sum := sha256.Sum256(b)
		copied, err := books.Restore(bytes.NewReader(append(b, sum[:]...)), cellID, books.Options{Window: 10})
		if err != nil {
			if !errors.Is(err, books.ErrSnapshot) {
				t.Fatalf("%v is not typed", err)
			}
			return
		}
		watch(copied, r.raws()) // whatever it believes now, it goes on
		if err := copied.Snapshot(&bytes.Buffer{}); err != nil {
			t.Fatal(err)
		}
	})
}
