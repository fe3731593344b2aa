package service

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// State is what has to survive of a service. Its owner keeps it durably before it acts on it.
type State struct {
	Document []byte  `json:"document"` // the declaration in force
	Current  Release `json:"current"`
	// Good is the last release of which all replicas were ready. Nil: none yet.
	Good   *Release `json:"good,omitempty"`
	Last   int      `json:"last"`   // the highest generation that there was
	Serial int      `json:"serial"` // of the last replica that was to start; never used again
	// Stopped: no replica is to run. Removed: and then the service is to be forgotten.
	Stopped bool `json:"stopped,omitempty"`
	Removed bool `json:"removed,omitempty"`
	// Halted says why the update to Current does not go on. It goes on with another declaration only.
	Halted string `json:"halted,omitempty"`
	// Failures in a row; no replica starts before RetryAt (nanoseconds since 1970).
	Failures int    `json:"failures,omitempty"`
	RetryAt  uint64 `json:"retry_at,omitempty"`
	// Done are replicas of Current that have ended and are not to be started again.
	Done int `json:"done,omitempty"`
	// Starting are replicas that were to start, and of which it is not known yet that they run.
	Starting map[string]bool `json:"starting,omitempty"`
	// Stopping are replicas that are to end, with the reason.
	Stopping map[string]string `json:"stopping,omitempty"`
	// Ended are replicas that have ended, the oldest first.
	Ended []Ended `json:"ended,omitempty"`
}

// Release is what replicas are started with, and judged by: so a check that nobody passes stops at the first new ones.
type Release struct {
	Generation int      `json:"generation"` // from 1
	Policy     []byte   `json:"policy"`
	Folder     string   `json:"folder"` // absolute; what relative paths of the policy start from
	Health     []Health `json:"health,omitempty"`
}

func (v *Release) same(o *Release) bool {
	return bytes.Equal(v.Policy, o.Policy) && v.Folder == o.Folder && slices.EqualFunc(v.Health, o.Health, Health.same)
}

// Ended is how a replica ended.
type Ended struct {
	ID     string `json:"id"`
	At     uint64 `json:"at"` // when it was noticed, in nanoseconds since 1970
	Exit   *int   `json:"exit,omitempty"`
	Reason string `json:"reason"`
	Asked  bool   `json:"asked"` // it was to end
	// Head, Gaps and Alerts are those of its record.
	Head   string `json:"head,omitempty"`
	Gaps   uint64 `json:"gaps,omitempty"`
	Alerts uint64 `json:"alerts,omitempty"`
}

// Phase is where a replica is in its life.
type Phase int

// The phases.
const (
	Live Phase = iota // it starts, or runs
	Held              // it is frozen, for a person to look at: nobody else may end it
	Over              // it has ended
)

// Replica is one sandbox of a service, as it is.
type Replica struct {
	ID    string
	Phase Phase
	Ready bool
	// Failing says why a live one is to be replaced: it is not healthy, or was not in time. "": it is not.
	Failing string
	End     Ended // of one that is Over
}

// ReplicaID names a replica so that its service and generation can be told from it.
func ReplicaID(name string, generation, serial int) string {
	return fmt.Sprintf("%s-g%d-n%d", name, generation, serial)
}

// ParseReplica takes a name apart that ReplicaID made.
func ParseReplica(id string) (name string, generation, serial int, ok bool) {
	rest, last, found := cutLast(id, "-n")
	name, first, also := cutLast(rest, "-g")
	generation, err := strconv.Atoi(first)
	serial, bad := strconv.Atoi(last)
	ok = found && also && err == nil && bad == nil && generation > 0 && serial > 0 && ReplicaID(name, generation, serial) == id
	return name, generation, serial, ok
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+len(sep):], true
}

func generationOf(id string) int {
	_, g, _, _ := ParseReplica(id)
	return g
}

func serialOf(id string) int {
	_, _, n, _ := ParseReplica(id)
	return n
}

// Declare takes a declaration over, and tells whether anything changes; the generation of the release is given here.
// Another policy, or other checks, are another generation, those of the last good one go back to it; anything else holds for
// the replicas that run. The same one again is another try where the last was halted.
func (s *State) Declare(document []byte, next Release) bool {
	same := s.Current.same(&next)
	if same && bytes.Equal(s.Document, document) && !s.Stopped && s.Halted == "" {
		return false
	}
	s.Document = document
	switch {
	case s.Good != nil && s.Good.same(&next): // what runs, or a way back to what ran
		if s.Good.Generation != s.Current.Generation {
			s.Current, s.Done = *s.Good, 0
		}
	case !same || s.Halted != "":
		s.Last++
		next.Generation = s.Last
		s.Current, s.Done = next, 0
	}
	s.Stopped, s.Halted, s.Failures, s.RetryAt = false, "", 0, 0
	return true
}

// updating tells whether there are replicas that Current is to take the place of.
func (s *State) updating() bool { return s.Good != nil && s.Good.Generation != s.Current.Generation }

// Backoff between starts after failures: a second, then twice as long each time, up to a minute.
const (
	backoffFirst = time.Second
	backoffMost  = time.Minute
	// steady is how long after the last start all has to be well until failures are forgotten.
	steady = time.Minute
)

func (s *State) fail(now uint64) {
	s.Failures = min(s.Failures+1, math.MaxInt16)
	s.RetryAt = now + uint64(min(backoffFirst<<min(s.Failures-1, 10), backoffMost)) //nolint:gosec // a minute at most
}

// CutOff takes down that a start went away with who had begun it: whatever becomes of the replica is no failure of its own.
func (s *State) CutOff(id string) {
	delete(s.Starting, id)
	s.stop(id, "its start was cut off with the supervisor")
}

func (s *State) stop(id, why string) {
	if s.Stopping == nil {
		s.Stopping = map[string]string{}
	}
	s.Stopping[id] = why
}

// Known tells whether the end of a replica was noted.
func (s *State) Known(id string) bool {
	for i := range s.Ended {
		if s.Ended[i].ID == id {
			return true
		}
	}
	return false
}

// Note takes down the end of a replica, and what follows from it.
func (s *State) Note(spec *Spec, end Ended, now uint64) {
	why, asked := s.Stopping[end.ID]
	delete(s.Stopping, end.ID)
	delete(s.Starting, end.ID)
	end.At, end.Asked = now, asked
	if asked {
		end.Reason = "stopped: " + why
	}
	s.Ended = append(s.Ended, end)
	current := generationOf(end.ID) == s.Current.Generation
	done := spec.Restart == RestartNever && end.Exit != nil || spec.Restart == RestartOnFailure && end.Exit != nil && *end.Exit == 0
	switch {
	case asked:
	case done && current:
		s.Done++
	case done:
	default:
		s.fail(now)
		if current && s.updating() {
			s.halt(end.ID, "it ended: "+end.Reason)
		}
	}
}

func (s *State) halt(id, why string) {
	if s.Halted == "" {
		s.Halted = id + ": " + why
	}
}
