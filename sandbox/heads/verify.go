package heads

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Stated is what a log says of a record at one time.
type Stated struct {
	Log   int        `json:"log"` // which of those that were asked, from 0
	Entry uint64     `json:"entry"`
	Made  uint64     `json:"made"` // ns since 1970 UTC, by the log's keeper
	Lines uint64     `json:"lines"`
	Head  trail.Hash `json:"head"`
}

// ErrUnknown is a record of which a log says nothing.
var ErrUnknown = errors.New("the log has no head of this record: it was replaced as a whole, or never logged there")

// Result is what was proven of a record.
type Result struct {
	Record *trail.Report   `json:"record"`
	Stated []Stated        `json:"stated"` // by log, oldest first
	Logs   []*audit.Report `json:"logs"`   // of those that were asked
}

// Logged is through which line the log holds the record.
func (r *Result) Logged() uint64 {
	var most uint64
	for _, s := range r.Stated {
		most = max(most, s.Lines)
	}
	return most
}

// Log is a log to ask, and whose word it has to be.
type Log struct {
	Files   audit.Files
	Trusted audit.Trusted
}

// Verify proves a record, the logs, and that the record is what they say of it: no line that was logged is another one,
// or gone. Errors are those of trail.Verify and audit.VerifyLog, which wrap trail.ErrTampered and audit.ErrUnproven, and
// ErrUnknown where there are logs and none knows the record.
func Verify(ctx context.Context, record io.ReadSeeker, logs ...Log) (*Result, error) {
	r := &Result{Stated: []Stated{}, Logs: []*audit.Report{}}
	var err error
	if r.Record, _, err = trail.Verify(record, nil); err != nil || len(logs) == 0 {
		return r, err
	}
	for i, log := range logs {
		proven, err := audit.VerifyLog(ctx, audit.VerifyOptions{Files: log.Files, Trusted: log.Trusted, Heads: func(index uint64, h *audit.Heads) error {
			for _, one := range h.Heads {
				if one.Record == r.Record.First {
					r.Stated = append(r.Stated, Stated{i, index, h.Made, one.Lines, one.Hash})
				}
			}
			return nil
		}})
		if err != nil {
			return r, err
		}
		r.Logs = append(r.Logs, proven)
	}
	if len(r.Stated) == 0 {
		return r, ErrUnknown
	}
	if _, err := record.Seek(0, io.SeekStart); err != nil {
		return r, fmt.Errorf("read the record again: %w", err)
	}
	return r, r.compare(record)
}

// compare reads the record again: what the log says is known only now.
func (r *Result) compare(record io.Reader) error {
	due := map[uint64][]Stated{}
	for _, s := range r.Stated {
		due[s.Lines] = append(due[s.Lines], s)
	}
	_, _, err := trail.Verify(record, func(line trail.Record) error {
		for _, s := range due[line.Seq+1] {
			if s.Head != line.Hash {
				return fmt.Errorf("%w: line %d is %s, and entry %d of the log says %s", trail.ErrTampered, s.Lines, line.Hash, s.Entry, s.Head)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, s := range r.Stated {
		if s.Lines > r.Record.Records {
			return fmt.Errorf("%w: it was cut short: entry %d of the log says that it had %d lines, and it has %d", trail.ErrTampered, s.Entry, s.Lines, r.Record.Records)
		}
	}
	return nil
}
