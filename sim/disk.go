package sim

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrPower is what a disk answers after its power was cut.
var ErrPower = errors.New("the power was cut")

const sector = 512 // bytes that a disk writes whole or not at all

// Disk is a file system in memory that loses what was not synced: after a crash every sector, and every name, that was
// written since the last sync of its file or folder is there or not by the seed's choice. (pebble's MemFS walks maps,
// so its crash clones differ from run to run.) It counts what changes it and cuts the power at the step it is told.
//
// The local store prepares segments in a goroutine. So that steps have one order only, writes to a segment wait until
// the preparation of the next one has ended.
type Disk struct {
	mu      sync.Mutex
	changed sync.Cond

	names   map[string]*node // by clean path
	durable map[string]*node
	ops     []nameOp
	locked  map[string]bool

	fuse      int  // changes until the power is cut; 0: it is not
	dead      bool // it was cut
	full      bool // no space
	failSync  bool // the next sync of a file fails, and what it should have kept is lost
	dropSyncs bool // planted: syncs of files do nothing and say nothing
	opened    bool // the store has opened: from here on its order of steps matters
	begun     bool // a preparation has begun since
	ready     bool // the next segment was prepared, or could not be
	steps     int
}

type node struct {
	dir     bool
	data    []byte
	durable []byte
	writes  []write // since the last sync
}

type write struct {
	at   int64
	data []byte
}

// nameOp is a change of names in one folder that was not synced.
type nameOp struct {
	dir      string
	from, to string // "" from: a new name; "" to: a name that goes
	node     *node
}

// NewDisk returns an empty disk.
func NewDisk() *Disk {
	d := &Disk{names: map[string]*node{".": {dir: true}}, durable: map[string]*node{".": {dir: true}}, locked: map[string]bool{}}
	d.changed.L = &d.mu
	return d
}

// Crash returns the disk as it is found after the power was cut: keep is the chance, in percent, of what was not synced.
func (d *Disk) Crash(rng *rand.Rand, keep int) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	d.changed.Broadcast()
	names := maps.Clone(d.durable)
	for _, op := range d.ops {
		if rng.IntN(100) < keep {
			op.apply(names)
		}
	}
	after := NewDisk()
	for _, name := range slices.Sorted(maps.Keys(names)) { // parents come first
		if name == "." || after.names[path.Dir(name)] == nil {
			continue
		}
		n := names[name].crash(rng, keep)
		after.names[name], after.durable[name] = n, n
	}
	return after
}

func (op *nameOp) apply(names map[string]*node) {
	if op.from != "" {
		delete(names, op.from)
	}
	if op.to != "" {
		names[op.to] = op.node
	}
}

func (n *node) crash(rng *rand.Rand, keep int) *node {
	c := &node{dir: n.dir, data: slices.Clone(n.durable)}
	for _, w := range n.writes {
		for len(w.data) > 0 {
			k := min(len(w.data), sector-int(w.at%sector))
			if rng.IntN(100) < keep {
				c.data = patch(c.data, w.at, w.data[:k])
			}
			w.at, w.data = w.at+int64(k), w.data[k:]
		}
	}
	c.durable = slices.Clone(c.data)
	return c
}

func patch(b []byte, at int64, data []byte) []byte {
	if grow := int(at) + len(data) - len(b); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[at:], data)
	return b
}

// Flip changes one bit of a file whose name has this suffix, chosen by rng, and returns what takes it back.
func (d *Disk) Flip(rng *rand.Rand, suffix string) (what string, undo func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if strings.HasSuffix(name, suffix) && len(d.names[name].data) > 0 {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		return "", nil
	}
	name := list[rng.IntN(len(list))]
	n := d.names[name]
	at, bit := rng.IntN(len(n.data)), byte(1)<<rng.IntN(8)
	flip := func() { n.data[at] ^= bit; n.durable[at] ^= bit }
	flip()
	return fmt.Sprintf("%s at %d, mask %#x", name, at, bit), flip
}

// change begins a change: it waits for a preparation where that matters, and cuts the power when it is time.
func (d *Disk) change(name string) error {
	for d.opened && !d.ready && !d.dead && strings.HasSuffix(name, ".seg") {
		d.changed.Wait()
	}
	if d.dead {
		return ErrPower
	}
	d.steps++
	if d.fuse > 0 {
		if d.fuse--; d.fuse == 0 {
			d.dead = true
			d.changed.Broadcast()
		}
	}
	return nil
}

