package journal

import "bytes"

// Clone returns a copy of k that shares no memory with it: for whoever keeps a block longer than its maker does.
func (k *Block) Clone() *Block {
	c := &Block{Header: k.Header, Hash: k.Hash, Raw: bytes.Clone(k.Raw)}
	c.slice()
	return c
}
