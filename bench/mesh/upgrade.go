package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// lifetime of certificates while they rotate under load: renewed after half of it.
const lifetime = 12 * time.Second

// upgrade counts the requests that fail while certificates rotate and both nodes are replaced, one after the other, by
// new processes.
func (f *fleet) upgrade(r *Report, app string) error {
	p, err := f.plane(app, lifetime)
	if err != nil {
		return err
	}
	before, err := p.logged(renewed)
	if err != nil {
		return err
	}
	span := lifetime * 5 / 4
	o := &offer{address: p.port, class: "v1/payments"}
	var load sync.WaitGroup
	load.Go(func() { o.closed(16, span) })
	for _, service := range []string{"pay", "shop"} {
		_ = clock.Sleep(context.Background(), clock.NewSystem(), span/4) // it ends by itself
		err = errors.Join(err, p.node(service))
	}
	load.Wait()
	if err != nil {
		return err
	}
	after, err := p.logged(renewed)
	if err != nil {
		return err
	}
	r.note("upgrade: %d requests while 2 nodes were replaced and %d certificates renewed%s", o.sent, after-before, o.why())
	if after == before {
		return errors.New("replace nodes under load: no certificate was renewed meanwhile")
	}
	r.most("failed requests in upgrades and rotations under load", float64(o.refused+o.failed), "requests", 0, 0)
	return nil
}

// renewed is what a node's log says of each new certificate.
const renewed = "certificates are renewed"