// Opening is told that a store is about to open here.
func (d *Disk) Opening() { d.with(func() { d.opened, d.begun, d.ready = false, false, false }) }

// Opened is told that a store has opened here. It returns when that has prepared its next segment, or can't.
func (d *Disk) Opened() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened = true
	for !d.ready && !d.dead {
		d.changed.Wait()
	}
}

func (d *Disk) prepared() {
	d.ready = true
	d.changed.Broadcast()
}

func clean(name string) string { return path.Clean(strings.TrimLeft(name, "/")) }

func isPrepared(name string) bool { return strings.HasSuffix(name, "journal-next.tmp") }

func (d *Disk) name(op nameOp) {
	op.apply(d.names)
	d.ops = append(d.ops, op)
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = clean(name)
	if err := d.change(name); err != nil {
		return nil, err
	}
	if d.full {
		if isPrepared(name) {
			d.prepared()
		}
		return nil, syscall.ENOSPC
	}
	if d.dead {
		return nil, ErrPower
	}
	n := &node{}
	d.begun = d.begun || isPrepared(name)
	d.name(nameOp{dir: path.Dir(name), to: name, node: n})
	return &file{d: d, n: n, name: name}, nil
}

// Open implements vfs.FS.
func (d *Disk) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, ErrPower
	}
	n := d.names[clean(name)]
	if n == nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrNotExist}
	}
	return &file{d: d, n: n, name: clean(name)}, nil
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, _ vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return d.Open(name, opts...)
}

// OpenDir implements vfs.FS.
func (d *Disk) OpenDir(name string) (vfs.File, error) { return d.Open(name) }

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = clean(name)
	if isPrepared(name) && d.begun {
		defer d.prepared() // the preparation was given up
	}
	if err := d.change(""); err != nil {
		return err
	}
	if d.names[name] == nil {
		return &os.PathError{Op: "remove", Path: name, Err: os.ErrNotExist}
	}
	d.name(nameOp{dir: path.Dir(name), from: name})
	return nil
}

// Rename implements vfs.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	from, to = clean(from), clean(to)
	if err := d.change(""); err != nil {
		return err
	}
	n := d.names[from]
	if n == nil {
		return &os.PathError{Op: "rename", Path: from, Err: os.ErrNotExist}
	}
	d.name(nameOp{dir: path.Dir(to), from: from, to: to, node: n})
	if isPrepared(from) {
		d.ready = false // the store asks for the next one before it writes a block
	}
	return nil
}

// MkdirAll implements vfs.FS.
func (d *Disk) MkdirAll(dir string, _ os.FileMode) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.change(""); err != nil {
		return err
	}
	dir = clean(dir)
	for i := 1; i <= len(dir); i++ {
		if part := dir[:i]; (i == len(dir) || dir[i] == '/') && d.names[part] == nil {
			d.name(nameOp{dir: path.Dir(part), to: part, node: &node{dir: true}})
		}
	}
	return nil
}

// Lock implements vfs.FS.
func (d *Disk) Lock(name string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = clean(name)
	if d.dead {
		return nil, ErrPower
	}
	if d.locked[name] {
		return nil, syscall.EAGAIN
	}
	d.locked[name] = true
	return unlock(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.locked, name)
	}), nil
}

type unlock func()

// Close implements io.Closer.
func (u unlock) Close() error { u(); return nil }

// List implements vfs.FS.
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, ErrPower
	}
	var list []string
	for name := range d.names {
		if path.Dir(name) == clean(dir) && name != "." {
			list = append(list, path.Base(name))
		}
	}
	slices.Sort(list)
	return list, nil
}

