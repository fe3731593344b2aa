package monitor

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/sterlingrun/sterling/watch"
)

// bloom tells of most keys that never left memory that they didn't, without asking the disk: every new case asks. It
// grows by layers of double the size, up to a bound; beyond that everything is "perhaps". Keys are only added; it is
// made anew from the database at every start, by a goroutine of its own, while the engine adds and asks already.
type bloom struct {
	mu     sync.Mutex // of adding a layer
	layers atomic.Pointer[[]*bloomLayer]
	whole  atomic.Bool // everything of the database is in it
	lost   atomic.Bool // there were more keys than it may hold
}

type bloomLayer struct {
	words []uint64
	mask  uint64 // of a block of 512 bits
	left  atomic.Int64
}

const (
	bloomFirst   = 1 << 20 // keys of the first layer
	bloomLayers  = 7       // 127 Mi keys, 254 MiB
	bloomBits    = 16      // a key
	bloomProbes  = 6
	bloomWords   = 8 // of a block: a cache line
	bloomPerWord = 64
)

func newBloom() *bloom {
	b := &bloom{}
	b.layers.Store(&[]*bloomLayer{newBloomLayer(bloomFirst)})
	return b
}

func newBloomLayer(keys int) *bloomLayer {
	blocks := keys * bloomBits / (bloomWords * bloomPerWord)
	l := &bloomLayer{words: make([]uint64, blocks*bloomWords), mask: uint64(blocks - 1)} //nolint:gosec // > 0
	l.left.Store(int64(keys))
	return l
}

func bloomHash(flow string, key watch.ID) uint64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(flow) // never fails
	_, _ = d.Write(key[:])
	return d.Sum64()
}

// probes calls f with the words and bits of a hash until it returns false.
func (l *bloomLayer) probes(hash uint64, f func(word *uint64, bit uint64) bool) {
	block := (hash >> 32 & l.mask) * bloomWords
	h := hash*0x9e3779b97f4a7c15 | 1
	for range bloomProbes {
		h = bits.RotateLeft64(h, 9) * 0xbf58476d1ce4e5b9
		if !f(&l.words[block+h>>61], 1<<(h>>40&63)) {
			return
		}
	}
}

func (l *bloomLayer) has(hash uint64) bool {
	found := true
	l.probes(hash, func(word *uint64, bit uint64) bool {
		found = atomic.LoadUint64(word)&bit != 0
		return found
	})
	return found
}

// add notes a key. Several goroutines may.
func (b *bloom) add(hash uint64) {
	if b.lost.Load() {
		return
	}
	layers := *b.layers.Load()
	l := layers[len(layers)-1]
	if l.left.Add(-1) < 0 {
		if l = b.grow(len(layers)); l == nil {
			return
		}
	}
	l.probes(hash, func(word *uint64, bit uint64) bool {
		atomic.OrUint64(word, bit)
		return true
	})
}

// grow adds a layer to n, unless another goroutine has done it, and returns the newest; nil: there may be no more.
func (b *bloom) grow(n int) *bloomLayer {
	b.mu.Lock()
	defer b.mu.Unlock()
	layers := *b.layers.Load()
	if len(layers) == n {
		if n == bloomLayers {
			b.lost.Store(true)
			b.layers.Store(&[]*bloomLayer{newBloomLayer(bloomWords * bloomPerWord)}) // the memory is better used elsewhere
			return nil
		}
		layers = append(append(make([]*bloomLayer, 0, n+1), layers...), newBloomLayer(bloomFirst<<n))
		b.layers.Store(&layers)
	}
	return layers[len(layers)-1]
}

// perhaps is false only for keys that are not in the database.
func (b *bloom) perhaps(hash uint64) bool {
	if !b.whole.Load() || b.lost.Load() {
		return true
	}
	for _, l := range *b.layers.Load() {
		if l.has(hash) {
			return true
		}
	}
	return false
}
