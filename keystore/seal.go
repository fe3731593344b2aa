package keystore

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Limits of a value, in bytes.
const (
	MaxValue  = 1024
	MaxName   = 64
	MaxSealed = 1 + nonceSize + maxClear + tagSize
)

const (
	sealVersion = 1
	clearHead   = 3  // type and length
	clearStep   = 32 // the length of a value is hidden up to this
	maxClear    = (clearHead + MaxValue + clearStep - 1) / clearStep * clearStep
)

// Value is one personal value of an event.
type Value struct {
	Subject string
	Event   [16]byte // id of the account or the transfer
	Name    string   // metadata key
	Type    uint8    // of the metadata value; its meaning is the journal's
	Clear   []byte   // up to MaxValue
	Sealed  []byte   // what the journal holds
	State   State    // set by Open: Active where Clear and Type were filled
}

// Seal fills Sealed from Clear and Type, and makes keys for subjects that have none; those are durable before it
// returns, one sync for all. Equal values give equal bytes, so that a request that is sent again is the same request.
// If one value is refused ([ErasedError], [ErrSubject], [ErrValue]), no key is made.
func (s *Store) Seal(ctx context.Context, values []Value) error {
	for i := range values {
		if err := values[i].check(); err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
	}
	keys, missing, err := s.keysFor(values)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		if err := s.makeKeys(ctx, missing); err != nil {
			return err
		}
		if keys, missing, err = s.keysFor(values); err != nil {
			return err
		}
		if len(missing) > 0 {
			return fmt.Errorf("%w: %d keys that were made are not found", ErrDamaged, len(missing))
		}
	}
	for i := range values {
		v := &values[i]
		if v.Sealed, err = keys[v.Subject].seal(v); err != nil {
			return err
		}
	}
	return nil
}

// Open fills Clear and Type from Sealed. Values of subjects that were erased, or have no key, are left without and say
// so in State. A value that does not open with its subject's key is an [ErrValue].
func (s *Store) Open(values []Value) error {
	keys := map[string]*subjectKey{}
	states := map[string]State{}
	for i := range values {
		v := &values[i]
		v.Clear, v.Type = nil, 0
		state, seen := states[v.Subject]
		if !seen {
			k, now, err := s.keyOf(v.Subject)
			if err != nil {
				return err
			}
			keys[v.Subject], states[v.Subject], state = k, now, now
		}
		if v.State = state; state != Active {
			continue
		}
		if err := keys[v.Subject].open(v); err != nil {
			return fmt.Errorf("value %d, metadata %q of subject %q: %w", i, v.Name, v.Subject, err)
		}
	}
	return nil
}

func (v *Value) check() error {
	if err := CheckSubject(v.Subject); err != nil {
		return err
	}
	if v.Name == "" || len(v.Name) > MaxName || len(v.Clear) > MaxValue {
		return fmt.Errorf("%w: %d bytes under a name of %d bytes: want at most %d under 1 to %d", ErrValue, len(v.Clear), len(v.Name), MaxValue, MaxName)
	}
	return nil
}

// keyOf returns the key of a subject, if it has one.
func (s *Store) keyOf(subject string) (*subjectKey, State, error) {
	s.mu.RLock()
	r, found, err := s.find(HashOf(subject))
	s.mu.RUnlock()
	switch {
	case err != nil || !found:
		return nil, Unknown, err
	case r.kind == recordErased:
		return nil, Erased, nil
	}
	k, err := newSubjectKey(&r.key)
	return k, Active, err
}

// keysFor returns the keys of the subjects of values, and the subjects that have none.
func (s *Store) keysFor(values []Value) (keys map[string]*subjectKey, missing []Hash, err error) {
	keys = make(map[string]*subjectKey)
	for i := range values {
		subject := values[i].Subject
		if _, seen := keys[subject]; seen {
			continue
		}
		k, state, err := s.keyOf(subject)
		switch {
		case err != nil:
			return nil, nil, err
		case state == Erased:
			return nil, nil, &ErasedError{Index: i, Subject: subject}
		case state == Unknown:
			missing = append(missing, HashOf(subject))
		}
		keys[subject] = k
	}
	return keys, missing, nil
}

