package auth

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxGrace is the longest that the old secret of a rotated token may go on.
const MaxGrace = 30 * 24 * time.Hour

// ErrNotInForce is returned by [Rotate] for a token that is revoked or expired: a
// new secret would not bring it back.
var ErrNotInForce = errors.New("the token is revoked or has expired")

// Rotate gives a token a new secret and returns it in clear: it can't be shown
// again. Id, name, role, scope and expiry stay. The old secret works until grace
// (0 to [MaxGrace]) has passed, so that its users can be changed over; one from
// before an earlier rotation ends at once.
func Rotate(dir, id string, grace time.Duration, now time.Time, random io.Reader) (token string, entry Token, err error) {
	if grace < 0 || grace > MaxGrace {
		return "", Token{}, fmt.Errorf("grace %v: want 0 to %v", grace, MaxGrace)
	}
	token, _, _, err = newToken(random) // for its secret
	if err != nil {
		return "", Token{}, err
	}
	token = tokenPrefix + id + token[len(tokenPrefix)+2*idBytes:]
	_, hash, ok := splitToken(token)
	if !ok {
		return "", Token{}, fmt.Errorf("rotate token %q: %w", id, ErrNoToken)
	}
	err = update(dir, func(f *tokenFile) error {
		for i := range f.Tokens {
			t := &f.Tokens[i]
			if t.ID != id {
				continue
			}
			if !t.Revoked.IsZero() || !t.Expires.IsZero() && !now.Before(t.Expires) {
				return fmt.Errorf("rotate token %q: %w", id, ErrNotInForce)
			}
			t.PreviousHash, t.PreviousUntil = "", time.Time{}
			if grace > 0 {
				t.PreviousHash, t.PreviousUntil = t.Hash, now.Add(grace).UTC()
			}
			t.Hash = hex.EncodeToString(hash[:])
			entry = *t
			return nil
		}
		return fmt.Errorf("rotate token %q: %w", id, ErrNoToken)
	})
	if err != nil {
		return "", Token{}, err
	}
	return token, entry, nil
}
