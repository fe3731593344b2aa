package gvisor

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// The parts of EROFS that an image of a root needs, and that gVisor reads: files whose data is in whole blocks one after
// the other, so that they can be mapped into memory; folders and links beside their inodes where they fit into the block;
// no compression, no extended attributes, nothing that a reader must know beyond the first release of the format:
// https://docs.kernel.org/filesystems/erofs.html
const (
	erofsBlock    = 4096
	erofsMagic    = 0xe0f5e1e2
	erofsSuper    = 1024 // where the superblock begins
	erofsSlot     = 32   // what inodes are counted in
	erofsInode    = 64   // bytes of an inode of the longer form
	erofsDirent   = 12
	erofsChecksum = 1 // compatible features: the superblock has a checksum,
	erofsMtime    = 2 // and times are those of the last change
	erofsPlain    = 1 // the longer form of an inode, with its data in blocks
	erofsInline   = 1 | 2<<1
	erofsRoot     = 2 // number of the root's inode. Not 0, which programs take for a deleted file
)

// erofsVolume is in each image: what made it, and how. Another release that packs roots in another way says another one.
var erofsVolume = [16]byte{'s', 't', 'e', 'r', 'l', 'i', 'n', 'g', ' ', 'r', 'o', 'o', 't', ' ', '1'}

// An erofsNode is one file, folder or link.
type erofsNode struct {
	path     string // of the host
	mode     uint32 // as stat gives it
	uid, gid uint32
	size     uint64 // of its data
	mtime    syscall.Timespec
	names    uint32 // that it has
	nid      uint64
	block    uint32 // of its data, where that is not inline
	inline   bool
	link     string       // where a link points
	entries  []erofsEntry // of a folder, with "." and "..", in the order of bytes
}

type erofsEntry struct {
	name string
	node *erofsNode
}

// An erofsWriter makes one image.
type erofsWriter struct {
	nodes []*erofsNode             // each once, however many names it has; the root first
	named map[[2]uint64]*erofsNode // files with several names, by device and number
	next  uint32                   // block
}

// writeErofs writes what is in a folder, which nobody else changes, to an empty file as an image of a file system. The
// identity is for whoever opens the image: verifyErofs wants it. What is not a file, a folder or a link is an error.
func writeErofs(folder string, out *os.File, identity [16]byte) error {
	w := &erofsWriter{named: map[[2]uint64]*erofsNode{}, next: 1}
	if _, err := w.add(folder, nil); err != nil {
		return err
	}
	end := w.place()
	for _, n := range w.nodes {
		if err := w.data(n, out); err != nil {
			return fmt.Errorf("pack %s: %w", n.path, err)
		}
	}
	meta := w.next
	if err := w.inodes(out, int64(meta)*erofsBlock); err != nil {
		return fmt.Errorf("pack %s: %w", folder, err)
	}
	w.next += blocksOf(end)
	if err := out.Truncate(int64(w.next) * erofsBlock); err != nil {
		return fmt.Errorf("pack %s: %w", folder, err)
	}
	if _, err := out.WriteAt(w.super(meta, identity), erofsSuper); err != nil {
		return fmt.Errorf("pack %s: %w", folder, err)
	}
	return nil
}

func blocksOf(size uint64) uint32 { return uint32((size + erofsBlock - 1) / erofsBlock) } //nolint:gosec // maxImageBytes