// makeKeys gives keys to subjects that have none. Callers who come while another writes are served by whoever writes
// next, all with one sync.
func (s *Store) makeKeys(ctx context.Context, subjects []Hash) error {
	s.asked.Lock()
	for _, h := range subjects {
		s.waiting[h] = struct{}{}
	}
	s.asked.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	s.asked.Lock()
	batch := s.waiting
	s.waiting = map[Hash]struct{}{}
	s.asked.Unlock()
	for _, h := range subjects { // again: who took them before may not have been able to write
		batch[h] = struct{}{}
	}
	s.mu.RLock()
	err := s.usable()
	for h := range batch {
		if _, there := s.positions[short(h)]; there {
			delete(batch, h)
		}
	}
	s.mu.RUnlock()
	if err != nil || len(batch) == 0 {
		return err
	}
	now := s.clock.Wall()
	records := make([]record, 0, len(batch))
	for h := range batch {
		r := record{kind: recordKey, subject: h, when: now}
		if err := random(r.key[:]); err != nil {
			return err
		}
		records = append(records, r)
	}
	return s.add(ctx, records)
}

// subjectKey seals and opens the values of one subject.
type subjectKey struct {
	value interface {
		Seal(dst, nonce, plaintext, additionalData []byte) []byte
		Open(dst, nonce, ciphertext, additionalData []byte) ([]byte, error)
	}
	nonce []byte // key of the HMAC that makes nonces
}

func newSubjectKey(key *[keySize]byte) (*subjectKey, error) {
	both, err := hkdf.Expand(sha256.New, key[:], "sterling personal metadata 1", 2*keySize)
	if err != nil {
		return nil, fmt.Errorf("derive the keys of a subject: %w", err)
	}
	aead, err := newAEAD(both[:keySize])
	if err != nil {
		return nil, err
	}
	return &subjectKey{value: aead, nonce: both[keySize:]}, nil
}

// place returns what a sealed value is bound to: event, metadata key and subject.
func (v *Value) place() []byte {
	b := append(make([]byte, 0, 18+len(v.Name)+len(v.Subject)), v.Event[:]...)
	b = append(append(b, byte(len(v.Name))), v.Name...)          //nolint:gosec // ≤ MaxName
	return append(append(b, byte(len(v.Subject))), v.Subject...) //nolint:gosec // ≤ MaxSubject
}

// nonceOf makes the nonce from all that is sealed: the same nonce comes again only with the same value, or for one in
// 2^96 (SIV, as in RFC 8452, with HMAC-SHA256).
func (k *subjectKey) nonceOf(place, clear []byte) [nonceSize]byte {
	h := hmac.New(sha256.New, k.nonce)
	_, _ = h.Write(place) // a hash never fails; place has its own lengths
	_, _ = h.Write(clear)
	return [nonceSize]byte(h.Sum(nil))
}

// clearSizeOf rounds up.
func clearSizeOf(n int) int { return (n + clearStep - 1) / clearStep * clearStep }

func (k *subjectKey) seal(v *Value) ([]byte, error) {
	if k == nil {
		return nil, fmt.Errorf("%w: subject %q has no key", ErrValue, v.Subject)
	}
	size := clearSizeOf(clearHead + len(v.Clear))
	clear := make([]byte, size)
	clear[0] = v.Type
	binary.LittleEndian.PutUint16(clear[1:], uint16(len(v.Clear))) //nolint:gosec // ≤ MaxValue
	copy(clear[clearHead:], v.Clear)
	place := v.place()
	nonce := k.nonceOf(place, clear)
	out := make([]byte, 0, 1+nonceSize+size+tagSize)
	out = append(append(out, sealVersion), nonce[:]...)
	return k.value.Seal(out, nonce[:], clear, place), nil
}

func (k *subjectKey) open(v *Value) error {
	b := v.Sealed
	if len(v.Name) > MaxName || len(v.Subject) > MaxSubject || len(b) < 1+nonceSize+clearStep+tagSize || len(b) > MaxSealed || b[0] != sealVersion {
		return fmt.Errorf("%w: %d bytes are no sealed value", ErrValue, len(b))
	}
	place := v.place()
	clear, err := k.value.Open(nil, b[1:1+nonceSize], b[1+nonceSize:], place)
	if err != nil {
		return fmt.Errorf("%w: it was sealed for another event, metadata key or subject, with another key, or altered", ErrValue)
	}
	n := clearHead + int(binary.LittleEndian.Uint16(clear[1:]))
	if nonce := k.nonceOf(place, clear); !hmac.Equal(nonce[:], b[1:1+nonceSize]) || len(clear) != clearSizeOf(n) || n > clearHead+MaxValue || !zero(clear[n:]) {
		return fmt.Errorf("%w: it is not in its canonical form", ErrValue)
	}
	v.Type, v.Clear = clear[0], clear[clearHead:n:n]
	return nil
}
