package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// ErrRolledBack is a configuration that was valid and is not in use: a data plane refused it, or did worse with it. The
// text says which and why.
var ErrRolledBack = errors.New("mesh config rolled back")

// errRefused is a data plane's NACK.
var errRefused = errors.New("refused by")

const (
	// answerWait is how long a data plane may take to answer.
	answerWait = 10 * time.Second
)

// Apply makes desired state the configuration of the mesh. One node gets it first; the others follow if that one takes
// it and, where it reports calls, fails no more of them than before. It returns when all have answered, or were given time to. The
// error wraps mesh.ErrConfig for state that can't be used, and ErrRolledBack where a data plane was against it; then the
// configuration before is in use everywhere. file is what errors call the text.
func (p *Plane) Apply(ctx context.Context, file string, text []byte) error {
	state, err := mesh.Parse(file, text)
	if err != nil {
		return err
	}
	snapshot, err := mesh.Compile(p.Authority.domain, state)
	if err != nil {
		return err
	}
	p.applying.Lock()
	defer p.applying.Unlock()
	next, err := p.propose(snapshot)
	if err != nil {
		return err
	}
	if err := p.tryFirst(ctx, next); err != nil {
		p.choose(nil, "")
		p.changed.wake()
		return err
	}
	p.mu.Lock()
	before := p.current
	p.current, p.candidate, p.canary, p.dismissed = next, nil, "", false
	p.mu.Unlock()
	p.changed.wake()
	if err := p.await(ctx, "", next.number); errors.Is(err, errRefused) {
		return errors.Join(fmt.Errorf("%w: %w", ErrRolledBack, err), p.back(before))
	}
	return nil // those that did not answer are slow, not unwilling: they get it when they come, and Nodes names them
}

// Check tells what Apply would find wrong with desired state of a trust domain before any data plane has it.
func Check(domain, file string, text []byte, sidecar func(snapshot *mesh.Snapshot, id mesh.ID) ([]byte, error)) (*mesh.Snapshot, error) {
	state, err := mesh.Parse(file, text)
	if err != nil {
		return nil, err
	}
	snapshot, err := mesh.Compile(domain, state)
	if err != nil {
		return nil, err
	}
	g, err := newGeneration(1, snapshot, nil)
	if err != nil {
		return nil, err
	}
	g.sidecar = sidecar
	return snapshot, g.check()
}

// propose makes the next generation.
func (p *Plane) propose(snapshot *mesh.Snapshot) (*generation, error) {
	p.mu.Lock()
	p.number++
	number, before := p.number, p.current
	p.mu.Unlock()
	next, err := newGeneration(number, snapshot, before)
	if err != nil {
		return nil, err
	}
	next.sidecar = p.Sidecar
	return next, next.check()
}

// choose makes node the one that has the candidate.
func (p *Plane) choose(candidate *generation, node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.candidate, p.canary, p.dismissed = candidate, node, false
}

// dismiss notes that a node has no identity in what it was to get first.
func (p *Plane) dismiss(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dismissed = p.dismissed || p.candidate != nil && p.canary == node
}

// tryFirst gives next to one node and looks what it does. A node that next gives no identity has no say: then it is
// another one's turn.
func (p *Plane) tryFirst(ctx context.Context, next *generation) error {
	tried := map[string]bool{}
	for {
		first, found := p.first(next, tried)
		if !found {
			return nil
		}
		tried[first] = true
		err := p.tryOn(ctx, first, next)
		p.mu.Lock()
		dismissed := p.dismissed
		p.mu.Unlock()
		if !dismissed {
			return err
		}
	}
}

func (p *Plane) tryOn(ctx context.Context, node string, next *generation) error {
	before, reports := p.reports.health(node, p.Clock.Mono())
	p.choose(next, node)
	p.changed.wake()
	if err := p.await(ctx, node, next.number); err != nil {
		return fmt.Errorf("%w on the first node: %w", ErrRolledBack, err)
	}
	if !reports || p.Watch == 0 || p.onlyCallers(next) {
		return nil
	}
	if err := p.watch(ctx, node, next.number, before); err != nil {
		return fmt.Errorf("%w: on the first node, %s: %w", ErrRolledBack, node, err)
	}
	return nil
}

// await returns when all connections of node (of every node, for "") have taken generation number. A refusal is an error
// that wraps errRefused. It is an error as well that one node went away: the configuration may have killed it.
func (p *Plane) await(ctx context.Context, node string, number uint64) error {
	late, stop := p.Clock.After(answerWait)
	defer stop()
	for {
		progress := p.progress.wait()
		waiting, found, err := p.answers(node, number)
		switch {
		case err != nil:
			return err
		case node != "" && !found:
			return fmt.Errorf("%s went away", node)
		case waiting == 0:
			return nil
		}
		select {
		case <-progress:
		case <-late:
			return fmt.Errorf("%d connections did not answer within %s", waiting, answerWait)
		case <-ctx.Done():
			return fmt.Errorf("wait for %d answers: %w", waiting, ctx.Err())
		}
	}
}

// answers counts the connections that have not settled, and returns the first refusal.
func (p *Plane) answers(node string, number uint64) (waiting int, found bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for s := range p.streams {
		if node != "" && s.node != node {
			continue
		}
		found = true
		switch {
		case s.settled < number:
			waiting++
		case s.refusedIn >= number: // an older refusal says nothing about this one
			err = fmt.Errorf("%w: %s: %s", errRefused, s.node, s.refusal)
		}
	}
	return waiting, found, err
}

// back gives everybody the configuration of before, as a new generation.
func (p *Plane) back(before *generation) error {
	p.mu.Lock()
	p.number++
	number, failed := p.number, p.current
	p.mu.Unlock()
	if before == nil { // as before the first Apply: nobody is answered
		p.mu.Lock()
		p.current = nil
		p.mu.Unlock()
		p.changed.wake()
		return nil
	}
	again, err := newGeneration(number, before.snapshot, failed)
	if err != nil {
		return err
	}
	again.sidecar = p.Sidecar
	p.mu.Lock()
	p.current = again
	p.mu.Unlock()
	p.changed.wake()
	return nil
}
