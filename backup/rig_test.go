package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

const cellNumber = 1

// memory is a repository of which every object can be seen and changed.
type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
	times   map[string]time.Time
	clock   clock.Clock
	puts    int
	before  func(n int, name string) error // called before the n-th Put, from 1
	after   func(n int, name string) error
}

func newMemory(c clock.Clock) *memory {
	return &memory{objects: map[string][]byte{}, times: map[string]time.Time{}, clock: c}
}

func (m *memory) Put(_ context.Context, name string, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	if m.before != nil {
		if err := m.before(m.puts, name); err != nil {
			return err
		}
	}
	m.objects[name], m.times[name] = bytes.Clone(data), wall(m.clock)
	if m.after != nil {
		return m.after(m.puts, name)
	}
	return nil
}

func (m *memory) Get(_ context.Context, name string, limit int64) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[name]
	if !ok {
		return nil, backup.ErrAbsent
	}
	if int64(len(b)) > limit {
		return nil, &backup.ObjectError{Object: name, Reason: "too large", Err: backup.ErrDamaged}
	}
	return bytes.Clone(b), nil
}

func (m *memory) List(_ context.Context, prefix string) ([]backup.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []backup.Entry
	for name, b := range m.objects {
		if strings.HasPrefix(name, prefix) {
			list = append(list, backup.Entry{Name: name, Bytes: int64(len(b)), Modified: m.times[name]})
		}
	}
	slices.SortFunc(list, func(a, b backup.Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (m *memory) Remove(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

// names returns the objects' names in order.
func (m *memory) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for name := range m.objects {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func wall(c clock.Clock) time.Time { return time.Unix(0, int64(c.Wall())).UTC() }

// rig is a journal, a repository and a clock.
type rig struct {
	t      *testing.T
	log    *celltest.Memory
	repo   *memory
	clock  *clock.Fake
	writer celltest.Writer
	blocks []*journal.Block
	random io.Reader
}

func newRig(t *testing.T) *rig {
	c := clock.NewFake(uint64(time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC).UnixNano()))
	return &rig{
		t: t, log: new(celltest.Memory), repo: newMemory(c), clock: c, random: rand.NewChaCha8([32]byte{1}),
		writer: celltest.Writer{Cell: cellNumber, Epoch: 1, Incarnation: 7},
	}
}

// grow appends n blocks of these sizes (events).
func (r *rig) grow(n int, sizes ...int) {
	r.t.Helper()
	var seq uint64
	var prev journal.Hash
	if len(r.blocks) > 0 {
		last := r.blocks[len(r.blocks)-1]
		seq, prev = last.Header.Seq, last.Hash
	}
	for _, b := range r.writer.Chain(seq, prev, n, sizes...) {
		if err := r.log.Append(r.t.Context(), b); err != nil {
			r.t.Fatal(err)
		}
		r.blocks = append(r.blocks, b)
	}
}

func (r *rig) options() backup.Options {
	return backup.Options{Cell: cellNumber, Clock: r.clock, Random: r.random, RunSize: journal.MaxBlock}
}

func (r *rig) backup(change ...func(*backup.Options)) *backup.Result {
	r.t.Helper()
	o := r.options()
	for _, f := range change {
		f(&o)
	}
	result, err := backup.Run(r.t.Context(), r.log, r.repo, o)
	if err != nil {
		r.t.Fatal(err)
	}
	r.clock.Advance(time.Minute)
	return result
}

// restore returns what was restored, and the journal that it went into.
func (r *rig) restore(target backup.Target) (*backup.Restored, *celltest.Memory, error) {
	r.t.Helper()
	into := new(celltest.Memory)
	out, err := backup.Restore(r.t.Context(), r.repo, cellNumber, target, into, nil)
	return out, into, err
}

// wantBlocks checks that a restore gives exactly the first n blocks.
func (r *rig) wantBlocks(target backup.Target, n int) *backup.Restored {
	r.t.Helper()
	out, into, err := r.restore(target)
	if err != nil {
		r.t.Fatal(err)
	}
	if out.Seq != uint64(n) || out.Hash != r.blocks[n-1].Hash {
		r.t.Fatalf("restored block %d with hash %v, want %d", out.Seq, out.Hash, n)
	}
	seq, hash, _ := into.Head(r.t.Context())
	if seq != out.Seq || hash != out.Hash {
		r.t.Fatalf("the journal ends with block %d", seq)
	}
	for i := range n {
		raw, err := into.Read(r.t.Context(), uint64(i+1), nil)
		if err != nil || !bytes.Equal(raw, r.blocks[i].Raw) {
			r.t.Fatalf("block %d differs, error %v", i+1, err)
		}
	}
	return out
}

// wantDamage checks that an error is damage and names the object.
func wantDamage(t *testing.T, err error, object string) {
	t.Helper()
	var o *backup.ObjectError
	if !errors.Is(err, backup.ErrDamaged) || !errors.As(err, &o) || o.Object != object {
		t.Fatalf("error %v, want damage of %s", err, object)
	}
}

func (r *rig) only(prefix string) []string {
	var list []string
	for _, name := range r.repo.names() {
		if strings.HasPrefix(name, fmt.Sprintf("cell-%d/%s", cellNumber, prefix)) {
			list = append(list, name)
		}
	}
	return list
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
