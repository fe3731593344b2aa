package cell

import (
	"sync/atomic"

	"github.com/sterlingrun/sterling/journal"
)

// headerCache remembers headers of durable blocks, which never change: a statement reads a hundred records of as many
// blocks, and every one of them begins with the header. A place has one header; the blocks that share it take turns.
type headerCache struct {
	places [cachedHeaders]atomic.Pointer[journal.Header]
}

const cachedHeaders = 1 << 14 // 4 MB

func (h *headerCache) get(seq uint64) *journal.Header {
	if p := h.places[seq%cachedHeaders].Load(); p != nil && p.Seq == seq {
		return p
	}
	return nil
}

func (h *headerCache) put(header *journal.Header) { h.places[header.Seq%cachedHeaders].Store(header) }
