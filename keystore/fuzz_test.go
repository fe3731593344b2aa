package keystore

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/clock"
)

func fuzzOptions(t testing.TB) Options {
	t.Helper()
	m, err := NewMaster([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Dir: "keys", Master: m, Clock: clock.NewFake(1), FS: vfs.NewMem()}
}

// FuzzSegment: whatever a file of keys holds behind good checksums, reading it ends with an error or with records that
// stand where they say.
func FuzzSegment(f *testing.F) {
	g := &segment{id: 3, generation: 7, path: "keys.seg"}
	var err error
	if g.aead, err = newAEAD(make([]byte, keySize)); err != nil {
		f.Fatal(err)
	}
	var good []byte
	for slot := range uint32(6) {
		good = g.appendRecord(good, &record{kind: byte(1 + slot%2), subject: Hash{byte(slot)}, when: 5}, slot, 1+slot/2, [nonceSize]byte{byte(slot)})
	}
	f.Add(good, uint32(6))
	f.Add(good[:300], uint32(2))
	f.Add(append(bytes.Clone(good[:256]), make([]byte, 512)...), uint32(2))
	f.Add(append(append(bytes.Clone(good[:512]), make([]byte, 128)...), good[640:]...), uint32(4))
	f.Fuzz(func(t *testing.T, body []byte, acknowledged uint32) {
		if len(body) > 64*recordSize {
			return
		}
		for at := 0; at+recordSize <= len(body); at += recordSize {
			if b := body[at : at+recordSize]; !zero(b) {
				binary.LittleEndian.PutUint32(b, castagnoli(b[4:]))
			}
		}
		s := *g
		s.count = acknowledged
		seen := uint32(0)
		torn, err := s.parse(append(s.header(), body...), func(slot uint32, r *record) error {
			if slot != seen || r.kind != recordKey && r.kind != recordErased {
				t.Fatalf("record %d came as number %d, kind %d", slot, seen, r.kind)
			}
			seen++
			return nil
		})
		if err == nil && (s.count != seen || s.count < acknowledged || !torn && int(seen) != len(body)/recordSize) {
			t.Fatalf("%d records of %d bytes were read, %d acknowledged, torn %v", seen, len(body), acknowledged, torn)
		}
	})
}

// FuzzImport: any bytes are an error, or an export that can be opened.
func FuzzImport(f *testing.F) {
	o := fuzzOptions(f)
	s, err := Open(f.Context(), o)
	if err != nil {
		f.Fatal(err)
	}
	var b bytes.Buffer
	if err := s.Seal(f.Context(), []Value{{Subject: "c", Name: "n", Clear: []byte("v")}}); err != nil {
		f.Fatal(err)
	}
	if err := s.Export(f.Context(), &b); err != nil {
		f.Fatal(err)
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := fuzzOptions(t)
		if Import(context.Background(), o, bytes.NewReader(b)) != nil {
			return
		}
		s, err := Open(context.Background(), o)
		if err != nil {
			t.Fatalf("an import that succeeded can't be opened: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSealed: any bytes are refused, or are what sealing makes of the value they open to.
func FuzzSealed(f *testing.F) {
	k, err := newSubjectKey(&[keySize]byte{7})
	if err != nil {
		f.Fatal(err)
	}
	v := Value{Subject: "c", Name: "n", Type: 3, Clear: []byte("value")}
	good, err := k.seal(&v)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false, byte(3), uint16(5))
	f.Add(good[:40], false, byte(0), uint16(0))
	f.Add(make([]byte, 64), true, byte(9), uint16(60))
	f.Add(make([]byte, 64), true, byte(9), uint16(12))
	f.Fuzz(func(t *testing.T, b []byte, resealed bool, kind byte, size uint16) {
		v := Value{Subject: "c", Name: "n", Sealed: b}
		if resealed && len(b) >= clearHead && len(b) <= maxClear { // behind a good tag: the contents are ours to judge
			clear := bytes.Clone(b)
			clear[0] = kind
			binary.LittleEndian.PutUint16(clear[1:], size)
			nonce := k.nonceOf(v.place(), clear)
			v.Sealed = k.value.Seal(append([]byte{sealVersion}, nonce[:]...), nonce[:], clear, v.place())
		}
		if k.open(&v) != nil {
			return
		}
		again, err := k.seal(&v)
		if err != nil || !bytes.Equal(again, v.Sealed) {
			t.Fatalf("a value of %d bytes was opened that sealing does not make: %v", len(v.Clear), err)
		}
	})
}
