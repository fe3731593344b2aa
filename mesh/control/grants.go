package control

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// grantsWait is how long the control plane lets a node wait for news.
const grantsWait = 25 * time.Second

// grantsRequest asks which processes of a node may be which of its workloads, when that is not what Have names.
type grantsRequest struct {
	Have string `json:"have"` // the version that the node has; empty: none
}

// grantsAnswer says so, and whom to trust.
type grantsAnswer struct {
	Version string              `json:"version"`
	Domain  string              `json:"domain"`
	Rules   []grantRule         `json:"rules"`
	Trust   map[string][][]byte `json:"trust"` // roots in DER by trust domain
}

// grantRule is an Identity object as a node needs it.
type grantRule struct {
	ID  string  `json:"id"`
	UID uint32  `json:"uid"`
	GID *uint32 `json:"gid,omitempty"` // absent: any
	PID *int32  `json:"pid,omitempty"` // absent: any
}

// grants answers a node with the rules for its workloads, once they are not those that it has, or after a while.
func (j *Joins) grants(r *http.Request, request grantsRequest) (*grantsAnswer, error) {
	name, serial, err := j.nodeOf(r)
	if err != nil {
		return nil, err
	}
	late, stop := j.plane.Clock.After(grantsWait)
	defer stop()
	for over := false; ; {
		changed := j.plane.changed.wait()
		workloads, err := j.workloadsOf(r.Context(), name, serial)
		if err != nil {
			return nil, err
		}
		out, err := j.plane.grantsFor(workloads)
		if err != nil || out.Version != request.Have || over {
			return out, err
		}
		serial = "" // it was the node's when it asked
		select {
		case <-changed:
		case <-late:
			over = true
		case <-r.Context().Done():
			return nil, fmt.Errorf("wait for news of node %s: %w", name, r.Context().Err())
		}
	}
}

// workloadsOf admits a node by its certificate. Without a serial, that was done: then only whether it still may.
func (j *Joins) workloadsOf(ctx context.Context, name, serial string) ([]string, error) {
	if serial != "" {
		return j.admit(ctx, name, serial)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	node := j.state.Nodes[name]
	if node == nil || node.Barred {
		return nil, fmt.Errorf("%w: node %s is barred, or gone", errUnknownNode, name)
	}
	return node.Workloads, nil
}

// grantsFor are the rules of some workloads.
func (p *Plane) grantsFor(workloads []string) (*grantsAnswer, error) {
	g, err := p.view("")
	if err != nil {
		return nil, err
	}
	out := &grantsAnswer{Domain: g.snapshot.Domain, Rules: []grantRule{}, Trust: map[string][][]byte{}}
	for _, i := range g.snapshot.Identities {
		id := mesh.ID{Domain: g.snapshot.Domain, Cell: i.Cell, Service: i.Service}.String()
		if slices.Contains(workloads, id) {
			out.Rules = append(out.Rules, grantRule{id, i.Unix.UID, i.Unix.GID, i.Unix.PID})
		}
	}
	for domain, roots := range p.trust(g) {
		for _, c := range roots {
			out.Trust[domain] = append(out.Trust[domain], c.Raw)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(text)
	out.Version = hex.EncodeToString(hash[:])
	return out, nil
}

// read checks an answer against the workloads that the machine's token named: the control plane may take some of them
// away, and gives no others.
func (a *grantsAnswer) read(named []mesh.ID) (*grants, error) {
	out := &grants{&mesh.Snapshot{Domain: a.Domain}, map[string][]*x509.Certificate{}}
	for _, rule := range a.Rules {
		id, err := mesh.ParseID(rule.ID)
		if err != nil {
			return nil, fmt.Errorf("read who may be whom: %w", err)
		}
		if !slices.Contains(named, id) || id.Domain != a.Domain {
			return nil, fmt.Errorf("read who may be whom: %s is no workload of this machine's token", id)
		}
		out.snapshot.Identities = append(out.snapshot.Identities, mesh.Identity{
			Service: id.Service, Cell: id.Cell, Unix: mesh.UnixSelector{UID: rule.UID, GID: rule.GID, PID: rule.PID},
		})
	}
	for _, domain := range slices.Sorted(maps.Keys(a.Trust)) {
		roots, err := parseAll(a.Trust[domain])
		if err != nil {
			return nil, fmt.Errorf("read the roots of %.100q: %w", domain, err)
		}
		out.trust[domain] = roots
	}
	if len(out.trust[a.Domain]) == 0 {
		return nil, fmt.Errorf("read who may be whom: no roots of %.100q", a.Domain)
	}
	return out, nil
}
