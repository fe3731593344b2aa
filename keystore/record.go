package keystore

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Sizes of the files, in bytes: see docs/formats.md. Records never cross a disk's sector.
const (
	recordSize        = 128
	segmentHeaderSize = 512
	segmentRecords    = 16384 // of a full segment
	keySize           = 32
	nonceSize         = 12
	tagSize           = 16
	clearSize         = 40 // of a record's sealed part
)

const (
	segmentMagic   = "STERLKEY"
	segmentVersion = 1
)

// What a record is.
const (
	recordKey    = 1 // a subject's key
	recordErased = 2 // a subject has no key, and will not get one
)

// record is what is known of one subject.
type record struct {
	kind    byte
	subject Hash
	key     [keySize]byte // of recordKey
	when    uint64        // ns: created, or erased
	by, id  [16]byte      // of recordErased: who, and the id of the journaled erasure
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// newAEAD returns AES-256-GCM.
func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("prepare AES: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("prepare GCM: %w", err)
	}
	return aead, nil
}

// appendRecord appends the bytes of r as record number slot of segment s.
func (s *segment) appendRecord(dst []byte, r *record, slot, batch uint32, nonce [nonceSize]byte) []byte {
	var b [recordSize]byte
	b[4] = r.kind
	binary.LittleEndian.PutUint32(b[8:], batch)
	binary.LittleEndian.PutUint32(b[12:], slot)
	copy(b[16:], nonce[:])
	copy(b[32:], r.subject[:])
	var clear [clearSize]byte
	binary.LittleEndian.PutUint64(clear[keySize:], r.when)
	if r.kind == recordKey {
		copy(clear[:], r.key[:])
	} else {
		copy(clear[:], r.by[:])
		copy(clear[16:], r.id[:])
	}
	s.aead.Seal(b[64:64], nonce[:], clear[:], s.associated(b[:]))
	binary.LittleEndian.PutUint32(b[:], castagnoli(b[4:]))
	return append(dst, b[:]...)
}

// associated binds a record to its place.
func (s *segment) associated(b []byte) []byte {
	a := make([]byte, 0, 72)
	a = append(a, segmentMagic...)
	a = binary.LittleEndian.AppendUint32(a, s.id)
	a = binary.LittleEndian.AppendUint64(a, s.generation)
	a = append(a, b[4:16]...)
	return append(a, b[32:64]...)
}

// readRecord reads record number slot. Its key was written by this segment's key, or it is an error.
func (s *segment) readRecord(b []byte, slot uint32) (record, error) {
	if err := s.checkRecord(b, slot); err != nil {
		return record{}, err
	}
	var clear [clearSize]byte
	if _, err := s.aead.Open(clear[:0], b[16:16+nonceSize], b[64:64+clearSize+tagSize], s.associated(b)); err != nil {
		return record{}, s.damaged(slot, "it does not open with the segment's key: it was altered")
	}
	r := record{kind: b[4], subject: Hash(b[32:64]), when: binary.LittleEndian.Uint64(clear[keySize:])}
	if r.kind == recordKey {
		copy(r.key[:], clear[:])
	} else {
		copy(r.by[:], clear[:])
		copy(r.id[:], clear[16:])
	}
	return r, nil
}

// checkRecord checks what can be checked without a key.
func (s *segment) checkRecord(b []byte, slot uint32) error {
	switch {
	case binary.LittleEndian.Uint32(b) != castagnoli(b[4:recordSize]):
		return s.damaged(slot, "wrong checksum")
	case b[4] != recordKey && b[4] != recordErased || b[5]|b[6]|b[7] != 0 || !zero(b[28:32]) || !zero(b[120:recordSize]):
		return s.damaged(slot, "unknown kind")
	case binary.LittleEndian.Uint32(b[12:]) != slot:
		return s.damaged(slot, "it is another record's")
	}
	return nil
}

func (s *segment) damaged(slot uint32, what string) error {
	return fmt.Errorf("%w: %s, offset %d: record %d: %s", ErrDamaged, s.path, segmentHeaderSize+int64(slot)*recordSize, slot, what)
}

func zero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// header returns the first bytes of the segment's file.
func (s *segment) header() []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint16(b[8:], segmentVersion)
	binary.LittleEndian.PutUint32(b[12:], s.id)
	binary.LittleEndian.PutUint64(b[16:], s.generation)
	binary.LittleEndian.PutUint32(b[24:], castagnoli(b[:24]))
	return b
}

// parse reads a segment's file, which has at least s.count records. Records that were being appended when the power
// failed, and were never acknowledged, are left out: torn is true then. visit is given every record.
func (s *segment) parse(file []byte, visit func(slot uint32, r *record) error) (torn bool, err error) {
	if len(file) < segmentHeaderSize || !bytes.Equal(file[:segmentHeaderSize], s.header()) {
		return false, fmt.Errorf("%w: %s, offset 0: not the header of segment %d, generation %d", ErrDamaged, s.path, s.id, s.generation)
	}
	body := file[segmentHeaderSize:]
	if len(body) > segmentRecords*recordSize {
		return false, fmt.Errorf("%w: %s has %d bytes, more than any segment", ErrDamaged, s.path, len(file))
	}
	count, torn, err := s.written(body)
	if err != nil {
		return false, err
	}
	for slot := range count {
		b := body[slot*recordSize:][:recordSize]
		r, err := s.readRecord(b, slot)
		if err != nil {
			return false, err
		}
		s.batch = max(s.batch, binary.LittleEndian.Uint32(b[8:]))
		if err := visit(slot, &r); err != nil {
			return false, err
		}
	}
	s.count = count
	return torn, nil
}

// written tells how many records were acknowledged. A disk writes sectors whole: a record is there, or it is zero. Only
// the last batch can have holes, or be cut short where the disk was full; a hole before that, or a record that is
// neither, is damage.
func (s *segment) written(body []byte) (count uint32, torn bool, err error) {
	n := uint32((len(body) + recordSize - 1) / recordSize) //nolint:gosec // bounded by the caller
	hole, holed, after := uint32(0), false, uint32(0)
	last := uint32(0) // batch of the last record before the hole
	for slot := range n {
		b := body[slot*recordSize:]
		if len(b) < recordSize || zero(b[:recordSize]) {
			if !holed {
				hole, holed = slot, true
			}
			continue
		}
		if err := s.checkRecord(b[:recordSize], slot); err != nil {
			return 0, false, err
		}
		batch := binary.LittleEndian.Uint32(b[8:])
		switch {
		case !holed && batch < last, holed && (batch < last || after != 0 && batch != after):
			return 0, false, s.damaged(slot, "a record of another batch stands before it")
		case holed:
			after = batch
		default:
			last = batch
		}
	}
	if !holed {
		hole = n
	}
	if hole < s.count {
		return 0, false, s.damaged(hole, fmt.Sprintf("it is missing: %d records were acknowledged", s.count))
	}
	return hole, holed, nil
}
