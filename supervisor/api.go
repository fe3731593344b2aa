package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/supervisor/service"
)

// Declaration is what Apply takes.
type Declaration struct {
	Document []byte `json:"document"`
	Policy   []byte `json:"policy"`
	Folder   string `json:"folder"` // absolute; what relative paths of the policy start from
}

// Status is how a service is.
type Status struct {
	Name       string `json:"name"`
	State      string `json:"state"` // see State…
	Reason     string `json:"reason,omitempty"`
	Generation int    `json:"generation"`
	Good       int    `json:"good"` // the last generation that was ready as a whole; 0: none yet
	Wanted     int    `json:"wanted"`
	Ready      int    `json:"ready"`
	Identity   string `json:"identity,omitempty"`
	MeshFault  string `json:"mesh_fault,omitempty"` // why it is not in the mesh
	Failures   int    `json:"failures,omitempty"`   // in a row
	RetryAt    uint64 `json:"retry_at,omitempty"`   // nanoseconds since 1970

	Replicas []ReplicaStatus `json:"replicas"`
	Ended    []service.Ended `json:"ended"` // the oldest first
}

// ReplicaStatus is how a replica is that has not ended.
type ReplicaStatus struct {
	ID         string `json:"id"`
	Generation int    `json:"generation"`
	State      string `json:"state"` // the sandbox's, or stopping
	Ready      bool   `json:"ready"`
	Isolation  string `json:"isolation,omitempty"`
	Reason     string `json:"reason,omitempty"` // the last failure of a check, or why it stops or stands still
	Gaps       uint64 `json:"gaps"`
	Alerts     uint64 `json:"alerts"`
}

// States of a service.
const (
	StateReady    = "ready"    // all that is wanted is ready, and nothing else runs
	StateUpdating = "updating" // another release takes the place of the last
	StateHalted   = "halted"   // it does not, and Reason says why; the last one goes on
	StateDegraded = "degraded" // fewer are ready than wanted, or nobody knows
	StateStopped  = "stopped"
	StateRemoving = "removing"
)

// Overview is what a supervisor has.
type Overview struct {
	Services []Status `json:"services"`
	// Others are sandboxes in its state folder that are no service's.
	Others []string `json:"others,omitempty"`
	// Fault says why nothing is done.
	Fault string `json:"fault,omitempty"`
}

// Errors of calls.
var (
	ErrNotFound = errors.New("no such service")
	ErrRefused  = errors.New("the declaration can't be used here")
)

