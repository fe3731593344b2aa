package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/sterlingrun/sterling/journal"
)

// appendMoves encodes the buckets that moved, and which accounts arrived. How many accounts and reservations a bucket has
// is counted anew.
func (s *State) appendMoves(b []byte) []byte {
	put := func(v any) { b = must1(binary.Append(b, binary.LittleEndian, v)) }
	list := s.Buckets()
	put([2]uint32{uint32(len(list)), uint32(len(s.moves.taken))}) //nolint:gosec // counts
	put(list)
	put(s.moves.taken)
	return b
}

func (r *booksReader) moves() {
	var n [2]uint32
	r.get(&n)
	m, last := &r.in.moves, -1
	r.each(n[0], func() {
		b := &BucketState{}
		r.get(b)
		if r.err == nil && (int(b.Bucket) <= last || b.Bucket >= journal.Buckets || b.Phase < Settled || b.Phase > Gone || b.Move.IsZero() || b.Version == 0) {
			r.err = fmt.Errorf("bucket %d in phase %d of move %v", b.Bucket, b.Phase, b.Move)
		}
		last = int(b.Bucket)
		m.buckets[b.Bucket] = b
		m.refusing += refuses(b.Phase)
	})
	end := uint32(0)
	r.each(n[1], func() {
		var t numberSpan
		r.get(&t)
		if r.err == nil && (t.First <= end+1 && end != 0 || t.First == 0 || t.Last < t.First || uint64(t.Last) > r.in.head.Accounts) {
			r.err = fmt.Errorf("accounts %d to %d arrived", t.First, t.Last)
		}
		end = t.Last
		m.taken = append(m.taken, t)
	})
}

// countRestored counts an account of a snapshot.
func (in *restoring) countRestored(a *journal.Account) {
	if a.Flags.Has(journal.AccountMoved) {
		in.moves.gone++
		return
	}
	in.countAccount(a, 1)
}
