package local

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/journal"
)

// ARCHIVE in the data folder says where old segments are, and how many.
const (
	archiveName   = "ARCHIVE"
	archivePrefix = "sterling archive, format 1"
	archiveLimit  = 8 << 10 // bytes of the file
)

// ErrArchive says that the archive folder can't be used, or is not the one that holds this journal's segments.
var ErrArchive = errors.New("the archive folder can't be used")

// archiveRecord is what ARCHIVE says.
type archiveRecord struct {
	segments int    // how many were archived: those of generations 1 to segments
	next     uint64 // first block that is not archived
	dir      string // where they were put; absolute
}

func (r archiveRecord) encode() string {
	return fmt.Sprintf("%s\nsegments %d\nnext %d\nfolder %s\n", archivePrefix, r.segments, r.next, r.dir)
}

func decodeArchive(path, text string) (archiveRecord, error) {
	var r archiveRecord
	lines := strings.Split(text, "\n")
	if len(lines) != 5 || lines[4] != "" {
		return r, damaged(path, 0, "it has %d lines, not 4", len(lines)-1)
	}
	if lines[0] != archivePrefix {
		return r, fmt.Errorf("%w: %s says %q, this program knows %q", ErrVersion, path, lines[0], archivePrefix)
	}
	segments, ok := strings.CutPrefix(lines[1], "segments ")
	n, err := strconv.ParseUint(segments, 10, 31)
	next, ok2 := strings.CutPrefix(lines[2], "next ")
	seq, err2 := strconv.ParseUint(next, 10, 48)
	dir, ok3 := strings.CutPrefix(lines[3], "folder ")
	r = archiveRecord{segments: int(n), next: seq, dir: dir}
	if !ok || !ok2 || !ok3 || err != nil || err2 != nil || n == 0 || seq == 0 || dir == "" || r.encode() != text {
		return r, damaged(path, 0, "it does not say how many segments are in which folder")
	}
	return r, nil
}

// readArchive reads ARCHIVE; its segments are 0 where nothing was archived.
func (s *Store) readArchive() (archiveRecord, error) {
	path := s.path(archiveName)
	f, err := s.fs.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return archiveRecord{}, nil
	}
	if err != nil {
		return archiveRecord{}, fmt.Errorf("open %s: %w", path, err)
	}
	b, err := io.ReadAll(io.LimitReader(f, archiveLimit))
	if err = errors.Join(err, f.Close()); err != nil {
		return archiveRecord{}, fmt.Errorf("read %s: %w", path, err)
	}
	return decodeArchive(path, string(b))
}

// listArchived reads the headers of the segments that ARCHIVE names. Options.Archive says where they are now, if not
// where they were put.
func (s *Store) listArchived() error {
	r, err := s.readArchive()
	if err != nil || r.segments == 0 {
		return err
	}
	if s.opts.Archive != "" {
		if r.dir, err = s.absolute(s.opts.Archive); err != nil {
			return err
		}
	}
	s.archive = r
	where := fmt.Sprintf("blocks 1 to %d are archived in %s", r.next-1, r.dir)
	names, err := s.fs.List(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s: %w; bring the folder back, or say where it is now (archive.dir)", ErrArchive, where, ErrMissing)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrArchive, where, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if first, ok := parseName(name, "journal-", ".seg"); !ok || first >= r.next {
			continue
		}
		g, err := s.openSegment(s.fs.PathJoin(r.dir, name))
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		s.segments = append(s.segments, g)
	}
	for i, g := range s.segments {
		if g.header.Generation != uint32(i+1) {
			return fmt.Errorf("%s: %w: number %d of the journal, before block %d", where, ErrMissing, i+1, g.header.First)
		}
	}
	if len(s.segments) != r.segments {
		return fmt.Errorf("%s: %w: there are %d of %d", where, ErrMissing, len(s.segments), r.segments)
	}
	return s.recordMove(r)
}

// recordMove keeps in mind where the archive folder is now, for whoever opens the journal without saying so.
func (s *Store) recordMove(r archiveRecord) error {
	if s.opts.Archive == "" {
		return nil
	}
	if recorded, err := s.readArchive(); err != nil || recorded == r {
		return err
	}
	return s.writeRecord(r)
}

