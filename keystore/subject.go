package keystore

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// MaxSubject is the length of the longest name of a subject, in bytes.
const MaxSubject = 128

// Hash is the SHA-256 of a subject's name: what the files and erasures name a subject by.
type Hash [sha256.Size]byte

// HashOf returns the hash of a subject's name.
func HashOf(subject string) Hash { return sha256.Sum256([]byte(subject)) }

// CheckSubject tells what is wrong with the name of a subject, or nil. The name stays in the journal, in clear and for
// ever, so it must be a pseudonym, such as an internal customer number: what looks like an e-mail address or a telephone
// number is refused. The error is an [ErrSubject].
func CheckSubject(subject string) error {
	switch {
	case subject == "" || len(subject) > MaxSubject:
		return fmt.Errorf("%w: a name of %d bytes: want 1 to %d", ErrSubject, len(subject), MaxSubject)
	case strings.Contains(subject, "@"):
		return fmt.Errorf("%w: %q looks like an e-mail address, and names of subjects can't be erased: use an internal number", ErrSubject, subject)
	case subject[0] == '+':
		return fmt.Errorf("%w: %q looks like a telephone number, and names of subjects can't be erased: use an internal number", ErrSubject, subject)
	}
	for _, c := range []byte(subject) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-:/+", rune(c)) {
			return fmt.Errorf("%w: %q: want letters, digits, '.', '_', '-', ':', '/' and '+'", ErrSubject, subject)
		}
	}
	return nil
}
