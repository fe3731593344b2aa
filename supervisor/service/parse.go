package service

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/mesh"
	"github.com/sterlingrun/sterling/sandbox"
)

// ErrSpec is wrapped by every error about the content of a declaration.
var ErrSpec = errors.New("service")

// Parse reads one declaration, fills in what was left out, and verifies every bound. Unknown keys are errors. The error
// wraps ErrSpec and names each fault it found, one a line.
func Parse(document []byte) (*Spec, error) {
	if len(document) > MaxDocument {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrSpec, len(document), MaxDocument)
	}
	d := yaml.NewDecoder(bytes.NewReader(document))
	d.KnownFields(true)
	s := &Spec{Replicas: 1}
	if err := d.Decode(s); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the document is empty")
		}
		return nil, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: one document is wanted, and more follows", ErrSpec)
	}
	s.fill()
	v := &validator{}
	v.spec(s)
	return s, v.err()
}

// Fits verifies what a declaration and the policy of its replicas say of each other. The error wraps ErrSpec.
func (s *Spec) Fits(p *sandbox.Policy) error {
	v := &validator{}
	for i, h := range s.Health {
		v.want(h.Socket == "" || slices.Contains(p.Network.Listen, h.Socket), "health[%d].socket: the policy's network.listen has no %q", i, h.Socket)
	}
	v.want(s.Mesh != nil || len(p.Network.Services) == 0, "mesh: the policy's network.services are called with an identity; say mesh.identity")
	if s.Mesh != nil {
		v.want(s.Mesh.Socket == "" || slices.Contains(p.Network.Listen, s.Mesh.Socket), "mesh.socket: the policy's network.listen has no %q", s.Mesh.Socket)
	}
	return v.err()
}

type validator struct{ faults []string }

func (v *validator) want(ok bool, format string, args ...any) {
	if !ok {
		v.faults = append(v.faults, fmt.Sprintf(format, args...))
	}
}

func (v *validator) err() error {
	if len(v.faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrSpec, strings.Join(v.faults, "\n"))
}

// ValidName tells whether a name can be a service's.
func ValidName(name string) bool { return sandbox.ValidName(name) && len(name) <= maxName }

func (v *validator) spec(s *Spec) {
	v.want(s.Version == Version, "version: %d, this program reads %d", s.Version, Version)
	v.want(ValidName(s.Name), "name: %.100q is no DNS label (a-z, 0-9 and -) of up to %d", s.Name, maxName)
	v.want(s.Policy != "" && len(s.Policy) <= 4096, "policy: want the file of a sandbox policy")
	v.want(s.Replicas >= 0 && s.Replicas <= MaxReplicas, "replicas: want 0 to %d, not %d", MaxReplicas, s.Replicas)
	v.want(slices.Contains([]Restart{RestartAlways, RestartOnFailure, RestartNever}, s.Restart), "restart: %.100q is none of always, on-failure, never", s.Restart)
	v.duration("start_time", s.StartTime, time.Second, time.Hour)
	v.want(len(s.Health) <= maxHealth, "health: %d checks, at most %d", len(s.Health), maxHealth)
	for i, h := range s.Health {
		v.health(fmt.Sprintf("health[%d]", i), h)
	}
	u := s.Update
	v.want(u.MaxSurge >= 0 && u.MaxSurge <= MaxReplicas && u.MaxUnavailable >= 0 && u.MaxUnavailable <= MaxReplicas && u.MaxSurge+u.MaxUnavailable > 0,
		"update: want max_unavailable and max_surge of 0 to %d, one of them more than 0", MaxReplicas)
	if s.Mesh != nil {
		_, err := mesh.ParseID(s.Mesh.Identity)
		v.want(err == nil, "mesh.identity: %v", err)
	}
}

func (v *validator) health(where string, h Health) {
	v.want((len(h.Exec) > 0) != (h.Socket != ""), "%s: want exactly one of exec and socket", where)
	v.want(len(h.Exec) <= 64 && (len(h.Exec) == 0 || h.Exec[0] != ""), "%s.exec: want a command of at most 64 words", where)
	clean := !strings.ContainsFunc(h.Path, func(r rune) bool { return r <= ' ' || r > '~' })
	v.want(h.Path == "" || h.Socket != "" && h.Path[0] == '/' && len(h.Path) <= 1024 && clean, "%s.path: want a path such as /healthz, together with socket", where)
	v.duration(where+".every", h.Every, 100*time.Millisecond, time.Hour)
	v.duration(where+".timeout", h.Timeout, 100*time.Millisecond, time.Minute)
	v.want(h.Failures >= 1 && h.Failures <= 100, "%s.failures: want 1 to 100, not %d", where, h.Failures)
}

func (v *validator) duration(where string, d sandbox.Duration, least, most time.Duration) {
	v.want(time.Duration(d) >= least && time.Duration(d) <= most, "%s: want %s to %s, not %s", where, least, most, time.Duration(d))
}
