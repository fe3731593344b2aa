package monitor

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A checkpoint is a file: magic, version u32, length of the head u32, the head (JSON), the sources, the engine's
// snapshot, and the CRC32C of all before it.
const (
	checkpointMagic   = "STERLWCP"
	checkpointVersion = 1
	checkpointPrefix  = "checkpoint-"
	checkpointTmp     = "checkpoint.tmp"
	checkpointDamaged = "checkpoint.damaged"
	checkpointsKept   = 2
	maxHead           = 256 << 20
)

// checkpointHead begins a checkpoint: everything but the sources and the engine.
type checkpointHead struct {
	Meta      meta         `json:"meta"`
	Settings  settings     `json:"settings"`
	BlockTime uint64       `json:"block_time"`
	Head      uint64       `json:"head"`
	Horizon   uint64       `json:"horizon"`
	Sources   []sourceHead `json:"sources"`
}

// sourceHead says how far a source is; the hashes that its window has follow the head, in order.
type sourceHead struct {
	Name    string `json:"name"`
	Through uint64 `json:"through"`
}

var errCheckpoint = errors.New("damaged checkpoint")

// checkpointing is the state of saving checkpoints.
type checkpointing struct {
	work    uint64        // events since the last one
	began   uint64        // mono, of the last one
	busy    atomic.Bool   // one is being made durable
	oldest  atomic.Uint64 // groups up to here are needed no more; the next group removes them
	removed uint64
}

func crcTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checkpointName(group uint64) string { return fmt.Sprintf("%s%016x", checkpointPrefix, group) }

