package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/store/local"
)

type localEngine struct{ s *local.Store }

func (e localEngine) append(b *journal.Block) error { return e.s.Append(context.Background(), b) }
func (e localEngine) close() error                  { return e.s.Close() }
func (e localEngine) read(seq uint64) ([]byte, error) {
	b, err := e.s.Read(context.Background(), seq, nil)
	if errors.Is(err, cell.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

type pebbleEngine struct{ db *pebble.DB }

func (e pebbleEngine) append(b *journal.Block) error {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], b.Header.Seq)
	return e.db.Set(key[:], b.Raw, pebble.Sync)
}
func (e pebbleEngine) close() error { return e.db.Close() }
func (e pebbleEngine) read(seq uint64) ([]byte, error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], seq)
	v, closer, err := e.db.Get(key[:])
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(v), closer.Close()
}

type raftEngine struct{ w *wal.WAL }

func (e raftEngine) append(b *journal.Block) error {
	return e.w.StoreLog(&raft.Log{Index: b.Header.Seq, Term: 1, Type: raft.LogCommand, Data: b.Raw})
}
func (e raftEngine) close() error { return e.w.Close() }
func (e raftEngine) read(seq uint64) ([]byte, error) {
	var l raft.Log
	err := e.w.GetLog(seq, &l)
	if errors.Is(err, raft.ErrLogNotFound) {
		return nil, nil
	}
	return l.Data, err
}

// quiet keeps Pebble's messages out of the output.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic("pebble: " + format)
}

// cpuTime is what the process has used so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