// writeRecord replaces ARCHIVE, durably.
func (s *Store) writeRecord(r archiveRecord) error {
	if err := s.writeFile(archiveName+tmpSuffix, r.encode()); err != nil {
		return err
	}
	if err := s.fs.Rename(s.path(archiveName+tmpSuffix), s.path(archiveName)); err != nil {
		return fmt.Errorf("name %s: %w", archiveName, full(err))
	}
	return s.syncDir(s.dir)
}

// leftArchived tells whether a segment of the journal folder is archived already: the removal was cut short. Archive
// goes on with it.
func (s *Store) leftArchived(first uint64) bool {
	return s.archive.segments > 0 && first < s.archive.next
}

// ArchiveOptions say which segments are archived, and where to.
type ArchiveOptions struct {
	Dir string // archive folder; made where it is not there
	// Below and Before bound the segments: all of their blocks have smaller sequence numbers, and were made before this
	// time (nanoseconds since 1970).
	Below, Before uint64
	// Progress is told how many segments of how many are archived; may be nil.
	Progress func(done, total uint64)
}

// Archived tells what Archive did.
type Archived struct {
	Segments int    // moved this time
	Bytes    int64  // of them
	Through  uint64 // last archived block; 0: none
}

// Archive moves the oldest segments to another folder, where they are read as before. Each is copied, made durable, read
// back and compared, then recorded, and only then removed: a crash anywhere loses nothing, and the next Archive goes on.
// Reads and appends go on meanwhile. The last segment always stays. Errors: ErrArchive, cell.ErrFull, damage.
func (s *Store) Archive(ctx context.Context, o ArchiveOptions) (a Archived, err error) {
	leave, err := s.enter()
	if err != nil {
		return a, err
	}
	defer leave()
	s.archiving.Lock()
	defer s.archiving.Unlock()
	defer func() { a.Through = max(s.archive.next, 1) - 1 }()
	if o.Dir, err = s.archiveDir(o.Dir); err != nil {
		return a, err
	}
	if err := s.removeArchived(); err != nil {
		return a, err
	}
	due, err := s.due(ctx, o)
	if err != nil {
		return a, err
	}
	for i, g := range due {
		if err := ctx.Err(); err != nil {
			return a, fmt.Errorf("archive %s: %w", g.path, err)
		}
		if err := s.archiveOne(ctx, g, o.Dir); err != nil {
			return a, fmt.Errorf("archive %s: %w", g.path, err)
		}
		a.Segments++
		a.Bytes += g.header.Size
		if o.Progress != nil {
			o.Progress(uint64(i+1), uint64(len(due)))
		}
	}
	return a, nil
}

// archiveDir checks that all archived segments are in one folder, and makes it.
func (s *Store) archiveDir(dir string) (string, error) {
	if dir == "" || strings.ContainsRune(dir, '\n') {
		return "", fmt.Errorf("%w: %q is no folder", ErrArchive, dir)
	}
	dir, err := s.absolute(dir)
	if err != nil {
		return "", err
	}
	if s.archive.segments > 0 && s.archive.dir != dir {
		return "", fmt.Errorf("%w: %s: blocks 1 to %d are in %s; move that folder, and say so with archive.dir", ErrArchive, dir, s.archive.next-1, s.archive.dir)
	}
	for _, own := range []string{s.dir, s.path(journalDir), s.path(snapshotDir)} {
		if dir == own {
			return "", fmt.Errorf("%w: %s is the data folder's", ErrArchive, dir)
		}
	}
	if err := s.createFolder(dir); err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return dir, nil
}