// add reads a file, folder or link and all that is below it, sizes and names but no data.
func (w *erofsWriter) add(path string, parent *erofsNode) (*erofsNode, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("pack a root: %w", err)
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("pack a root: this system does not say what a file is")
	}
	kind, key := s.Mode&syscall.S_IFMT, [2]uint64{s.Dev, s.Ino}
	if n := w.named[key]; n != nil && kind != syscall.S_IFDIR {
		n.names++
		return n, nil
	}
	n := &erofsNode{path: path, mode: s.Mode, uid: s.Uid, gid: s.Gid, mtime: s.Mtim, names: 1}
	if s.Nlink > 1 {
		w.named[key] = n
	}
	w.nodes = append(w.nodes, n)
	if len(w.nodes) > maxImageEntries {
		return nil, fmt.Errorf("%w: more than %d files", ErrImage, maxImageEntries)
	}
	switch kind {
	case syscall.S_IFREG:
		n.size = uint64(info.Size()) //nolint:gosec // of a file
	case syscall.S_IFLNK:
		n.link, err = os.Readlink(path)
		n.size = uint64(len(n.link))
		n.inline = n.size <= erofsBlock-erofsInode
	case syscall.S_IFDIR:
		err = w.list(n, cmp.Or(parent, n))
	default:
		err = fmt.Errorf("%w: %s is a device, a socket or a pipe", ErrImage, path)
	}
	return n, err
}

// list reads what is in a folder.
func (w *erofsWriter) list(n, parent *erofsNode) error {
	files, err := os.ReadDir(n.path)
	if err != nil {
		return fmt.Errorf("pack a root: %w", err)
	}
	n.names = 2
	n.entries = append(make([]erofsEntry, 0, len(files)+2), erofsEntry{".", n}, erofsEntry{"..", parent})
	for _, f := range files {
		child, err := w.add(filepath.Join(n.path, f.Name()), n)
		if err != nil {
			return err
		}
		if f.IsDir() {
			n.names++
		}
		n.entries = append(n.entries, erofsEntry{f.Name(), child})
	}
	slices.SortFunc(n.entries, func(a, b erofsEntry) int { return cmp.Compare(a.name, b.name) })
	n.size = uint64(len(dirents(n.entries)))
	n.inline = n.size <= erofsBlock-erofsInode
	return nil
}

// place gives each inode its number, and returns the length of all inodes. None of them, and nothing inline, crosses the
// end of a block.
func (w *erofsWriter) place() uint64 {
	at := uint64(erofsRoot * erofsSlot)
	for _, n := range w.nodes {
		size := uint64(erofsInode)
		if n.inline {
			size += n.size
		}
		if at%erofsBlock+size > erofsBlock {
			at = (at/erofsBlock + 1) * erofsBlock
		}
		n.nid = at / erofsSlot
		at += (size + erofsSlot - 1) / erofsSlot * erofsSlot
	}
	return at
}

