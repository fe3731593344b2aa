package appends

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/qualify"
)

// ProcessOptions says how a process that holds the journal is killed.
type ProcessOptions struct {
	Cell uint64 // a scratch cell without blocks
	// Command runs WriteUntilKilled on that cell in a process of its own, with the acknowledgements on its standard
	// output.
	Command  []string
	Rounds   int
	Load     time.Duration // the longest time until a kill; each round takes a random part of it, at least a quarter
	Progress qualify.Progress
}

// WriteUntilKilled appends blocks to the journal's end, one after the other, and writes "seq hash" for each once it was
// acknowledged. It ends with an error only, also when nobody reads what it writes.
func WriteUntilKilled(ctx context.Context, log cell.Log, number uint64, w io.Writer) error {
	seq, hash, err := log.Head(ctx)
	if err != nil {
		return fmt.Errorf("ask for the head: %w", err)
	}
	var incarnation [16]byte
	_, _ = rand.Read(incarnation[:]) // never fails
	blocks := qualify.NewWriter(number, incarnation)
	for n := 0; ctx.Err() == nil; n++ {
		b := blocks.Block(seq+1, hash, sizes[n%len(sizes)])
		if err := log.Append(ctx, b); err != nil {
			return fmt.Errorf("append block %d: %w", b.Header.Seq, err)
		}
		seq, hash = b.Header.Seq, b.Hash
		if _, err := fmt.Fprintf(w, "%d %x\n", seq, hash[:]); err != nil {
			return fmt.Errorf("tell that block %d was acknowledged: %w", seq, err)
		}
	}
	return ctx.Err()
}

// Processes lets a process append to the journal, kills it, reads the journal back and looks for every block that it
// was acknowledged; several times, on the same journal.
func Processes(ctx context.Context, t *qualify.Target, o ProcessOptions, s *qualify.Section) error {
	acknowledged := map[uint64]journal.Hash{}
	lost, appeared := 0, 0
	var broken error
	for i := range o.Rounds {
		o.Progress.Tell(float64(i)/float64(o.Rounds), fmt.Sprintf("kill %d of %d, %d blocks so far", i+1, o.Rounds, len(acknowledged)))
		if err := o.round(ctx, acknowledged); err != nil {
			return err
		}
		chain, err := o.chain(ctx, t)
		if err != nil {
			broken = errors.Join(broken, fmt.Errorf("after kill %d: %w", i+1, err))
		}
		lost, appeared = 0, 0
		for seq, hash := range acknowledged {
			if seq > uint64(len(chain)) || chain[seq-1] != hash {
				lost++
			}
		}
		for seq := range chain {
			if _, ok := acknowledged[uint64(seq)+1]; !ok {
				appeared++
			}
		}
		if broken != nil {
			break
		}
	}
	s.Add(lost == 0 && len(acknowledged) > 0, qualify.Check{
		ID: "durability.acknowledged", Title: "Every acknowledged block outlives a kill -9 of the process that wrote it",
		Found: fmt.Sprintf("%d acknowledged under %d kills, %d of them gone", len(acknowledged), o.Rounds, lost), Wanted: "0 gone",
		Why:      "an acknowledged transfer is money that someone relies on",
		Measures: []qualify.Measure{{Name: "acknowledged", Value: float64(len(acknowledged))}, {Name: "lost", Value: float64(lost)}},
	})
	found := "after each kill one chain without a gap"
	if broken != nil {
		found = broken.Error()
	}
	s.Add(broken == nil, qualify.Check{
		ID: "durability.chain", Title: "The journal opens after a kill, and is one unbroken chain", Found: found, Wanted: "whole, or cut behind the last acknowledged block",
		Why: "a torn end is cut; anything else would be damage",
	})
	s.Note(qualify.Check{
		ID: "durability.unknown", Title: "Blocks whose acknowledgement the kill hid", Found: strconv.Itoa(appeared) + " were in fact there",
		Why: "normal: the ledger confirms them by the next block",
	})
	s.Limit("A SIGKILL keeps the operating system's page cache: what was written but not synced is still there afterwards. A power cut was not tried; the simulator's disk drops unsynced writes.")
	return nil
}

// startWithin is how long a process may take until its first acknowledgement.
const startWithin = 30 * time.Second

// round runs the process for a while, kills it, and notes what it was acknowledged.
func (o *ProcessOptions) round(ctx context.Context, acknowledged map[uint64]journal.Hash) error {
	part := 0.25 + 0.75*mathrand.Float64() //nolint:gosec // when to kill
	c := exec.Command(o.Command[0], o.Command[1:]...)
	out, err := c.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start a writer: %w", err)
	}
	var said strings.Builder
	c.Stderr = &said
	if err := c.Start(); err != nil {
		return fmt.Errorf("start a writer: %w", err)
	}
	// Killed while it is read: the pipe holds what it wrote, to the end. The time runs from its first word.
	kill := time.AfterFunc(startWithin, func() { _ = c.Process.Kill() })
	stop := context.AfterFunc(ctx, func() { _ = c.Process.Kill() })
	defer stop()
	before := len(acknowledged)
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		if first {
			kill.Reset(time.Duration(part * float64(o.Load)))
		}
		number, text, _ := strings.Cut(lines.Text(), " ")
		seq, err1 := strconv.ParseUint(number, 10, 64)
		hash, err2 := hex.DecodeString(text)
		if err1 == nil && err2 == nil && len(hash) == len(journal.Hash{}) { // the last line may be cut
			acknowledged[seq] = journal.Hash(hash)
		}
	}
	running := kill.Stop()
	err = c.Wait()
	if running || len(acknowledged) == before {
		return fmt.Errorf("the writer ended before it was killed, or wrote nothing: %w; it said: %s", err, strings.TrimSpace(said.String()))
	}
	return ctx.Err()
}

// chain opens the journal and reads it from its beginning.
func (o *ProcessOptions) chain(ctx context.Context, t *qualify.Target) (chain []journal.Hash, err error) {
	log, err := t.OpenLog(ctx, o.Cell, 0)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return follow(ctx, log, func(journal.Hash) bool { return true })
}
