package service

import (
	"slices"
	"time"

	"github.com/sterlingrun/sterling/sandbox"
)

// Version is the version of declarations that this package reads.
const Version = 1

// Spec declares one service: one document of YAML.
type Spec struct {
	Version int    `yaml:"version"`
	Name    string `yaml:"name"` // a DNS label of up to 32
	// Policy is the file of the sandbox policy of every replica, relative to this document.
	Policy   string   `yaml:"policy"`
	Replicas int      `yaml:"replicas"` // 0 to 64; default 1
	Restart  Restart  `yaml:"restart"`  // default always
	Health   []Health `yaml:"health"`   // all of them; none: a replica is ready when it runs
	// StartTime is how long a replica may take until it is ready. 1s to 1h, default 30s.
	StartTime sandbox.Duration `yaml:"start_time"`
	Update    Update           `yaml:"update"`
	Mesh      *Mesh            `yaml:"mesh"` // nil: the service has no identity
}

// Restart says what becomes of a replica that has ended.
type Restart string

// The policies.
const (
	RestartAlways    Restart = "always"
	RestartOnFailure Restart = "on-failure" // one that ended with status 0 is done
	RestartNever     Restart = "never"      // whatever ended is done
)

// Health is one check of a replica: a command in it, a request of HTTP, or a connection. Exactly one of Exec and Socket.
type Health struct {
	Exec   []string `yaml:"exec"`   // healthy if it exits with 0
	Socket string   `yaml:"socket"` // one of the policy's network.listen: healthy if a connection stays open for 200 ms
	Path   string   `yaml:"path"`   // of the socket: healthy if GET answers 200 to 399

	Every    sandbox.Duration `yaml:"every"`    // 100ms to 1h, default 5s; at most 1s until the replica is ready
	Timeout  sandbox.Duration `yaml:"timeout"`  // 100ms to 1m, default 2s
	Failures int              `yaml:"failures"` // in a row, 1 to 100, until a ready replica is replaced; default 3
}

func (h Health) same(o Health) bool {
	return slices.Equal(h.Exec, o.Exec) && h.Socket == o.Socket && h.Path == o.Path && h.Every == o.Every && h.Timeout == o.Timeout && h.Failures == o.Failures
}

// Update is how replicas of another policy, or with other checks, take the place of those that run. One of the two is more than 0.
type Update struct {
	MaxUnavailable int `yaml:"max_unavailable"` // how many fewer than Replicas may be ready; default 0
	MaxSurge       int `yaml:"max_surge"`       // how many more than Replicas may run; default 1
}

// Mesh makes the service part of the mesh.
type Mesh struct {
	Identity string `yaml:"identity"` // its SPIFFE id
	Socket   string `yaml:"socket"`   // one of the policy's network.listen, which gets calls of the service; "": it takes none
}

// Bounds of a declaration.
const (
	MaxDocument = 64 << 10 // bytes
	MaxReplicas = 64
	maxName     = 32
	maxHealth   = 8
)

func (s *Spec) fill() {
	if s.Restart == "" {
		s.Restart = RestartAlways
	}
	if s.StartTime == 0 {
		s.StartTime = sandbox.Duration(30 * time.Second)
	}
	if s.Update == (Update{}) {
		s.Update.MaxSurge = 1
	}
	for i := range s.Health {
		h := &s.Health[i]
		if h.Every == 0 {
			h.Every = sandbox.Duration(5 * time.Second)
		}
		if h.Timeout == 0 {
			h.Timeout = sandbox.Duration(2 * time.Second)
		}
		if h.Failures == 0 {
			h.Failures = 3
		}
	}
}
