package client

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// ErrClose is wrapped by errors of closes that do not verify.
var ErrClose = errors.New("the close does not verify")

// VerifyClose checks that a close and its trial balance are what the holder of key
// signed: the signature, and that close and rows say what the signed statement says.
// key is the one you keep, not that of the response.
func VerifyClose(r *ledgerv1.GetCloseResponse, key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: a key of %d bytes, want %d", ErrClose, len(key), ed25519.PublicKeySize)
	}
	if !ed25519.Verify(key, r.GetStatement(), r.GetSignature()) {
		return fmt.Errorf("%w: the signature is not of this key", ErrClose)
	}
	if string(r.GetStatement()) != closeStatement(r) {
		return fmt.Errorf("%w: the trial balance is not the one that was signed", ErrClose)
	}
	return nil
}

// closeStatement writes what must have been signed: docs/formats.md. The hash of the
// journal block is the statement's own, as nothing else in the response has it.
func closeStatement(r *ledgerv1.GetCloseResponse) string {
	hash := ""
	if lines := strings.SplitN(string(r.GetStatement()), "\n", 5); len(lines) == 5 {
		hash, _ = strings.CutPrefix(lines[3], "hash ")
	}
	if b, err := hex.DecodeString(hash); err != nil || len(b) != 32 {
		return ""
	}
	var b strings.Builder
	c := r.GetClose()
	fmt.Fprintf(&b, "sterling trial balance 1\ncell %d\nblock %d\nhash %s\nclose %s\nthrough %s\nactor %s\ntimestamp %d\n",
		c.GetPosition().GetCell(), c.GetPosition().GetSeq(), hash, c.GetId(), c.GetDate(), c.GetActor(), c.GetTimestamp())
	for _, row := range r.GetRows() {
		fmt.Fprintf(&b, "row %s %d opening %s %s late %s %s period %s %s closing %s %s\n", row.GetAsset(), row.GetCode(),
			row.GetOpeningDebits(), row.GetOpeningCredits(), row.GetLateDebits(), row.GetLateCredits(),
			row.GetDebits(), row.GetCredits(), row.GetClosingDebits(), row.GetClosingCredits())
	}
	return b.String()
}
