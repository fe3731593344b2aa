package cell

// Rebuilder is a Follower that reads the journal by itself where it has missed blocks, in its own time. A recovery then
// begins with the newest snapshot, whatever the follower has.
type Rebuilder interface {
	CatchesUp() bool
}

func catchesUp(f Follower) bool {
	r, ok := f.(Rebuilder)
	return ok && r.CatchesUp()
}
