package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// catalog is what a repository has of one cell.
type catalog struct {
	cell      uint64
	manifests map[string]*listed // by id; whole ones
	order     []*listed          // the same, oldest first
	faults    []fault            // manifests that can't be read, oldest first
	leftovers []string           // of interrupted writes among the manifests
}

type listed struct {
	*Manifest
	hash Digest
}

type fault struct {
	id  string
	err error
}

// readers is how many manifests are fetched at a time.
const readers = 8

// load reads all manifests of a cell. One that is not whole is kept as a fault; an error is the repository's.
func load(ctx context.Context, r Repository, cell uint64) (*catalog, error) {
	prefix := manifestPrefix(cell)
	entries, err := r.List(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	c := &catalog{cell: cell, manifests: map[string]*listed{}}
	var names []string
	for _, e := range entries {
		if e.Leftover {
			c.leftovers = append(c.leftovers, e.Name)
		} else {
			names = append(names, e.Name)
		}
	}
	found, errs := make([]*listed, len(names)), make([]error, len(names))
	var group sync.WaitGroup
	for worker := range min(readers, len(names)) {
		group.Go(func() {
			for i := worker; i < len(names); i += readers {
				found[i], errs[i] = loadOne(ctx, r, names[i])
			}
		})
	}
	group.Wait()
	for i, name := range names {
		id := strings.TrimSuffix(strings.TrimPrefix(name, prefix), manifestSuffix)
		switch {
		case errs[i] == nil:
			c.manifests[id] = found[i]
			c.order = append(c.order, found[i])
		case errors.Is(errs[i], ErrDamaged), errors.Is(errs[i], ErrVersion):
			c.faults = append(c.faults, fault{id, errs[i]})
		default:
			return nil, errs[i]
		}
	}
	return c, nil
}

func loadOne(ctx context.Context, r Repository, name string) (*listed, error) {
	b, err := fetch(ctx, r, name, maxManifest)
	if err != nil {
		return nil, err
	}
	m, hash, err := DecodeManifest(name, b)
	if err != nil {
		return nil, err
	}
	return &listed{m, hash}, nil
}

// chain returns a backup and those that it stands on, the full one first. Errors are *ObjectError.
func (c *catalog) chain(m *listed) ([]*listed, error) {
	var back []*listed
	for {
		back = append(back, m)
		if m.Kind == Full {
			break
		}
		name := manifestName(c.cell, m.Parent)
		parent := c.manifests[m.Parent]
		if parent == nil {
			for _, f := range c.faults {
				if f.id == m.Parent {
					return nil, f.err
				}
			}
			return nil, &ObjectError{Object: name, Reason: "backup " + m.ID + " stands on it", Err: ErrMissing}
		}
		if parent.hash != *m.ParentHash || parent.LastSeq+1 != m.FirstSeq || parent.LastHash != m.PrevHash {
			return nil, damaged(name, "it is not the one that backup %s stands on", m.ID)
		}
		m = parent
	}
	forward := make([]*listed, 0, len(back))
	for i := len(back) - 1; i >= 0; i-- {
		forward = append(forward, back[i])
	}
	return forward, nil
}

// newest returns the whole manifest that reaches furthest, the younger one of two that reach alike; nil: there is none.
func (c *catalog) newest(usable func(*listed) bool) *listed {
	var best *listed
	for _, m := range c.order {
		if (best == nil || m.LastSeq > best.LastSeq || m.LastSeq == best.LastSeq && !m.Time.Before(best.Time)) && usable(m) {
			best = m
		}
	}
	return best
}

// Backup is one backup in a repository, as List tells it.
type Backup struct {
	Manifest *Manifest // nil where it can't be read
	ID       string
	Fault    error // why it can't be restored as far as its manifests tell: an *ObjectError; nil: it can
}

// List returns the backups of a cell, oldest first. It looks at manifests only; Restore reads the objects.
func List(ctx context.Context, r Repository, cell uint64) ([]Backup, error) {
	c, err := load(ctx, r, cell)
	if err != nil {
		return nil, err
	}
	var list []Backup
	faults := c.faults
	for _, m := range c.order {
		for len(faults) > 0 && faults[0].id < m.ID {
			list, faults = append(list, Backup{ID: faults[0].id, Fault: faults[0].err}), faults[1:]
		}
		_, err := c.chain(m)
		list = append(list, Backup{Manifest: m.Manifest, ID: m.ID, Fault: err})
	}
	for _, f := range faults {
		list = append(list, Backup{ID: f.id, Fault: f.err})
	}
	return list, nil
}