// writeState writes the state after the last group that was sealed to a file that has no name of its own yet and is not
// durable. nameState is told of it.
func (s *session) writeState() (vfs.File, error) {
	fs := s.store.fence
	f, err := fs.Create(fs.PathJoin(s.m.opts.Dir, checkpointTmp), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	if err := s.writeStateTo(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (s *session) writeStateTo(f io.Writer) error {
	buffered := bufio.NewWriterSize(f, 1<<20)
	sum := crc32.New(crcTable())
	w := io.MultiWriter(buffered, sum)
	head := checkpointHead{Meta: s.meta, Settings: s.settings, BlockTime: s.blockTime, Head: s.head, Horizon: s.horizon}
	for name, src := range s.sources {
		head.Sources = append(head.Sources, sourceHead{name, src.through})
	}
	slices.SortFunc(head.Sources, func(a, b sourceHead) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	start := binary.LittleEndian.AppendUint32([]byte(checkpointMagic), checkpointVersion)
	start = append(binary.LittleEndian.AppendUint32(start, uint32(len(text))), text...) //nolint:gosec // far below 4 GiB
	for _, h := range head.Sources {
		for _, hash := range s.sources[h.Name].hashes {
			start = binary.LittleEndian.AppendUint64(start, hash)
		}
	}
	if _, err = w.Write(start); err != nil {
		return err
	}
	if err = s.engine.Snapshot(w); err != nil {
		return err
	}
	if _, err = buffered.Write(sum.Sum(nil)); err != nil {
		return err
	}
	return buffered.Flush()
}

// nameState makes what writeState wrote durable, and the checkpoint of a group, which must be durable itself.
func (s *session) nameState(f vfs.File, group uint64) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	fs, dir := s.store.fence, s.m.opts.Dir
	if err := fs.Rename(fs.PathJoin(dir, checkpointTmp), fs.PathJoin(dir, checkpointName(group))); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return err
	}
	s.forgetOldCheckpoints()
	return nil
}

// saveNow writes a checkpoint of what is durable, while nothing else runs.
func (s *session) saveNow() error {
	f, err := s.writeState()
	if err == nil {
		err = s.nameState(f, s.meta.Group)
	}
	if err != nil {
		return fmt.Errorf("write a checkpoint of the watch: %w", err)
	}
	s.checkpoint.work, s.checkpoint.began = 0, s.mono()
	return nil
}

// longestWork is after how long a checkpoint is saved even of few events: the log since is read at a start.
const longestWork = 10 * time.Minute

func (s *session) checkpointDue() bool {
	c := &s.checkpoint
	if c.busy.Load() || c.work == 0 {
		return false
	}
	return c.work >= s.m.opts.CheckpointEvents || time.Duration(s.mono()-c.began) >= longestWork //nolint:gosec // small
}

// save writes the state after a group that was just handed over; a helper makes it durable once the group is.
func (s *session) save(g *group) {
	c := &s.checkpoint
	c.work, c.began = 0, s.mono()
	f, err := s.writeState()
	if err != nil {
		s.m.opts.Logger.Warn("a checkpoint of the watch was not written; the log keeps what it would replace", "error", err)
		c.busy.Store(false)
		return
	}
	s.saving.Add(1)
	go func() {
		defer s.saving.Done()
		defer c.busy.Store(false)
		select {
		case <-g.durable:
			err = s.nameState(f, g.number)
		case <-s.failed:
			err = f.Close()
		}
		if err != nil {
			s.m.opts.Logger.Warn("a checkpoint of the watch was not kept; the log keeps what it would replace", "error", err)
		}
	}()
}

// lastCheckpoint saves the state at the end, so that the next start has nothing to replay.
func (s *session) lastCheckpoint() error {
	done := make(chan error, 1)
	g := s.newGroup()
	g.sync = true
	g.answers = append(g.answers, func(err error) { done <- err })
	if err := s.seal(g); err != nil {
		return errors.Join(err, g.batch.Close())
	}
	select {
	case s.commits <- g:
	case <-s.failed:
		return s.err()
	}
	if err := <-done; err != nil {
		return err
	}
	s.saving.Wait() // one that is being made durable has the same temporary name
	return s.saveNow()
}

// checkpoints returns the groups that have one, newest first.
func (s *session) checkpoints() ([]uint64, error) {
	names, err := s.store.fence.List(s.m.opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var list []uint64
	for _, name := range names {
		hex, ok := strings.CutPrefix(name, checkpointPrefix)
		if group, err := strconv.ParseUint(hex, 16, 64); ok && err == nil && name == checkpointName(group) {
			list = append(list, group)
		}
	}
	slices.SortFunc(list, func(a, b uint64) int {
		if a > b {
			return -1
		}
		return 1
	})
	return list, nil
}

// forgetOldCheckpoints removes all but the newest two, and lets the log before them go.
func (s *session) forgetOldCheckpoints() {
	list, err := s.checkpoints()
	if err != nil {
		return // the next checkpoint tries again
	}
	fs := s.store.fence
	for i, group := range list {
		if i >= checkpointsKept && fs.Remove(fs.PathJoin(s.m.opts.Dir, checkpointName(group))) != nil {
			return
		}
	}
	if n := min(len(list), checkpointsKept); n > 0 {
		s.checkpoint.oldest.Store(list[n-1])
	}
}

// newest makes the engine of the newest checkpoint that can be read, and returns its group.
func (s *session) newest(last uint64) (uint64, error) {
	list, err := s.checkpoints()
	if err != nil {
		return 0, err
	}
	faults := []error{errNoCheckpoint}
	for _, group := range list {
		if group > last {
			faults = append(faults, fmt.Errorf("checkpoint of group %d: the log ends with group %d", group, last))
			continue
		}
		if err := s.restore(group); err != nil {
			faults = append(faults, fmt.Errorf("checkpoint of group %d: %w", group, err), s.setAside(group))
			s.m.opts.Logger.Error("a checkpoint of the watch can't be read; an older one serves", "group", group, "error", err)
			continue
		}
		return group, nil
	}
	return 0, errors.Join(faults...)
}

// setAside renames a checkpoint that can't be read, so that it counts as none and a person can look at the last such.
func (s *session) setAside(group uint64) error {
	fs, dir := s.store.fence, s.m.opts.Dir
	return fs.Rename(fs.PathJoin(dir, checkpointName(group)), fs.PathJoin(dir, checkpointDamaged))
}

// restore makes the engine of a checkpoint.
func (s *session) restore(group uint64) (err error) {
	fs := s.store.fence
	f, err := fs.Open(fs.PathJoin(s.m.opts.Dir, checkpointName(group)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size() - crc32.Size
	if size < int64(len(checkpointMagic))+8 {
		return fmt.Errorf("%w: it is cut short", errCheckpoint)
	}
	r := &summing{r: bufio.NewReaderSize(io.LimitReader(f, size), 1<<20), sum: crc32.New(crcTable())}
	if err := s.readState(r, size); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	var want [crc32.Size]byte
	if _, err := f.ReadAt(want[:], size); err != nil {
		return err
	}
	if binary.BigEndian.Uint32(want[:]) != r.sum.Sum32() {
		s.engine = nil
		return fmt.Errorf("%w: its checksum is another", errCheckpoint)
	}
	return nil
}

// summing is a reader that adds up what was read.
type summing struct {
	r   io.Reader
	sum interface {
		io.Writer
		Sum32() uint32
	}
}

// Read implements io.Reader.
func (r *summing) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	_, _ = r.sum.Write(p[:n]) // never fails
	return n, err
}

func (s *session) readState(r io.Reader, size int64) error {
	head, err := readHead(r, size)
	if err != nil {
		return err
	}
	sources := map[string]*source{}
	raw := make([]byte, 8*2*window)
	for _, h := range head.Sources {
		if _, err := io.ReadFull(r, raw); err != nil {
			return fmt.Errorf("%w: %w", errCheckpoint, err)
		}
		src := newSource()
		src.through = h.Through
		for i := range src.hashes {
			src.hashes[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
		sources[h.Name] = src
	}
	e, err := s.m.opts.Engines.Restore(r, s.options(head.Settings))
	if err != nil {
		return err
	}
	s.engine, s.settings, s.sources, s.meta = e, head.Settings, sources, head.Meta
	s.blockTime, s.head, s.horizon = head.BlockTime, head.Head, head.Horizon
	return nil
}

// readHead reads the beginning of a checkpoint of so many bytes.
func readHead(r io.Reader, size int64) (head checkpointHead, err error) {
	var start [len(checkpointMagic) + 8]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return head, fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	version, length := binary.LittleEndian.Uint32(start[8:]), binary.LittleEndian.Uint32(start[12:])
	if string(start[:8]) != checkpointMagic || version != checkpointVersion || length > maxHead || int64(length) > size {
		return head, fmt.Errorf("%w: version %d with a head of %d bytes", errCheckpoint, version, length)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(r, text); err != nil {
		return head, fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return head, fmt.Errorf("%w: %w", errCheckpoint, err)
	}
	if len(head.Sources) > maxSources {
		return head, fmt.Errorf("%w: %d sources", errCheckpoint, len(head.Sources))
	}
	return head, nil
}
