package supervisor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// Workload is a service's place in the mesh.
type Workload interface {
	// Use makes these sockets the program behind the service, by turns; none: calls fail.
	Use(sockets []string)
	Close()
}

// Joining is a service that is to have a place in the mesh.
type Joining struct {
	Service  string
	Identity string // its SPIFFE id
	Folder   string // for the sockets of the services that it may call, each by its name
}

// joinAgain is the pause after a try to join the mesh.
const joinAgain = 2 * time.Second

// An attachment keeps a service's place in the mesh.
type attachment struct {
	identity string
	stop     context.CancelFunc
	gone     chan struct{} // closed when it is given up, with its sockets

	mu       sync.Mutex
	workload Workload // nil: not yet
	sockets  []string
	fault    string // why not yet
}

// attach joins once the place that the service had before is given up: both have the same folders, and the end of the old
// one would take the sockets of the new one away.
func (s *Supervisor) attach(j Joining, before <-chan struct{}) *attachment {
	ctx, cancel := context.WithCancel(s.life)
	a := &attachment{identity: j.Identity, stop: cancel, gone: make(chan struct{}), fault: "it has just begun"}
	s.running.Go(func() {
		defer close(a.gone)
		defer a.close()
		if before != nil {
			<-before
		}
		for {
			w, err := s.o.Join(ctx, j)
			if err == nil {
				a.joined(w)
				<-ctx.Done()
				return
			}
			a.failed(err)
			if clock.Sleep(ctx, s.o.Clock, joinAgain) != nil {
				return
			}
			s.o.Log.Warn("a service is not in the mesh yet", "service", j.Service, "error", err)
		}
	})
	return a
}

// leave gives up the place of a service in the mesh, if it has one.
func (u *unit) leave() {
	if u.mesh != nil {
		u.mesh.stop()
		u.left, u.mesh = u.mesh.gone, nil
	}
}

func (a *attachment) joined(w Workload) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.workload, a.fault = w, ""
	w.Use(a.sockets)
}

func (a *attachment) failed(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = err.Error()
}

func (a *attachment) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.workload != nil {
		a.workload.Close()
	}
}

// use has calls of the service go to these sockets from now on.
func (a *attachment) use(sockets []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Equal(sockets, a.sockets) {
		return
	}
	a.sockets = sockets
	if a.workload != nil {
		a.workload.Use(sockets)
	}
}

func (a *attachment) why() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fault
}
