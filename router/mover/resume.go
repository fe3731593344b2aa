package mover

import (
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// resume goes on with what was open when this term began: buckets of which nothing was handed over are opened again, all
// others are brought to the other cell.
func (t *term) resume(open []ledger.BucketState) {
	for _, b := range open {
		m := &bucket{term: t, actor: resumeActor, to: b.Peer, bucket: b.Bucket, id: b.Move, version: b.Version}
		if b.Phase == ledger.Closing && b.Accounts == 0 && b.Reservations == 0 {
			t.opts.Logger.Info("the move of a bucket is called off: nothing was handed over before this node began to lead", "cell", t.opts.Cell, "bucket", b.Bucket, "to", b.Peer)
			_ = m.callOff() // it is tried until the term ends
			continue
		}
		t.opts.Logger.Info("the move of a bucket is taken up again", "cell", t.opts.Cell, "bucket", b.Bucket, "to", b.Peer, "accounts", b.Accounts)
		if err := m.goOn(b.Since); err != nil && t.ctx.Err() == nil {
			t.opts.Logger.Error("the move of a bucket is not over", "cell", t.opts.Cell, "bucket", b.Bucket, "to", b.Peer, "error", err)
		}
	}
}

// resumeActor is who goes on with a move after a takeover, in the journal; the close has who began it.
var resumeActor = journal.Actor([]byte("sterling moving "))

// goOn finishes a move that another leader began: its ids were carried up to maxTail blocks before the close, or nothing
// would have been handed over.
func (m *bucket) goOn(since uint64) error {
	m.carrier = newCarrier(m.term, m.to, m.actor, []uint16{m.bucket}, max(since, maxTail+1)-maxTail)
	_, err := m.finish()
	if err == nil {
		m.stats.resumed.Inc()
	}
	return err
}
