package node

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// arenaStep is how much memory is asked for at a time. It is a multiple of the size of a huge page (2 MiB).
const arenaStep = 32 << 20

// arena gives out memory that is not on the Go heap, in huge pages where the system has them. The ledger's tables
// live there: the garbage collector need not leave room for them, and random look-ups miss fewer page entries.
type arena struct {
	mu   sync.Mutex
	rest []byte
}

// alloc returns n bytes of zeros, aligned to 64. They are never given back. A system without memory ends the process,
// as the Go heap's does.
func (a *arena) alloc(n int) []byte {
	size := (n + 63) &^ 63
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.rest) < size {
		a.rest = mapMemory(max(arenaStep, (size+4095)&^4095))
	}
	b := a.rest[:n:n]
	a.rest = a.rest[size:]
	return b
}

func mapMemory(n int) []byte {
	b, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("out of memory: map %d bytes: %v", n, err))
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // without huge pages it is only slower
	return b
}
