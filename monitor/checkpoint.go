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

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A checkpoint is a file: magic, version u32, length of the head u32, the head (JSON), the sources, the engine's
// snapshot, and the CRC32C of all before it.
const (
	checkpointMagic   = "STERLWCP"
	checkpointVersion = 1
	checkpointPrefix  = "checkpoint-"
	checkpointTmp     = "checkpoint.tmp"
	checkpointsKept   = 2
	maxHead           = 256 << 20
)

// checkpointHead begins a checkpoint: everything but the sources and the engine.
type checkpointHead struct {
	Meta      meta         `json:"meta"`
	Settings  settings     `json:"settings"`
	BlockTime uint64       `json:"block_time"`
	Now       uint64       `json:"now"`
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
	s       *session
	work    uint64        // events since the last one
	began   uint64        // mono, of the last one
	busy    atomic.Bool   // one is being made durable
	oldest  atomic.Uint64 // groups up to here are needed no more; the next group removes them
	removed uint64
}

func crcTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func checkpointName(group uint64) string { return fmt.Sprintf("%s%016x", checkpointPrefix, group) }

// writeState writes the state after the last group that was sealed to a file without a name of its own yet.
func (s *session) writeState() (err error) {
	fs := s.store.fence
	f, err := fs.Create(fs.PathJoin(s.m.opts.Dir, checkpointTmp), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	sum := crc32.New(crcTable())
	w := io.MultiWriter(buffered, sum)
	head := checkpointHead{Meta: s.meta, Settings: s.settings, BlockTime: s.blockTime, Now: s.now, Horizon: s.horizon}
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
	if err = buffered.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// nameState makes what writeState wrote the checkpoint of a group, which must be durable.
func (s *session) nameState(group uint64) error {
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
	if err := s.writeState(); err != nil {
		return fmt.Errorf("write a checkpoint of the watch: %w", err)
	}
	if err := s.nameState(s.meta.Group); err != nil {
		return fmt.Errorf("write a checkpoint of the watch: %w", err)
	}
	return nil
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
			faults = append(faults, fmt.Errorf("checkpoint of group %d: %w", group, err))
			s.m.opts.Logger.Error("a checkpoint of the watch can't be read; an older one serves", "group", group, "error", err)
			continue
		}
		return group, nil
	}
	return 0, errors.Join(faults...)
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
	s.blockTime, s.now, s.horizon = head.BlockTime, head.Now, head.Horizon
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
