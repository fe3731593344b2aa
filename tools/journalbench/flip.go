package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/journal"
)

// flips counts what became of acknowledged blocks after one bit of the journal was altered and it was opened again.
type flips struct {
	Engine   string `json:"engine"`
	Bits     int    `json:"bits"`
	Noticed  int    `json:"noticed"`  // an error, when opened or read
	Harmless int    `json:"harmless"` // every block is there, unaltered
	Lost     int    `json:"lost"`     // blocks are gone, and there was no error
	Altered  int    `json:"altered"`  // a block with other bytes was read, and there was no error
	Crashed  int    `json:"crashed"`  // it panicked
}

const flipBlocks = 100

// flip writes a journal, takes a copy as a crash leaves it, and alters one random bit of what was acknowledged in a
// copy of that, again and again.
func flip(dir, name string, count int) (*flips, error) {
	dir, err := os.MkdirTemp(dir, "journalbench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	from := filepath.Join(dir, "from")
	if err := os.Mkdir(from, 0o700); err != nil {
		return nil, err
	}
	e, err := startSmall(name, from)
	if err != nil {
		return nil, err
	}
	if name == "pebble" { // only a log made when it is opened again has the format that tells more
		if err := e.close(); err != nil {
			return nil, err
		}
		if e, err = startSmall(name, from); err != nil {
			return nil, err
		}
	}
	blocks := celltest.Writer{Cell: 1}.Chain(0, journal.Hash{}, flipBlocks, 29)
	for _, b := range blocks {
		if err := e.append(b); err != nil {
			return nil, errors.Join(err, e.close())
		}
	}
	crashed := filepath.Join(dir, "crashed")
	if err := errors.Join(os.CopyFS(crashed, os.DirFS(from)), e.close()); err != nil {
		return nil, err
	}
	control := new(flips)
	unaltered := filepath.Join(dir, "unaltered")
	if err := os.CopyFS(unaltered, os.DirFS(crashed)); err != nil {
		return nil, err
	}
	if control.count(name, unaltered, blocks); control.Harmless != 1 {
		return nil, fmt.Errorf("the copy isn't whole before anything is altered: %+v", *control)
	}
	f := &flips{Engine: name, Bits: count}
	r := rand.New(rand.NewPCG(1, 2))
	for range count {
		if err := flipOne(dir, name, crashed, blocks, r, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func flipOne(dir, name, crashed string, blocks []*journal.Block, r *rand.Rand, f *flips) error {
	at := filepath.Join(dir, "flipped")
	if err := os.CopyFS(at, os.DirFS(crashed)); err != nil {
		return err
	}
	defer os.RemoveAll(at)
	path, b, err := journalFile(at)
	if err != nil {
		return err
	}
	// Anywhere from the middle of the first block to the middle of the last one.
	first, last := find(b, blocks[0].Raw), find(b, blocks[flipBlocks-1].Raw)
	if first < 0 || last < first {
		return fmt.Errorf("the blocks are not in %s", path)
	}
	b[first+r.IntN(last-first)] ^= 1 << r.IntN(8)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	defer func() {
		if recover() != nil {
			f.Crashed++
		}
	}()
	f.count(name, at, blocks)
	return nil
}

// find returns where a piece from a block's middle stands; a log may cut its bytes anywhere.
func find(b, raw []byte) int {
	for from := len(raw) / 2; from < len(raw)-64; from += 64 {
		if at := bytes.Index(b, raw[from:from+64]); at >= 0 {
			return at
		}
	}
	return -1
}

// count opens the journal and compares what is there.
func (f *flips) count(name, at string, blocks []*journal.Block) {
	e, err := startSmall(name, at)
	if err != nil {
		f.Noticed++
		return
	}
	defer e.close()
	lost, altered := false, false
	for _, k := range blocks {
		got, err := e.read(k.Header.Seq)
		if err != nil {
			f.Noticed++
			return
		}
		lost = lost || got == nil
		altered = altered || got != nil && !bytes.Equal(got, k.Raw)
	}
	switch {
	case altered:
		f.Altered++
	case lost:
		f.Lost++
	default:
		f.Harmless++
	}
}

// journalFile finds the file with the blocks: each engine has one.
func journalFile(dir string) (path string, b []byte, err error) {
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(p, ".seg") || strings.HasSuffix(p, ".wal") || strings.HasSuffix(p, ".log")) {
			path = p
		}
		return err
	})
	if err != nil || path == "" {
		return path, nil, errors.Join(err, fmt.Errorf("no journal in %s", dir))
	}
	b, err = os.ReadFile(path)
	return path, b, err
}
