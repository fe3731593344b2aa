package qualify

import (
	"fmt"
	"time"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes. One Fail makes an engine unfit; a Note and what was Skipped decide nothing.
const (
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
	Note    Outcome = "note"    // worth knowing, and not asked for
	Skipped Outcome = "skipped" // could not be tried here; the report's limits say so
)

// Measure is one number of a check.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
}

// Check is one question to the engine, and its answer.
type Check struct {
	ID       string    `json:"id"` // stable: "append.linearizable"
	Title    string    `json:"title"`
	Outcome  Outcome   `json:"outcome"`
	Found    string    `json:"found"`
	Wanted   string    `json:"wanted,omitempty"`
	Why      string    `json:"why,omitempty"` // it is asked; for a failure also what to change
	Measures []Measure `json:"measures,omitempty"`
}

// Section is a group of checks that were made together.
type Section struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	Method  string    `json:"method"` // what was done, for a reader who was not there
	Seconds float64   `json:"seconds"`
	Checks  []Check   `json:"checks"`
	Limits  []string  `json:"limits,omitempty"` // what it does not show
	Began   time.Time `json:"began"`
}

// Add appends a check that passes if ok holds.
func (s *Section) Add(ok bool, c Check) {
	c.Outcome = Fail
	if ok {
		c.Outcome = Pass
	}
	s.Checks = append(s.Checks, c)
}

// Note appends a check that decides nothing.
func (s *Section) Note(c Check) {
	c.Outcome = Note
	s.Checks = append(s.Checks, c)
}

// Skip appends a check that could not be tried, and says so among the limits.
func (s *Section) Skip(c Check, because string) {
	c.Outcome, c.Found = Skipped, because
	s.Checks = append(s.Checks, c)
	s.Limit("%s: not tried, %s.", c.Title, because)
}

// Limit adds a sentence about what the section does not show.
func (s *Section) Limit(format string, args ...any) {
	s.Limits = append(s.Limits, fmt.Sprintf(format, args...))
}

// Find returns the check with an id, nil where there is none. It is valid until the next check is added.
func (s *Section) Find(id string) *Check {
	for i := range s.Checks {
		if s.Checks[i].ID == id {
			return &s.Checks[i]
		}
	}
	return nil
}

// Failed returns the checks that failed.
func (s *Section) Failed() (list []Check) {
	for _, c := range s.Checks {
		if c.Outcome == Fail {
			list = append(list, c)
		}
	}
	return list
}

// Progress is told how far a piece of work is: between 0 and 1, and in words. It may be called from any goroutine.
type Progress func(fraction float64, text string)

// Until tells p every tenth of a second how much of a time is over, until stop is called; stop waits for it to end.
func (p Progress) Until(began time.Time, length time.Duration, text func() string) (stop func()) {
	if p == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			p(min(1, time.Since(began).Seconds()/max(length.Seconds(), 1e-3)), text())
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}

// Tell calls p, if there is one.
func (p Progress) Tell(fraction float64, text string) {
	if p != nil {
		p(fraction, text)
	}
}
