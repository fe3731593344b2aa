package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Machine is where a report was made.
type Machine struct {
	Processor  string  `json:"processor"`
	Cores      int     `json:"cores"`
	MemoryGB   float64 `json:"memory_gb"`
	Kernel     string  `json:"kernel"`
	Go         string  `json:"go"`
	FileSystem string  `json:"file_system"`
	SyncP50    float64 `json:"fdatasync_4k_p50_ms"` // of a 4 KiB write and its fdatasync
	SyncP99    float64 `json:"fdatasync_4k_p99_ms"`
	BlockP50   float64 `json:"fdatasync_1m_p50_ms"` // of 1 MiB
	BlockP99   float64 `json:"fdatasync_1m_p99_ms"`
	LoadBefore float64 `json:"load_before"` // the system's load average of one minute; other work distorts results
}

// Describe looks at the machine and measures the disk below dir, which takes up to four seconds.
func Describe(dir string) (m Machine, err error) {
	m = Machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Processor: runtime.GOARCH}
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return m, fmt.Errorf("look at the machine: %w", err)
	}
	if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 && cpus[0].ModelName != "" {
		m.Processor = cpus[0].ModelName
	}
	if memory, err := fs.Meminfo(); err == nil && memory.MemTotal != nil {
		m.MemoryGB = float64(*memory.MemTotal) * 1024 / 1e9
	}
	if load, err := fs.LoadAvg(); err == nil {
		m.LoadBefore = load.Load1
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		m.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	m.FileSystem = fileSystem(dir)
	if m.SyncP50, m.SyncP99, err = syncLatency(dir, 4<<10); err != nil {
		return m, err
	}
	m.BlockP50, m.BlockP99, err = syncLatency(dir, 1<<20)
	return m, err
}

// fileSystem names the type of the file system that holds dir.
func fileSystem(dir string) string {
	mounts, err := procfs.GetMounts()
	dir, absErr := filepath.Abs(dir)
	if err != nil || absErr != nil {
		return "unknown"
	}
	best, kind := "", "unknown"
	for _, m := range mounts {
		if below := m.MountPoint == "/" || dir == m.MountPoint || strings.HasPrefix(dir, m.MountPoint+"/"); below && len(m.MountPoint) >= len(best) {
			best, kind = m.MountPoint, m.FSType
		}
	}
	return kind
}

const (
	syncRounds = 200
	syncTime   = 2 * time.Second
)

// syncLatency overwrites a preallocated file piece by piece, each followed by fdatasync: what the journal does.
func syncLatency(dir string, size int) (p50, p99 float64, err error) {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return 0, 0, fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	piece := make([]byte, size)
	const pieces = 16
	for i := range pieces {
		if _, err := f.WriteAt(piece, int64(i*size)); err != nil {
			return 0, 0, fmt.Errorf("measure the disk: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return 0, 0, fmt.Errorf("measure the disk: %w", err)
	}
	var h Histogram
	for began, i := time.Now(), 0; i < syncRounds && time.Since(began) < syncTime; i++ {
		at := time.Now()
		if _, err := f.WriteAt(piece, int64(i%pieces*size)); err != nil {
			return 0, 0, fmt.Errorf("measure the disk: %w", err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return 0, 0, fmt.Errorf("measure the disk: %w", err)
		}
		h.Record(time.Since(at))
	}
	return ms(h.Quantile(0.5)), ms(h.Quantile(0.99)), nil
}
