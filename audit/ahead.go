package audit

import (
	"context"
	"sync"
)

// aheadFiles is how many files are fetched before they are asked for: a verification over a network would otherwise
// wait for each.
const aheadFiles = 8

// ahead fetches the bundles of a log and the tiles above them in the order in which a verification reads them. It
// belongs to one goroutine.
type ahead struct {
	files   Files
	ctx     context.Context //nolint:containedctx // of the verification that it is a part of
	size    uint64
	next    uint64 // bundle 2*i, or tile 2*i+1
	end     uint64
	waiting map[string]chan fetched
	group   sync.WaitGroup
}

type fetched struct {
	b   []byte
	err error
}

func newAhead(ctx context.Context, files Files, bundle, size uint64) *ahead {
	a := &ahead{files: files, ctx: ctx, size: size, next: 2 * bundle, end: 2 * ((size + tileWidth - 1) / tileWidth), waiting: map[string]chan fetched{}}
	for range aheadFiles {
		a.start()
	}
	return a
}

func (a *ahead) start() {
	if a.next >= a.end {
		return
	}
	f := bundleOf(a.next/2, a.size)
	if a.next%2 == 1 {
		f = tileOf(0, a.next/2, a.size)
	}
	a.next++
	done := make(chan fetched, 1)
	a.waiting[f.path()] = done
	a.group.Go(func() {
		b, err := a.files.File(a.ctx, f.path(), f.maxSize())
		done <- fetched{b, err}
	})
}

// File implements Files.
func (a *ahead) File(ctx context.Context, path string, limit int) ([]byte, error) {
	done, ok := a.waiting[path]
	if !ok {
		return a.files.File(ctx, path, limit)
	}
	delete(a.waiting, path)
	got := <-done // ends with the context
	a.start()
	return got.b, got.err
}

// wait returns when nothing is fetched any more. The context must have ended.
func (a *ahead) wait() { a.group.Wait() }
