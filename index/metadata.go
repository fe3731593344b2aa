package index

import (
	"crypto/sha256"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/must"
)

// metaKey names the list of what has metadata with a key, or (value not nil) with a key and a value. Keys and values are
// hashed: 128 bits do not meet by chance, and whoever reads a hit compares.
func metaKey(tag byte, m *journal.Meta, withValue bool) listKey {
	h := sha256.New()
	_, _ = h.Write([]byte{byte(len(m.Key))}) //nolint:gosec // ≤ MaxMetaKey; and a hash never fails
	_, _ = h.Write([]byte(m.Key))
	if withValue {
		_, _ = h.Write([]byte{byte(m.Type)})
		_, _ = h.Write(m.Value)
	}
	sum := h.Sum(make([]byte, 0, sha256.Size))
	return listKey{tag: tag, hi: be.Uint64(sum), lo: be.Uint64(sum[8:])}
}

// pushMetadata enters a position under each entry of an attachment. Personal values are sealed, so equal ones differ:
// only their keys are indexed.
func (b *buffer) pushMetadata(byKey, byValue byte, attachment []byte, at journal.Position, beside []byte) {
	d, err := journal.DecodeDetails(attachment)
	if err != nil {
		must.True(false, "the attachment at block %d, index %d: %v", at.Seq(), at.Index(), err)
	}
	for i := range d.Metadata {
		m := &d.Metadata[i]
		b.pushData(metaKey(byKey, m, false), uint64(at), beside)
		if m.Type != journal.MetaPersonal {
			b.pushData(metaKey(byValue, m, true), uint64(at), beside)
		}
	}
}

func (b *buffer) addTransferMetadata(k *journal.Block, event uint32, at journal.Position) {
	if a := k.Attachment(int(event)); a != nil {
		b.pushMetadata(tagTransferKey, tagTransferMeta, a, at, nil)
	}
}

// addAccountMetadata indexes the metadata that the block gave to accounts, in the order of its events.
func (b *buffer) addAccountMetadata(k *journal.Block, fx *ledger.Effects) {
	created, changed := fx.Accounts, fx.Changed
	for len(created)+len(changed) > 0 {
		from := &created
		if len(created) == 0 || len(changed) > 0 && changed[0].Event < created[0].Event {
			from = &changed
		}
		e := (*from)[0]
		*from = (*from)[1:]
		if a := k.Attachment(int(e.Event)); a != nil {
			at := journal.At(k.Header.Seq, len(k.Expiries)+int(e.Event))
			b.pushMetadata(tagAccountKey, tagAccountMeta, a, at, be.AppendUint32(nil, e.Number))
		}
	}
}

// readNumber reads a number that stands beside something: of an account, or of an asset.
func readNumber(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, fmt.Errorf("%w: a number of %d bytes", ErrRebuild, len(b))
	}
	return be.Uint32(b), nil
}
