package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"
)

// FuzzRun: any bytes are a run of the blocks that the manifest says, or refused, within its bounds.
func FuzzRun(f *testing.F) {
	w, err := newRunWriter(1)
	if err != nil {
		f.Fatal(err)
	}
	for seq := uint64(5); seq < 8; seq++ {
		if err := w.add(seq, bytes.Repeat([]byte{byte(seq)}, 300)); err != nil {
			f.Fatal(err)
		}
	}
	o, b, err := w.finish()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.Clone(b), o.RawBytes)
	f.Add(b[:len(b)-1], o.RawBytes)
	f.Add(bytes.Clone(b), o.RawBytes-1)
	f.Add(append(bytes.Clone(b), b...), 2*o.RawBytes)
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, stored []byte, rawBytes int64) {
		o := Object{Name: "x", FirstSeq: 5, LastSeq: 7, Bytes: int64(len(stored)), RawBytes: min(max(0, rawBytes), 1<<20), SHA256: sha256.Sum256(stored)}
		var blocks, size int64
		err := readRun(context.Background(), 1, &o, stored, func(_ uint64, raw []byte) error {
			blocks++
			size += blockHead + int64(len(raw))
			return nil
		})
		if err == nil && (blocks != 3 || size+runHead+blockHead != o.RawBytes) {
			t.Errorf("%d blocks of %d bytes, the manifest says %d", blocks, size, o.RawBytes)
		}
		var object *ObjectError
		if err != nil && !errors.As(err, &object) {
			t.Errorf("%v does not name the object", err)
		}
	})
}