// data writes what is not inline, and moves on to the next free block.
func (w *erofsWriter) data(n *erofsNode, out *os.File) error {
	if n.inline || n.size == 0 {
		return nil
	}
	n.block = w.next
	w.next += blocksOf(n.size)
	at := int64(n.block) * erofsBlock
	if n.mode&syscall.S_IFMT != syscall.S_IFREG {
		_, err := out.WriteAt(n.content(), at)
		return err
	}
	in, err := os.Open(n.path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read from
	if _, err := out.Seek(at, io.SeekStart); err != nil {
		return err
	}
	_, err = io.CopyN(out, in, int64(n.size)) //nolint:gosec // of a file. From file to file, the host's kernel copies
	return err
}

// content is the data of a folder or a link.
func (n *erofsNode) content() []byte {
	if n.link != "" {
		return []byte(n.link)
	}
	return dirents(n.entries)
}

// inodes writes all inodes, and what is inline, to the blocks from an offset on.
func (w *erofsWriter) inodes(out *os.File, from int64) error {
	b := bufio.NewWriterSize(io.NewOffsetWriter(out, from), 1<<20)
	at := uint64(0)
	for i, n := range w.nodes {
		_, _ = b.Write(make([]byte, n.nid*erofsSlot-at)) // Flush tells
		_, _ = b.Write(n.inode(uint32(i + 1)))
		at = n.nid*erofsSlot + erofsInode
		if n.inline {
			_, _ = b.Write(n.content())
			at += n.size
		}
	}
	return b.Flush()
}

func (n *erofsNode) inode(number uint32) []byte {
	format := uint16(erofsPlain)
	if n.inline {
		format = erofsInline
	}
	le, b := binary.LittleEndian, make([]byte, erofsInode)
	le.PutUint16(b[0:], format)
	le.PutUint16(b[4:], uint16(n.mode)) //nolint:gosec // kind and rights are 16 bits
	le.PutUint64(b[8:], n.size)
	le.PutUint32(b[16:], n.block)
	le.PutUint32(b[20:], number)
	le.PutUint32(b[24:], n.uid)
	le.PutUint32(b[28:], n.gid)
	le.PutUint64(b[32:], uint64(n.mtime.Sec))  //nolint:gosec // as it is kept there
	le.PutUint32(b[40:], uint32(n.mtime.Nsec)) //nolint:gosec // less than 1e9
	le.PutUint32(b[44:], n.names)
	return b
}

// erofsKinds are the types in entries of folders.
var erofsKinds = map[uint32]byte{syscall.S_IFREG: 1, syscall.S_IFDIR: 2, syscall.S_IFLNK: 7}

// dirents is the data of a folder: in each block first numbers, types and where names begin, and then the names.
func dirents(entries []erofsEntry) []byte {
	le, all := binary.LittleEndian, []byte(nil)
	for len(entries) > 0 {
		count, size := 0, 0
		for count < len(entries) && size+erofsDirent+len(entries[count].name) <= erofsBlock {
			size += erofsDirent + len(entries[count].name)
			count++
		}
		if len(all) > 0 { // only the last block is not full
			all = append(all, make([]byte, -len(all)&(erofsBlock-1))...)
		}
		name := count * erofsDirent
		for _, e := range entries[:count] {
			all = le.AppendUint64(all, e.node.nid)
			all = le.AppendUint16(all, uint16(name))
			all = append(all, erofsKinds[e.node.mode&syscall.S_IFMT], 0)
			name += len(e.name)
		}
		for _, e := range entries[:count] {
			all = append(all, e.name...)
		}
		entries = entries[count:]
	}
	return all
}

// super is the first block from the superblock on.
func (w *erofsWriter) super(meta uint32, identity [16]byte) []byte {
	le, b := binary.LittleEndian, make([]byte, erofsBlock-erofsSuper)
	le.PutUint32(b[0:], erofsMagic)
	le.PutUint32(b[8:], erofsChecksum|erofsMtime)
	b[12] = 12 // a block is 1<<12
	le.PutUint16(b[14:], erofsRoot)
	le.PutUint64(b[16:], uint64(len(w.nodes)))
	le.PutUint32(b[36:], w.next)
	le.PutUint32(b[40:], meta)
	copy(b[48:], identity[:])
	copy(b[64:], erofsVolume[:])
	le.PutUint32(b[4:], erofsSum(b))
	return b
}

// erofsSum is the checksum of the first block from the superblock on, in which the checksum itself is zero.
func erofsSum(b []byte) uint32 { return ^crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// verifyErofs tells whether a file is an image that writeErofs has made for an identity, as long as it was. It reads one
// block of it.
func verifyErofs(path string, identity [16]byte) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the packed root: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open the packed root: %w", err)
	}
	le, b := binary.LittleEndian, make([]byte, erofsBlock-erofsSuper)
	if _, err := f.ReadAt(b, erofsSuper); err != nil {
		return fmt.Errorf("%w: %s: %w", errTorn, path, err)
	}
	sum := le.Uint32(b[4:])
	le.PutUint32(b[4:], 0)
	switch {
	case le.Uint32(b) != erofsMagic || sum != erofsSum(b):
		return fmt.Errorf("%w: %s: its checksum is wrong", errTorn, path)
	case info.Size() != int64(le.Uint32(b[36:]))*erofsBlock:
		return fmt.Errorf("%w: %s has %d bytes", errTorn, path, info.Size())
	case !bytes.Equal(b[48:64], identity[:]) || !bytes.Equal(b[64:80], erofsVolume[:]):
		return fmt.Errorf("%w: %s is another root", errTorn, path)
	}
	return nil
}

// errTorn is wrapped where a packed root is not what was written.
var errTorn = errors.New("damaged")
