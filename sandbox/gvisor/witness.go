package gvisor

import (
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// RuleWitness is the rule that an alert names where what the host saw is not what the sandbox's kernel claims. Its action
// is that of the strictest rule of the policy.
const RuleWitness = "host-witness"

// A witness compares accounts of the host with what the events claim. Its zero value knows no sockets.
type witness struct {
	claimed map[string]uint64 // connections to the policy's sockets that succeeded, by name
	others  uint64            // likewise, to paths that may be links to them
	before  *account          // of the last time
	idleCPU *uint64           // ns, when the last task had ended
	told    map[string]bool   // differences that are in the record
}

// account is what the host saw, and what was claimed then.
type account struct {
	host    *trail.Host
	claimed map[string]uint64
}

// watchSockets makes the witness count connections to the policy's sockets.
func (w *witness) watchSockets(p *sandbox.Policy) {
	w.claimed = map[string]uint64{}
	for _, s := range p.Network.Sockets {
		w.claimed[s.Name] = 0
	}
}

// connected counts a connection that the sandbox's kernel says was made. A name that the policy does not know may lead to
// one that it knows: by a link, from a folder.
func (w *witness) connected(address []byte) {
	const least = 3 // the family, and a name
	if w.claimed == nil || len(address) < least || binary.LittleEndian.Uint16(address) != familyUnix || address[2] == 0 {
		return
	}
	name := strings.TrimRight(string(address[2:]), "\x00")
	if service := path.Base(name); name == path.Join(sandbox.SocketFolder, service) {
		if _, ok := w.claimed[service]; ok {
			w.claimed[service]++
			return
		}
	}
	w.others++
}

// idleMost is the CPU time that a sandbox's kernel may use once it says that nothing runs in it any more.
const idleMost = uint64(2 * time.Second)

// compare returns differences that are new. What the host saw must have been claimed by the next account, and what was
// claimed the host must have seen by then; the last account is compared as it is.
func (w *witness) compare(h *trail.Host, running, last bool) []string {
	var all []string
	differ := func(what, format string, args ...any) {
		if w.told == nil {
			w.told = map[string]bool{}
		}
		if !w.told[what] {
			w.told[what] = true
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	now := &account{h, map[string]uint64{}}
	for name, n := range w.claimed {
		now.claimed[name] = n
	}
	seen, claimed := w.before, w.before
	if last {
		seen, claimed = now, now
	}
	if seen != nil {
		var excess uint64
		for _, e := range seen.host.Egress {
			excess += e.Connections - min(e.Connections, w.claimed[e.Name])
		}
		if excess > w.others {
			differ("unclaimed", "the host saw %d connections that no event tells of", excess-w.others)
		}
	}
	if claimed != nil {
		for _, e := range h.Egress {
			if n := claimed.claimed[e.Name]; n > e.Connections {
				differ("claimed "+e.Name, "events tell of %d connections to %s, the host saw %d", n, e.Name, e.Connections)
			}
		}
	}
	w.before = now
	if h.Network != nil && *h.Network > 0 {
		differ("network", "%d bytes went through a network that the sandbox does not have", *h.Network)
	}
	if h.Leaked {
		differ("leaked", "a process of the sandbox is in the host's network")
	}
	w.compareCPU(h, running, differ)
	return all
}

func (w *witness) compareCPU(h *trail.Host, running bool, differ func(what, format string, args ...any)) {
	switch {
	case running || h.CPU == nil:
		w.idleCPU = nil
	case w.idleCPU == nil:
		w.idleCPU = h.CPU
	case *h.CPU > *w.idleCPU+idleMost:
		differ("cpu", "events tell of no task that runs, and the sandbox used %v of CPU", time.Duration(*h.CPU-*w.idleCPU)) //nolint:gosec // 292 years
	}
}

// host records what the host saw, and what of it differs.
func (r *recorder) host(now uint64, h *trail.Host, last bool) error {
	if err := r.append(now, trail.KindHost, trail.Body(*h)); err != nil {
		return err
	}
	for _, what := range r.witness.compare(h, !r.started || len(r.tasks) > 0, last) {
		if err := r.gap(now, trail.Gap{Reason: trail.GapHost, Detail: what}); err != nil {
			return err
		}
		f := sandbox.Fired{Action: sandbox.ActionAlert}
		if r.rules != nil {
			if strictest, ok := r.rules.Unread(what); ok {
				f = strictest
			}
		}
		f.Rule, f.Fault = RuleWitness, ""
		_, lines := r.chain.Head()
		if err := r.alert(now, f, lines-1); err != nil {
			return err
		}
	}
	return nil
}
