package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// SignatureHeader carries t=UNIX and, for each key, kid=ID and v1=HEX: the HMAC-SHA256 of "UNIX.BODY".
const SignatureHeader = "Sterling-Signature"

// Key signs deliveries. While keys are rotated there are two, and a receiver accepts either.
type Key struct {
	ID     string // shown in the signature, so that the receiver knows which secret to use
	Secret []byte
}

// ErrSignature is a delivery that is not from who has the secret, or not from now.
var ErrSignature = errors.New("the signature is not valid")

// Sign returns the value of SignatureHeader for a body that is sent at a time.
func Sign(keys []Key, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	out := "t=" + t
	for _, k := range keys {
		out += ",kid=" + k.ID + ",v1=" + hex.EncodeToString(sum(k.Secret, t, body))
	}
	return out
}

func sum(secret []byte, t string, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write([]byte(t + ".")) // a hash never fails
	_, _ = h.Write(body)
	return h.Sum(nil)
}

// Verify is what a receiver does: one of the signatures must be that of a key, over this body, and at most tolerance
// old. The error is ErrSignature.
func Verify(keys []Key, header string, body []byte, now time.Time, tolerance time.Duration) error {
	var t, kid string
	valid := false
	for _, part := range strings.Split(header, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "t":
			if t != "" {
				return fmt.Errorf("%w: it has two times", ErrSignature)
			}
			t = value
		case "kid":
			kid = value
		case "v1":
			given, err := hex.DecodeString(value)
			for _, k := range keys {
				valid = valid || err == nil && k.ID == kid && hmac.Equal(given, sum(k.Secret, t, body))
			}
		}
	}
	sent, err := strconv.ParseInt(t, 10, 64)
	if err != nil || !valid {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(sent, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("%w: it is %v old", ErrSignature, age.Round(time.Second))
	}
	return nil
}
