package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// State is what a verification saw. Kept by whoever verifies, it holds the log to its word the next time.
type State struct {
	checkpoint Checkpoint
	lineage    lineage
}

// Checkpoint is the one that was verified.
func (s *State) Checkpoint() Checkpoint { return s.checkpoint }

const stateFormat = 1

type stateFile struct {
	Format     int                    `json:"format"`
	Checkpoint string                 `json:"checkpoint"`
	Last       string                 `json:"last,omitempty"`
	Sources    map[string]stateSource `json:"sources,omitempty"`
}

type stateSource struct {
	ThroughSeq uint64 `json:"through_seq"`
	Digest     string `json:"digest"`
}

// Bytes returns the state for a file: JSON.
func (s *State) Bytes() ([]byte, error) {
	f := stateFile{Format: stateFormat, Checkpoint: string(s.checkpoint.Note)}
	if s.lineage.heard {
		last, err := s.lineage.last.Encode()
		if err != nil {
			return nil, err
		}
		f.Last = string(last)
		f.Sources = map[string]stateSource{}
		for name, o := range s.lineage.sources {
			f.Sources[name] = stateSource{o.ThroughSeq, hex.EncodeToString(o.Digest[:])}
		}
	}
	b, err := json.MarshalIndent(f, "", "  ")
	return append(b, '\n'), err
}

// ErrState is a file that is not the state of a verification by this key.
var ErrState = errors.New("state of the last verification")

// ReadState reads what Bytes wrote. Its checkpoint must be signed by the key.
func ReadState(b []byte, t Trusted) (*State, error) {
	var f stateFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || f.Format != stateFormat {
		return nil, fmt.Errorf("%w: it is not of format %d", ErrState, stateFormat)
	}
	c, err := t.OpenCheckpoint([]byte(f.Checkpoint))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	s := &State{checkpoint: c}
	if c.Size == 0 && f.Last != "" {
		return nil, fmt.Errorf("%w: its checkpoint has no entries, and its last statement %d bytes", ErrState, len(f.Last))
	}
	if f.Last == "" {
		return s, nil
	}
	last, err := ParseStatement([]byte(f.Last))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	if err := s.lineage.take(&last); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	for name, o := range f.Sources {
		known := Source{Name: name, ThroughSeq: o.ThroughSeq}
		if !isName(name) || !scan(o.Digest, &known.Digest) {
			return nil, fmt.Errorf("%w: source %.80q", ErrState, name)
		}
		s.lineage.sources[name] = known
	}
	return s, nil
}

// Last is the last statement that was verified, and whether there is one.
func (s *State) Last() (last Statement, ok bool) { return s.lineage.last, s.lineage.heard }
