package keystore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
)

const (
	keyringMagic      = "STERLRNG"
	keyringVersion    = 1
	keyringHeaderSize = 32
	entrySize         = 48
	maxWrapped        = 4096    // bytes of a wrapped root key
	maxSegments       = 1 << 16 // a thousand million subjects
	maxKeyring        = keyringHeaderSize + maxWrapped + nonceSize + maxSegments*entrySize + tagSize + 4
)

// Master wraps and unwraps the root key of a key store; a service that never gives its own key away can be one. A root
// key is wrapped for every erasure and for every 16,384 new subjects. [FileMaster] is the one on a file.
type Master interface {
	Wrap(ctx context.Context, root [32]byte) ([]byte, error) // up to 4,096 bytes
	Unwrap(ctx context.Context, wrapped []byte) (root [32]byte, err error)
}

// entry is what the keyring says of a segment.
type entry struct {
	generation uint64
	count      uint32 // records that it has at least
	key        [keySize]byte
}

// encodeKeyring returns the file: the segments' keys, encrypted with a new root key that the master wraps. Each writing
// has a root key of its own, so that no older keyring opens a newer one or the other way round.
func encodeKeyring(ctx context.Context, master Master, generation uint64, entries []entry) ([]byte, error) {
	var root [keySize]byte
	var nonce [nonceSize]byte
	if err := random(root[:], nonce[:]); err != nil {
		return nil, err
	}
	wrapped, err := master.Wrap(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("wrap the root key: %w", err)
	}
	if len(wrapped) == 0 || len(wrapped) > maxWrapped {
		return nil, fmt.Errorf("wrap the root key: the master gave %d bytes, want 1 to %d", len(wrapped), maxWrapped)
	}
	aead, err := newAEAD(root[:])
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, keyringHeaderSize+len(wrapped)+nonceSize+len(entries)*entrySize+tagSize+4)
	b = append(b, keyringMagic...)
	b = binary.LittleEndian.AppendUint16(b, keyringVersion)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(wrapped))) //nolint:gosec // ≤ maxWrapped
	b = binary.LittleEndian.AppendUint64(b, generation)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(entries))) //nolint:gosec // ≤ maxSegments
	b = append(b, 0, 0, 0, 0)
	b = append(b, wrapped...)
	clear := make([]byte, 0, len(entries)*entrySize)
	for i := range entries {
		e := &entries[i]
		clear = binary.LittleEndian.AppendUint64(clear, e.generation)
		clear = binary.LittleEndian.AppendUint32(clear, e.count)
		clear = append(clear, 0, 0, 0, 0)
		clear = append(clear, e.key[:]...)
	}
	head := b
	b = append(b, nonce[:]...)
	b = aead.Seal(b, nonce[:], clear, head)
	return binary.LittleEndian.AppendUint32(b, castagnoli(b)), nil
}

// decodeKeyring reads a keyring; name is for errors.
func decodeKeyring(ctx context.Context, master Master, b []byte, name string) (generation uint64, entries []entry, err error) {
	damaged := func(what string) error { return fmt.Errorf("%w: %s: %s", ErrDamaged, name, what) }
	size, err := keyringSize(b)
	switch {
	case err != nil:
		return 0, nil, damaged(err.Error())
	case len(b) != size:
		return 0, nil, damaged(fmt.Sprintf("it has %d bytes, its header says %d", len(b), size))
	case binary.LittleEndian.Uint32(b[size-4:]) != castagnoli(b[:size-4]):
		return 0, nil, damaged("wrong checksum")
	}
	wrapped := int(binary.LittleEndian.Uint32(b[12:]))
	generation = binary.LittleEndian.Uint64(b[16:])
	head := b[:keyringHeaderSize+wrapped]
	root, err := master.Unwrap(ctx, head[keyringHeaderSize:])
	if err != nil {
		return 0, nil, fmt.Errorf("unwrap the root key of %s: %w", name, err)
	}
	aead, err := newAEAD(root[:])
	if err != nil {
		return 0, nil, err
	}
	rest := b[len(head) : size-4]
	clear, err := aead.Open(nil, rest[:nonceSize], rest[nonceSize:], head)
	if err != nil {
		return 0, nil, damaged("it does not open with its root key: it was altered")
	}
	for ; len(clear) > 0; clear = clear[entrySize:] {
		e := entry{generation: binary.LittleEndian.Uint64(clear), count: binary.LittleEndian.Uint32(clear[8:]), key: [keySize]byte(clear[16:])}
		if e.generation == 0 || e.generation > generation || e.count > segmentRecords || !zero(clear[12:16]) {
			return 0, nil, damaged(fmt.Sprintf("segment %d has generation %d and %d records", len(entries), e.generation, e.count))
		}
		entries = append(entries, e)
	}
	return generation, entries, nil
}

// keyringSize tells from the first keyringHeaderSize bytes how many a keyring has.
func keyringSize(b []byte) (int, error) {
	if len(b) < keyringHeaderSize || string(b[:8]) != keyringMagic {
		return 0, fmt.Errorf("it is no keyring")
	}
	wrapped, segments := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[24:])
	switch v := binary.LittleEndian.Uint16(b[8:]); {
	case v != keyringVersion:
		return 0, fmt.Errorf("version %d is unknown: this program reads version %d", v, keyringVersion)
	case b[10]|b[11] != 0 || !zero(b[28:32]) || wrapped == 0 || wrapped > maxWrapped || segments > maxSegments,
		binary.LittleEndian.Uint64(b[16:]) == 0, binary.LittleEndian.Uint64(b[16:]) > math.MaxInt64:
		return 0, fmt.Errorf("its header is not one of ours")
	}
	return keyringHeaderSize + int(wrapped) + nonceSize + int(segments)*entrySize + tagSize + 4, nil
}

func random(parts ...[]byte) error {
	for _, p := range parts {
		if _, err := rand.Read(p); err != nil {
			return fmt.Errorf("read random numbers: %w", err)
		}
	}
	return nil
}
