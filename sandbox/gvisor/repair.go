package gvisor

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// repair ends a record whose recorder is gone. The record then says so; that is no error.
func (s *session) repair(exit int, reason string, cause error) error {
	f, err := os.OpenFile(s.place.path(fileRecord), os.O_RDWR, 0)
	if err != nil {
		return errors.Join(cause, fmt.Errorf("end the record: %w", err))
	}
	r, chain, err := closeRecord(f, s.Clock.Wall(), exit, reason, cause)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(cause, fmt.Errorf("end the record: %w", err))
	}
	head, lines := chain.Head()
	s.last = kept{r.First, head, lines}
	s.status.Audit = Audited{Events: r.Events, Gaps: r.GapCount, Lost: r.Lost, Alerts: r.Alerts, Head: head.String()}
	return nil
}

// A recordFile is what is needed of an os.File.
type recordFile interface {
	io.ReadWriteSeeker
	Truncate(size int64) error
	Sync() error
}

// closeRecord verifies what there is of a record, cuts a torn line, and writes a gap and the end, unless it has an end.
// The report counts the gap.
func closeRecord(f recordFile, now uint64, exit int, reason string, cause error) (*trail.Report, trail.Chain, error) {
	r, chain, err := trail.Verify(f, nil)
	if err != nil || r.End != nil {
		return r, chain, err
	}
	if r.Records == 0 {
		return r, chain, errors.New("it has no beginning")
	}
	if err := f.Truncate(r.Size); err != nil {
		return r, chain, fmt.Errorf("cut a torn line: %w", err)
	}
	if _, err := f.Seek(r.Size, io.SeekStart); err != nil {
		return r, chain, fmt.Errorf("find its end: %w", err)
	}
	r.GapCount++
	text := chain.Append(nil, now, trail.KindGap, trail.Body(trail.Gap{Reason: trail.GapCollector, Detail: cause.Error()}))
	text = chain.Append(text, now, trail.KindEnd, trail.Body(trail.End{
		Exit: exit, Reason: reason, Events: r.Events, Gaps: r.GapCount, Lost: r.Lost, Alerts: r.Alerts,
	}))
	if _, err := f.Write(text); err != nil {
		return r, chain, err
	}
	return r, chain, f.Sync()
}
