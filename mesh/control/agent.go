package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
)

// Agent serves the SPIFFE Workload API on a machine that joined. Who may be whom the control plane says, by the same
// Identity objects, and only for workloads that the machine's token named; who calls the kernel says. Without the
// control plane's word since the start, and after its refusal, nobody gets anything. Keys are made here and are in memory
// only.
type Agent struct {
	member *Member
	named  []mesh.ID // by the token
	change signal

	mu      sync.Mutex
	current *grants // nil: nobody may be anybody
	version string
	svids   map[mesh.ID]*heldSVID
}

// heldSVID is a certificate that all processes of a workload share. Its lock is held while it is renewed.
type heldSVID struct {
	mu   sync.Mutex
	svid *SVID
}

// errNoGrants is before the control plane has answered.
var errNoGrants = errors.New("the control plane has not said yet who may be whom on this machine, or refuses to")

// NewAgent returns the agent of a machine that has joined. It gives out nothing before Run.
func NewAgent(m *Member) (*Agent, error) {
	named, err := m.Workloads()
	if err != nil {
		return nil, err
	}
	return &Agent{member: m, named: named, svids: map[mesh.ID]*heldSVID{}}, nil
}

// Register offers the Workload API on a gRPC server, whose credentials must be UnixCredentials.
func (a *Agent) Register(s grpc.ServiceRegistrar) {
	workload.RegisterSpiffeWorkloadAPIServer(s, workloadAPI{source: a, clock: a.member.Clock, again: MaxLifetime / 2})
}

// Run follows what the control plane says until ctx ends. While it is away, its last word counts: certificates that
// are out end within the hour, and there are no new ones.
func (a *Agent) Run(ctx context.Context) {
	wait := time.Duration(0)
	for pause := retryFirst; clock.Sleep(ctx, a.member.Clock, wait) == nil; {
		err := a.follow(ctx)
		if err == nil {
			wait, pause = 0, retryFirst
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errUnknownNode) {
			a.set(nil, "")
		}
		a.member.Log.Warn("the control plane does not say who may be whom on this machine", "error", err)
		wait, pause = pause, min(2*pause, retryMost)
	}
}

// follow asks once, and waits for the answer.
func (a *Agent) follow(ctx context.Context) error {
	a.mu.Lock()
	request := grantsRequest{Have: a.version}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, grantsWait+callTime)
	defer cancel()
	var answer grantsAnswer
	if err := a.member.call(ctx, ClientTLS(a.member.Folder), "/mesh/grants", request, &answer); err != nil {
		return err
	}
	if answer.Version == request.Have {
		return nil
	}
	next, err := answer.read(a.named)
	if err != nil {
		return err
	}
	a.set(next, answer.Version)
	return nil
}

// set changes who may be whom. Certificates of those who may no longer are forgotten.
func (a *Agent) set(next *grants, version string) {
	a.mu.Lock()
	a.current, a.version = next, version
	for id := range a.svids {
		if next == nil || !next.has(id) {
			delete(a.svids, id)
		}
	}
	a.mu.Unlock()
	a.change.wake()
}

func (g *grants) has(id mesh.ID) bool {
	for _, i := range g.snapshot.Identities {
		if i.Service == id.Service && i.Cell == id.Cell {
			return true
		}
	}
	return false
}

func (a *Agent) news() <-chan struct{} { return a.change.wait() }

func (a *Agent) granted() (*grants, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current == nil {
		return nil, errNoGrants
	}
	return a.current, nil
}

// issue returns a workload's certificate: a new one from half the life of the last on, or that, while it is good and no
// other can be had.
func (a *Agent) issue(ctx context.Context, id mesh.ID) (*SVID, error) {
	a.mu.Lock()
	held := a.svids[id]
	if held == nil {
		held = &heldSVID{}
		a.svids[id] = held
	}
	a.mu.Unlock()
	held.mu.Lock()
	defer held.mu.Unlock()
	now := wall(a.member.Clock)
	if held.svid != nil && now.Before(held.svid.Renew) {
		return held.svid, nil
	}
	next, err := a.renew(ctx, id)
	switch {
	case err == nil:
		held.svid = next
	case held.svid == nil || !now.Before(held.svid.Chain[0].NotAfter):
		return nil, fmt.Errorf("issue a certificate for %s: %w", id, err)
	default:
		a.member.Log.Warn("a certificate was not renewed: the old one stays", "of", id.String(), "error", err)
		again := *held.svid
		again.Renew = now.Add(min(retryMost, again.Chain[0].NotAfter.Sub(now)/2))
		held.svid = &again
	}
	return held.svid, nil
}

func (a *Agent) renew(ctx context.Context, id mesh.ID) (*SVID, error) {
	answer, key, err := a.member.newCertificate(ctx, ClientTLS(a.member.Folder), certRequest{Workload: id.String()})
	if err != nil {
		return nil, err
	}
	chain, err := answer.chainOf(key)
	if err != nil {
		return nil, err
	}
	if len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != id.String() {
		return nil, fmt.Errorf("read the control plane's answer: no certificate of %s", id)
	}
	now := wall(a.member.Clock)
	return &SVID{ID: id, Chain: chain, Key: key, Renew: now.Add(chain[0].NotAfter.Sub(now) / 2)}, nil
}
