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

	mu       sync.Mutex
	workload Workload // nil: not yet
	sockets  []string
	fault    string // why not yet
}

func (s *Supervisor) attach(j Joining) *attachment {
	ctx, cancel := context.WithCancel(s.life)
	a := &attachment{identity: j.Identity, stop: cancel, fault: "it has just begun"}
	s.running.Go(func() {
		defer a.close()
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
