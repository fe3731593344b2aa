package mover

import (
	"fmt"

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
		if err := m.goOn(); err != nil && t.ctx.Err() == nil {
			t.opts.Logger.Error("the move of a bucket is not over", "cell", t.opts.Cell, "bucket", b.Bucket, "to", b.Peer, "error", err)
		}
	}
}

// resumeActor is who goes on with a move after a takeover, in the journal; the close has who began it.
var resumeActor = journal.Actor([]byte("sterling moving "))

// goOn finishes a move that another leader began.
func (m *bucket) goOn() error {
	err := m.repeat(m.ctx, "find the close of a move", func() (err error) {
		m.closed, err = m.findClose()
		return err
	})
	if err != nil {
		return err
	}
	from := uint64(1)
	if m.closed > maxTail {
		from = m.closed - maxTail
	}
	m.carrier = newCarrier(m.term, m.to, m.actor, []uint16{m.bucket}, from)
	s, err := m.finish()
	if err != nil {
		return err
	}
	m.stats.resumed.Inc()
	return m.repeat(m.ctx, "end a move", func() error { return m.tell(journal.BucketGone, s) })
}

// lookBack is how many blocks are read at once, from the end on.
const lookBack = 512

// findClose returns the block in which the bucket was closed.
func (m *bucket) findClose() (closed uint64, err error) {
	head, err := m.local.Sync(m.ctx)
	for to := head; err == nil && to > 0 && closed == 0; {
		from := uint64(1)
		if to > lookBack {
			from = to - lookBack + 1
		}
		err = m.local.Blocks(m.ctx, from, to, func(k *journal.Block) error {
			for part := range k.Parts() {
				for i := part.First; part.Kind == journal.KindBuckets && i < part.First+part.Count; i++ {
					if s := journal.View[journal.BucketMove](k.EventBytes(i, 1))[0]; s.ID == m.id && s.Step == journal.BucketClose {
						closed = k.Header.Seq
					}
				}
			}
			return nil
		})
		to = from - 1
	}
	if err == nil && closed == 0 {
		err = fmt.Errorf("the journal has no close of bucket %d in move %v", m.bucket, m.id)
	}
	return closed, err
}