// call has the loop do something, and waits for it.
func (s *Supervisor) call(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	select {
	case s.loop <- func() { done <- f() }:
		return <-done
	case <-s.ended:
		return errors.New("the supervisor ends")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Apply makes a declaration the one in force, durably, and tells whether anything changes. What follows from it, Status
// tells.
func (s *Supervisor) Apply(ctx context.Context, d Declaration) (changed bool, err error) {
	spec, err := service.Parse(d.Document)
	if err != nil {
		return false, err
	}
	policy, err := sandbox.Parse(d.Policy)
	if err == nil {
		err = spec.Fits(policy)
	}
	if err == nil {
		err = s.fits(spec, policy, d.Folder)
	}
	if err != nil {
		return false, err
	}
	err = s.call(ctx, func() error {
		u := s.services[spec.Name]
		if u == nil {
			if len(s.services) >= maxServices {
				return fmt.Errorf("%w: there are %d services, as many as can be", ErrRefused, maxServices)
			}
			u = newUnit()
		}
		if u.state.Removed {
			return fmt.Errorf("%w: %s is being removed", ErrRefused, spec.Name)
		}
		before, old := u.state, u.spec
		if changed = u.state.Declare(d.Document, service.Release{Policy: d.Policy, Folder: d.Folder, Health: spec.Health}); !changed {
			return nil
		}
		u.spec = spec
		if err := s.save(spec.Name, u); err != nil {
			u.state, u.spec = before, old
			return err
		}
		s.services[spec.Name] = u
		return nil
	})
	return changed, err
}

// fits verifies what a declaration asks of this supervisor.
func (s *Supervisor) fits(spec *service.Spec, policy *sandbox.Policy, folder string) error {
	if !filepath.IsAbs(folder) {
		return fmt.Errorf("%w: the folder %q is relative", ErrRefused, folder)
	}
	policy.Resolve(folder)
	for _, f := range sandbox.Check(policy) {
		if f.Severity == sandbox.SeverityRefuse {
			return fmt.Errorf("%w: policy: %s: %s", ErrRefused, f.Field, f.Why)
		}
	}
	if spec.Mesh != nil && s.o.Join == nil {
		return fmt.Errorf("%w: mesh: this supervisor was started without a mesh", ErrRefused)
	}
	longest := filepath.Join(s.o.Dir, SandboxDir, "boxes", service.ReplicaID(spec.Name, 99999, 9999999), "audit.sock")
	if over := len(longest) - maxSocket; over > 0 {
		return fmt.Errorf("%w: paths of sockets are at most %d bytes: the name or the folder %s is %d too long", ErrRefused, maxSocket, s.o.Dir, over)
	}
	for _, to := range policy.Network.Services {
		if over := len(filepath.Join(s.offer(spec.Name), to+".new")) - maxSocket; over > 0 {
			return fmt.Errorf("%w: paths of sockets are at most %d bytes: %s/%s is %d too long", ErrRefused, maxSocket, s.offer(spec.Name), to, over)
		}
	}
	return nil
}

// change changes the state of a service, durably.
func (s *Supervisor) change(ctx context.Context, name string, f func(*service.State)) error {
	return s.call(ctx, func() error {
		u := s.services[name]
		if u == nil {
			return fmt.Errorf("%w: %s", ErrNotFound, name)
		}
		before := u.state
		f(&u.state)
		err := s.save(name, u)
		if err != nil {
			u.state = before
		}
		return err
	})
}

// Stop ends all replicas of a service, which stays declared.
func (s *Supervisor) Stop(ctx context.Context, name string) error {
	return s.change(ctx, name, func(state *service.State) { state.Stopped = true })
}

// Remove ends all replicas of a service, and then forgets it, with their output and records.
func (s *Supervisor) Remove(ctx context.Context, name string) error {
	return s.change(ctx, name, func(state *service.State) { state.Stopped, state.Removed = true, true })
}

// Overview tells how everything is.
func (s *Supervisor) Overview(ctx context.Context) (*Overview, error) {
	out := &Overview{Services: []Status{}}
	err := s.call(ctx, func() error {
		out.Fault = s.fault
		for _, name := range slices.Sorted(maps.Keys(s.services)) {
			out.Services = append(out.Services, s.status(name, s.services[name]))
		}
		for _, id := range slices.Sorted(maps.Keys(s.boxes)) {
			if name, _, _, ok := service.ParseReplica(id); !ok || s.services[name] == nil {
				out.Others = append(out.Others, id)
			}
		}
		return nil
	})
	return out, err
}

// Status tells how a service is. The error wraps ErrNotFound.
func (s *Supervisor) Status(ctx context.Context, name string) (*Status, error) {
	var out Status
	err := s.call(ctx, func() error {
		u := s.services[name]
		if u == nil {
			return fmt.Errorf("%w: %s", ErrNotFound, name)
		}
		out = s.status(name, u)
		return nil
	})
	return &out, err
}

func (s *Supervisor) status(name string, u *unit) Status {
	st := &u.state
	out := Status{
		Name: name, Generation: st.Current.Generation, Wanted: max(0, u.spec.Replicas-st.Done), Failures: st.Failures,
		Replicas: []ReplicaStatus{}, Ended: append([]service.Ended{}, st.Ended...),
	}
	if st.Good != nil {
		out.Good = st.Good.Generation
	}
	if st.RetryAt > s.o.Clock.Wall() {
		out.RetryAt = st.RetryAt
	}
	if u.spec.Mesh != nil {
		out.Identity = u.spec.Mesh.Identity
		if u.mesh != nil {
			out.MeshFault = u.mesh.why()
		}
	}
	replicas := s.replicas(u)
	slices.SortFunc(replicas, func(a, b service.Replica) int {
		_, _, m, _ := service.ParseReplica(a.ID)
		_, _, n, _ := service.ParseReplica(b.ID)
		return m - n
	})
	for _, r := range replicas {
		if r.Phase == service.Over {
			continue
		}
		if _, stopping := st.Stopping[r.ID]; r.Ready && !stopping {
			out.Ready++
		}
		out.Replicas = append(out.Replicas, s.replicaStatus(u, r))
	}
	plan := service.Next(u.spec, st, replicas, s.o.Clock.Wall())
	out.State, out.Reason = judge(u, &plan)
	if s.fault != "" {
		out.Reason = s.fault
		if out.State == StateReady {
			out.State = StateDegraded // it was ready when somebody last saw it
		}
	}
	return out
}

func (s *Supervisor) replicaStatus(u *unit, r service.Replica) ReplicaStatus {
	box := s.boxes[r.ID]
	_, generation, _, _ := service.ParseReplica(r.ID)
	one := ReplicaStatus{
		ID: r.ID, Generation: generation, State: box.State, Ready: r.Ready, Isolation: box.Isolation, Gaps: box.Audit.Gaps, Alerts: box.Audit.Alerts,
	}
	if one.State == "" {
		one.State = "starting"
	}
	if p := u.probes[r.ID]; p != nil {
		one.Reason = p.says()
	}
	if box.State == statePaused {
		one.Reason = box.Reason
	}
	if why, stopping := u.state.Stopping[r.ID]; stopping {
		one.State, one.Reason = "stopping", why
	}
	return one
}

func judge(u *unit, plan *service.Plan) (state, reason string) {
	st := &u.state
	last := ""
	if n := len(st.Ended); n > 0 && !st.Ended[n-1].Asked {
		last = st.Ended[n-1].ID + ": " + st.Ended[n-1].Reason
	}
	switch {
	case u.fault != "":
		return StateDegraded, u.fault
	case st.Removed:
		return StateRemoving, ""
	case st.Stopped:
		return StateStopped, ""
	case st.Halted != "":
		return StateHalted, st.Halted
	case plan.Settled:
		return StateReady, ""
	case st.Good == nil || st.Good.Generation != st.Current.Generation:
		return StateUpdating, last
	case plan.Whole:
		return StateReady, "" // one that is not wanted any more has yet to end
	}
	return StateDegraded, last
}

// maxBody bounds what a call may send.
const maxBody = 512 << 10

// Handler answers calls over the socket in the folder. Whoever reaches it may do all: the socket is for its user only.
func (s *Supervisor) Handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			reply(w, v, err)
		})
	}
	answer("GET /services", func(r *http.Request) (any, error) { return s.Overview(r.Context()) })
	answer("GET /services/{name}", func(r *http.Request) (any, error) { return s.Status(r.Context(), r.PathValue("name")) })
	answer("POST /services/{name}/stop", func(r *http.Request) (any, error) { return struct{}{}, s.Stop(r.Context(), r.PathValue("name")) })
	answer("DELETE /services/{name}", func(r *http.Request) (any, error) {
		return struct{}{}, s.Remove(r.Context(), r.PathValue("name"))
	})
	answer("PUT /services", func(r *http.Request) (any, error) {
		var d Declaration
		if err := json.NewDecoder(io.LimitReader(r.Body, maxBody)).Decode(&d); err != nil {
			return nil, fmt.Errorf("%w: read the call: %w", ErrRefused, err)
		}
		changed, err := s.Apply(r.Context(), d)
		return map[string]bool{"changed": changed}, err
	})
	mux.HandleFunc("GET /logs/{replica}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("replica")
		if _, _, _, ok := service.ParseReplica(id); !ok {
			reply(w, nil, fmt.Errorf("%w: no replica %.100q", ErrNotFound, id))
			return
		}
		if err := s.o.Boxes.Logs(r.Context(), id, w); err != nil {
			reply(w, nil, err) // nothing was written yet, or the end is missing and the error is in the text
		}
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	switch {
	case err == nil:
	case errors.Is(err, ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, service.ErrSpec), errors.Is(err, sandbox.ErrPolicy), errors.Is(err, ErrRefused):
		code = http.StatusUnprocessableEntity
	case errors.Is(err, os.ErrDeadlineExceeded):
		code = http.StatusGatewayTimeout
	default:
		code = http.StatusInternalServerError
	}
	if err != nil {
		http.Error(w, err.Error(), code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who is gone needs no answer
}

// Server is an HTTP server for the socket.
func (s *Supervisor) Server() *http.Server {
	return &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
}