// absolute makes a path independent of the folder that a process was started in.
func (s *Store) absolute(dir string) (string, error) {
	if s.fs != vfs.Default {
		return dir, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return abs, nil
}

// removeArchived removes segments whose removal was cut short, after another look at the copy.
func (s *Store) removeArchived() error {
	for i := range s.archive.segments {
		s.mu.RLock()
		g := s.segments[i]
		s.mu.RUnlock()
		path := s.path(journalDir, segmentName(g.header.First))
		if _, err := s.fs.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := s.sameFile(path, g.path); err != nil {
			return err
		}
		if err := s.dropFile(path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) dropFile(path string) error {
	if err := s.fs.Remove(path); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return s.syncDir(s.path(journalDir))
}

// due returns the sealed segments to be archived, oldest first.
func (s *Store) due(ctx context.Context, o ArchiveOptions) ([]*segment, error) {
	s.mu.RLock()
	sealed := slices.Clone(s.segments[:max(1, len(s.segments))-1])
	s.mu.RUnlock()
	sealed = sealed[s.archive.segments:]
	for i, g := range sealed {
		if g.end > o.Below {
			return sealed[:i], nil
		}
		var b [journal.HeaderSize]byte
		if err := s.readAt(ctx, g.end-1, b[:], 0); err != nil {
			return nil, err
		}
		h, err := journal.DecodeHeader(b[:])
		if err != nil {
			return nil, errors.Join(damaged(g.path, 0, "block %d, its last, does not decode", g.end-1), err)
		}
		if h.End() > o.Before {
			return sealed[:i], nil
		}
	}
	return sealed, nil
}

// archiveOne moves one segment.
func (s *Store) archiveOne(ctx context.Context, g *segment, dir string) error {
	path := s.fs.PathJoin(dir, segmentName(g.header.First))
	moved, err := s.copySegment(ctx, g, path)
	if err != nil {
		return err
	}
	r := archiveRecord{segments: int(g.header.Generation), next: g.end, dir: dir}
	if err := s.writeRecord(r); err != nil {
		return err
	}
	s.archive = r
	s.replace(g, moved)
	return s.dropFile(g.path)
}

// replace has readers find the archived segment in place of g from now on.
func (s *Store) replace(g, moved *segment) {
	s.appending.Lock()
	s.mu.Lock()
	s.segments[g.header.Generation-1] = moved
	s.mu.Unlock()
	s.appending.Unlock()
	s.files.retire(g)
}

// copySegment copies g to path, durably, and returns the copy once all of it was read back and found to be the same. A
// copy that stands there already will do, if it is the same; anything else of that name is left alone.
func (s *Store) copySegment(ctx context.Context, g *segment, path string) (*segment, error) {
	if _, err := s.fs.Stat(path); errors.Is(err, os.ErrNotExist) {
		if err := s.copyFile(ctx, g.path, path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	if err := s.sameFile(g.path, path); err != nil {
		return nil, err
	}
	return s.checkCopy(g, path)
}

func (s *Store) copyFile(ctx context.Context, from, to string) error {
	src, err := s.fs.Open(from, vfs.SequentialReadsOption)
	if err != nil {
		return fmt.Errorf("open segment: %w", err)
	}
	dst, err := s.fs.Create(to+tmpSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrArchive, full(err)), src.Close())
	}
	buf := make([]byte, readAll)
	for err == nil {
		var n int
		n, err = src.Read(buf)
		if n > 0 {
			if _, writeErr := dst.Write(buf[:n]); writeErr != nil {
				err = full(writeErr)
			}
		}
		if err == nil {
			err = ctx.Err()
		}
	}
	if errors.Is(err, io.EOF) {
		err = dst.Sync()
	}
	if err = errors.Join(err, src.Close(), dst.Close()); err != nil {
		return fmt.Errorf("copy to %s: %w", to, err)
	}
	if err := s.fs.Rename(to+tmpSuffix, to); err != nil {
		return fmt.Errorf("%w: name %s: %w", ErrArchive, to, full(err))
	}
	return s.syncDir(s.fs.PathDir(to))
}

// sameFile compares two files.
func (s *Store) sameFile(a, b string) error {
	hashA, err := s.hashFile(a)
	if err != nil {
		return err
	}
	hashB, err := s.hashFile(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(hashA, hashB) {
		return fmt.Errorf("%w: %s is not what %s is: another journal's, or damaged", ErrArchive, b, a)
	}
	return nil
}

func (s *Store) hashFile(path string) ([]byte, error) {
	f, err := s.fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, readAll))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return h.Sum(nil), nil
}

// checkCopy reads every sector of an archived segment: it must have exactly g's blocks.
func (s *Store) checkCopy(g *segment, path string) (*segment, error) {
	moved, err := s.openSegment(path)
	if err != nil {
		return nil, err
	}
	if moved.header != g.header {
		return nil, fmt.Errorf("%w: %s is of another segment", ErrArchive, path)
	}
	moved.end = g.end
	e, err := s.build(moved, 0, readAll)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	want := s.segments[g.header.Generation].header.Prev // of the segment that follows
	s.mu.RUnlock()
	if e.hash != want {
		return nil, damaged(path, offsetOf(e.sector), "it ends with hash %v, the journal goes on after %v", e.hash, want)
	}
	return moved, nil
}

// Sealed returns the first block that is not in a sealed segment, and so stays whatever is archived.
func (s *Store) Sealed() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.segments) == 0 {
		return 1
	}
	return s.last().header.First
}
