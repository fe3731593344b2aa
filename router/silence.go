package router

// silence is a peer that did not answer: until it does, one batch at a time asks it again, after a pause. The transfers of
// the others are given up before anything of them is reserved, so that none of them waits, or holds up those to the cells
// that do answer.
type silence struct {
	tries int
	until uint64 // clock.Mono: nobody asks before
}

// reachable leaves those attempts out whose peer is silent; they are unanswered.
func (t *term) reachable(list []*attempt) (rest []*attempt) {
	now := t.opts.Clock.Mono()
	t.mu.Lock()
	defer t.mu.Unlock()
	ask := map[uint64]bool{}
	for _, a := range list {
		s := t.silent[a.Peer]
		if _, known := ask[a.Peer]; !known {
			ask[a.Peer] = s == nil || now >= s.until
			if s != nil && ask[a.Peer] {
				s.until = now + uint64(pause(s.tries)) //nolint:gosec // positive
			}
		}
		if ask[a.Peer] {
			rest = append(rest, a)
		} else {
			a.unanswered = true
		}
	}
	return rest
}

// heard notes whether a peer has answered in time.
func (t *term) heard(peer uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.silent, peer)
		return
	}
	s := t.silent[peer]
	if s == nil {
		s = &silence{}
		t.silent[peer] = s
	}
	s.until = t.opts.Clock.Mono() + uint64(pause(s.tries)) //nolint:gosec // positive
	s.tries++
}
