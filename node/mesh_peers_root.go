package node

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh/control"
)

// peersDomain is the trust domain of a ledger's own authority. Every ledger has one of this name, with a root of its own.
const peersDomain = "ledger.internal"

// ledgerDocuments are what the nodes of all cells keep in the database together. What is there is never replaced.
type ledgerDocuments interface {
	// LedgerDocument returns what is kept under a name, nil where there is nothing.
	LedgerDocument(ctx context.Context, name string) ([]byte, error)
	// AddLedgerDocument keeps body under a name unless there is something.
	AddLedgerDocument(ctx context.Context, name string, body []byte) error
}

// sealedRoot is the root of the ledger's own authority: in the database, sealed with a key made of the secret that the
// cells share. So the database alone is not enough to make identities, nor is the secret; and another secret has another
// root. It is a control.Upstream, and holds the root only while it signs.
type sealedRoot struct {
	documents ledgerDocuments
	secret    string
	clock     clock.Clock
}

// rootText is what is sealed.
type rootText struct {
	Certificate []byte `json:"certificate"` // PEM, as the key
	Key         []byte `json:"key"`
}

// SignIntermediate implements control.Upstream.
func (r *sealedRoot) SignIntermediate(ctx context.Context, csr []byte, lifetime time.Duration) (chain, roots []*x509.Certificate, err error) {
	root, err := r.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return root.SignIntermediate(ctx, csr, lifetime)
}

// open reads the root, and makes it where there is none: of nodes that start together, the first one's counts.
func (r *sealedRoot) open(ctx context.Context) (*control.Root, error) {
	name, seal, err := r.sealer()
	if err != nil {
		return nil, fmt.Errorf("open the root of the cells: %w", err)
	}
	sealed, err := r.documents.LedgerDocument(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open the root of the cells: %w", err)
	}
	if sealed == nil {
		if sealed, err = r.make(ctx, name, seal); err != nil {
			return nil, fmt.Errorf("make the root of the cells: %w", err)
		}
	}
	plain, err := seal.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return nil, fmt.Errorf("open the root of the cells: the document %s in the database is damaged, or not of this ledger", name)
	}
	var text rootText
	if err := json.Unmarshal(plain, &text); err != nil {
		return nil, errors.New("open the root of the cells: it is damaged") // the parser's own error could quote the key
	}
	return control.ParseRoot(text.Certificate, text.Key, peersDomain, r.clock)
}

func (r *sealedRoot) make(ctx context.Context, name string, seal cipher.AEAD) ([]byte, error) {
	cert, key, err := control.NewRoot(peersDomain, r.clock)
	if err != nil {
		return nil, err
	}
	plain, err := json.Marshal(rootText{cert, key})
	if err != nil {
		return nil, err
	}
	failed := r.documents.AddLedgerDocument(ctx, name, seal.Seal(nil, nil, plain, []byte(name)))
	sealed, err := r.documents.LedgerDocument(ctx, name)
	if err == nil && sealed == nil {
		err = errors.Join(failed, fmt.Errorf("the document %s is not there after it was added", name))
	}
	return sealed, err
}

// sealer returns the document's name and what seals it, with a nonce of its own in what it makes. Neither tells anything
// about the secret, which has 32 bytes or more.
func (r *sealedRoot) sealer() (name string, seal cipher.AEAD, err error) {
	secret := []byte(r.secret)
	id, err := hkdf.Key(sha256.New, secret, nil, "sterling cells: name of the root", 8)
	if err != nil {
		return "", nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "sterling cells: key of the root", 32)
	if err != nil {
		return "", nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return "", nil, err
	}
	seal, err = cipher.NewGCMWithRandomNonce(block)
	return "cells/root-" + hex.EncodeToString(id), seal, err
}