// Stat implements vfs.FS.
func (d *Disk) Stat(name string) (vfs.FileInfo, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

// PathBase implements vfs.FS.
func (*Disk) PathBase(p string) string { return path.Base(p) }

// PathJoin implements vfs.FS.
func (*Disk) PathJoin(elem ...string) string { return path.Join(elem...) }

// PathDir implements vfs.FS.
func (*Disk) PathDir(p string) string { return path.Dir(p) }

// Unwrap implements vfs.FS.
func (*Disk) Unwrap() vfs.FS { return nil }

// GetDiskUsage implements vfs.FS.
func (*Disk) GetDiskUsage(string) (vfs.DiskUsage, error) { return vfs.DiskUsage{}, vfs.ErrUnsupported }

// Link implements vfs.FS; the store does not use it.
func (*Disk) Link(string, string) error { return vfs.ErrUnsupported }

// RemoveAll implements vfs.FS; the store does not use it.
func (*Disk) RemoveAll(string) error { return vfs.ErrUnsupported }

// ReuseForWrite implements vfs.FS; the store does not use it.
func (*Disk) ReuseForWrite(string, string, vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, vfs.ErrUnsupported
}

// file is an open file or folder.
type file struct {
	d    *Disk
	n    *node
	name string // when it was opened
	at   int64
}

func (f *file) Close() error { return nil }

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.at)
	f.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.dead {
		return 0, ErrPower
	}
	if at >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.at)
	f.at += int64(n)
	return n, err
}

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.change(f.current()); err != nil {
		return 0, err
	}
	if f.d.full && at+int64(len(p)) > int64(len(f.n.data)) {
		return 0, syscall.ENOSPC
	}
	f.n.data = patch(f.n.data, at, p)
	f.n.writes = append(f.n.writes, write{at, slices.Clone(p)})
	if f.d.dead { // the power was cut while it was written
		return 0, ErrPower
	}
	return len(p), nil
}

// current is what the file is called now: a segment was prepared under another name.
func (f *file) current() string {
	if f.d.names[f.name] == f.n {
		return f.name
	}
	return "renamed.seg"
}

func (f *file) Preallocate(_, length int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.full && length > int64(len(f.n.data)) {
		return syscall.ENOSPC
	}
	return nil
}

func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if isPrepared(f.name) && f.current() == f.name {
		defer f.d.prepared() // the last step of a preparation
	}
	return f.sync()
}

func (f *file) SyncData() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.sync()
}

func (f *file) sync() error {
	if err := f.d.change(f.current()); err != nil {
		return err
	}
	if f.d.dead {
		return ErrPower
	}
	if f.n.dir {
		rest := f.d.ops[:0]
		for _, op := range f.d.ops {
			if op.dir == f.name {
				op.apply(f.d.durable)
			} else {
				rest = append(rest, op)
			}
		}
		f.d.ops = rest
		return nil
	}
	switch {
	case f.d.dropSyncs:
		return nil
	case f.d.failSync && f.current() != f.name || f.d.failSync && strings.HasSuffix(f.name, ".seg"):
		f.d.failSync, f.n.writes = false, nil
		return syscall.EIO
	}
	for _, w := range f.n.writes {
		f.n.durable = patch(f.n.durable, w.at, w.data)
	}
	f.n.writes = f.n.writes[:0]
	return nil
}

func (f *file) SyncTo(int64) (bool, error) { return false, nil }

func (f *file) Prefetch(int64, int64) error { return nil }

func (f *file) Fd() uintptr { return vfs.InvalidFd }

func (f *file) Stat() (vfs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return info{name: path.Base(f.name), size: int64(len(f.n.data)), dir: f.n.dir}, nil
}

type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string           { return i.name }
func (i info) Size() int64            { return i.size }
func (i info) Mode() os.FileMode      { return 0o600 }
func (i info) ModTime() time.Time     { return time.Time{} }
func (i info) IsDir() bool            { return i.dir }
func (i info) Sys() any               { return nil }
func (i info) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

func (d *Disk) with(fn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fn()
}

func (d *Disk) isDead() (dead bool) { d.with(func() { dead = d.dead }); return dead }
func (d *Disk) isFull() (full bool) { d.with(func() { full = d.full }); return full }
func (d *Disk) setFull(full bool)   { d.with(func() { d.full = full }) }
func (d *Disk) failNextSync()       { d.with(func() { d.failSync = true }) }
func (d *Disk) cutAfter(n int)      { d.with(func() { d.fuse = n }) }
func (d *Disk) heal()               { d.with(func() { d.full, d.failSync, d.fuse = false, false, 0 }) }
