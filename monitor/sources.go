package monitor

import (
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/sterlingrun/sterling/watch"
)

const (
	// window is how many sequence numbers before and after the last that was taken in order are known by a hash of their
	// content: what comes again is recognised, and what comes early is taken.
	window = 1 << 14
	// maxSources bounds how many sources there may be, as the engine does: each takes 256 KiB of memory.
	maxSources = 64
)

// source is what was taken of one source. The loop owns it.
type source struct {
	through uint64   // all up to here were taken
	hashes  []uint64 // of the content, by seq % (2·window), for through-window < seq ≤ through+window; 0: not taken
}

func newSource() *source { return &source{hashes: make([]uint64, 2*window)} }

func contentHash(b []byte) uint64 { return max(1, xxhash.Sum64(b)) }

// verdict is what is to be done with an observation.
type verdict int

const (
	takeIt  verdict = iota // it is new
	leaveIt                // it was taken already, as far as anybody remembers
	differs                // it was taken with another content
	tooFar                 // too far behind a gap
)

func (s *source) judge(seq, hash uint64) verdict {
	switch {
	case seq > s.through+window:
		return tooFar
	case seq+window <= s.through:
		return leaveIt
	}
	switch s.hashes[seq%(2*window)] {
	case 0:
		return takeIt
	case hash:
		return leaveIt
	}
	return differs
}

// took notes that an observation was taken.
func (s *source) took(seq, hash uint64) {
	s.hashes[seq%(2*window)] = hash
	s.advance()
}

// skip gives up what is missing up to a number. What comes of it later is new all the same.
func (s *source) skip(to uint64) {
	for s.through < to {
		s.through++
		s.hashes[(s.through+window)%(2*window)] = 0
	}
	s.advance()
}

func (s *source) advance() {
	for s.hashes[(s.through+1)%(2*window)] != 0 {
		s.through++
		s.hashes[(s.through+window)%(2*window)] = 0 // it stood for through-window, and comes to stand for what is new
	}
}

// maxText bounds the texts of an observation, as the API does.
const (
	maxName = 64
	maxText = 1024
	// MaxTerms is how many terms an observation may have.
	MaxTerms = 16
	// MaxObservations is how many observations one call may bring.
	MaxObservations = 10_000
)

// checkObservations refuses what is larger than anything that the API lets in.
func checkObservations(name string, first uint64, list []watch.Observation) error {
	const longest = 1 << 62
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: want a name of 1 to %d bytes", ErrTooLarge, maxName)
	}
	if len(list) > MaxObservations || first == 0 || first > longest {
		return fmt.Errorf("%w: %d observations from number %d on; want up to %d, and numbers from 1 to 2^62", ErrTooLarge, len(list), first, MaxObservations)
	}
	for i := range list {
		o := &list[i]
		if max(len(o.Flow), len(o.KeyText), len(o.IDText), len(o.Asset)) > maxName || len(o.Text) > maxText || len(o.Terms) > MaxTerms {
			return fmt.Errorf("%w: observation %d has more text or terms than it may", ErrTooLarge, first+uint64(i))
		}
		for k := range o.Terms {
			if len(o.Terms[k].Name) > maxName {
				return fmt.Errorf("%w: a term of observation %d has a longer name than it may", ErrTooLarge, first+uint64(i))
			}
		}
	}
	return nil
}
