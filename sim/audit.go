package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// auditor compares what clients were told with what the journal holds. It goes through the journal as it becomes
// certain (after a start, and at the end), with a model of its own.
type auditor struct {
	m       *model
	head    uint64
	hash    journal.Hash
	end     uint64 // first timestamp that the next block may have
	epoch   uint64
	rules   uint16
	hashes  []journal.Hash // of all blocks that were certain once
	answers []*answer
	looks   []*look
	checked int // answers that were compared
}

// answer is what a client was told of a request.
type answer struct {
	op      *op
	head    uint64 // durable when it was sent
	seq     uint64 // the block that it depends on
	results []journal.Result
}

// look is what a client was shown.
type look struct {
	seq       uint64
	accounts  []journal.Account
	transfers []ledger.Transfer
	upTo      uint64   // accounts asked for: from 1 on
	asked     []uint64 // ids of transfers
}

func newAuditor() *auditor { return &auditor{m: newModel(), rules: ledger.Rules} }

// advance goes on through block `to`; read returns a block's bytes, bound is the latest time that any may have.
func (a *auditor) advance(to, bound uint64, read func(seq uint64) ([]byte, error)) error {
	if to < a.head {
		return fmt.Errorf("the journal ends with block %d, it once was certain through %d", to, a.head)
	}
	a.explainNow()
	if err := a.shown(a.head); err != nil {
		return err
	}
	for seq := a.head + 1; seq <= to; seq++ {
		raw, err := read(seq)
		if err != nil {
			return fmt.Errorf("read block %d: %w", seq, err)
		}
		k, err := journal.Decode(raw)
		if err != nil {
			return fmt.Errorf("block %d: %w", seq, err)
		}
		if err := a.block(k, seq, bound); err != nil {
			return fmt.Errorf("block %d: %w", seq, err)
		}
	}
	return a.overdue()
}

func (a *auditor) block(k *journal.Block, seq, bound uint64) error {
	h := &k.Header
	switch {
	case h.Seq != seq || h.Prev != a.hash:
		return fmt.Errorf("it is %d after %v, the one before is %v", h.Seq, h.Prev, a.hash)
	case h.Time < a.end || h.Time > bound:
		return fmt.Errorf("its time is %d, not within %d and %d", h.Time, a.end, bound)
	case h.Epoch < a.epoch || h.Epoch > a.epoch && h.Kind != journal.BlockEpoch:
		return fmt.Errorf("kind %d has epoch %d after %d", h.Kind, h.Epoch, a.epoch)
	case h.Rules != a.rules:
		return fmt.Errorf("rules version %d, known are %d", h.Rules, a.rules)
	}
	expiries := a.m.begin(h.Time)
	if !slices.Equal(expiries, k.Expiries) {
		return fmt.Errorf("expiries %v are recorded, %v are due", k.Expiries, expiries)
	}
	a.head, a.hash, a.end, a.epoch = seq, k.Hash, h.End(), h.Epoch
	a.hashes = append(a.hashes, k.Hash)
	a.explainNow()
	event := 0
	for i := range k.Requests {
		r := &k.Requests[i]
		if err := a.request(k, r, event); err != nil {
			return fmt.Errorf("request %d: %w", i, err)
		}
		event += int(r.Count)
		a.explainNow()
	}
	if err := a.m.totals(); err != nil {
		return err
	}
	return a.shown(seq)
}

// request applies one request and compares with what is recorded.
func (a *auditor) request(k *journal.Block, r *journal.RequestEntry, event int) error {
	events := k.EventBytes(event, int(r.Count))
	at := k.Header.Time + uint64(len(k.Expiries)+event) //nolint:gosec // not negative
	attached := k.Attachments(event, int(r.Count), nil)
	results, changed := a.m.apply(r.Kind, r.Actor, events, attached, at)
	if !changed {
		return fmt.Errorf("it changes nothing: %v", results)
	}
	for i, want := range results {
		got := journal.Result{Status: journal.Created, Timestamp: at + uint64(i)}
		if r.Kind == journal.KindAccounts {
			if rec := journal.View[journal.Account](events)[i]; rec.Flags.Has(journal.AccountImported) {
				got.Timestamp = rec.Timestamp
			}
		}
		o := k.Outcome(event + i)
		if o != nil {
			got = journal.Result{Status: o.Status, Timestamp: o.Timestamp}
		}
		if got != want {
			return fmt.Errorf("event %d is recorded as %s at %d, it is %s at %d", i, got.Status.Name(r.Kind), got.Timestamp, want.Status.Name(r.Kind), want.Timestamp)
		}
	}
	if err := a.moved(k, r, event); err != nil {
		return err
	}
	if r.Kind == journal.KindDayClose && attachedTo(attached, 0) != a.m.trialNow {
		return fmt.Errorf("its trial balance is %x, it should be %x", attachedTo(attached, 0), a.m.trialNow)
	}
	a.answers = slices.DeleteFunc(a.answers, func(c *answer) bool {
		same := c.seq == k.Header.Seq && c.op.kind == r.Kind && bytes.Equal(c.op.events, events) && slices.Equal(c.results, results)
		if same {
			a.checked++
		}
		return same
	})
	return nil
}

// moved compares the amounts that a request moved, wherever in it the transfers stand.
func (a *auditor) moved(k *journal.Block, r *journal.RequestEntry, event int) error {
	for _, part := range journal.Parts(r.Kind, k.EventBytes(event, int(r.Count))) {
		for i := event + part.First; i < event+part.First+part.Count && part.Kind == journal.KindTransfers; i++ {
			o := k.Outcome(i)
			if o == nil || o.Status != journal.Created {
				continue
			}
			if x := a.m.transfers[key(k.Transfer(i).ID)]; o.Amount != money.From(x.amount) {
				return fmt.Errorf("event %d moved %v, it should have moved %d", i, o.Amount, x.amount)
			}
		}
	}
	return nil
}

// explainNow settles the answers of requests that changed nothing and that are right at this moment.
func (a *auditor) explainNow() {
	a.answers = slices.DeleteFunc(a.answers, func(c *answer) bool {
		if c.head > a.head || c.seq < a.head {
			return false
		}
		var at uint64 // of the request's first event: what failed was answered with the time of its validation
		for i, r := range c.results {
			at = max(at, r.Timestamp-uint64(i))
		}
		if !a.explains(c, at) {
			return false
		}
		a.checked++
		return true
	})
}

// explains reports whether an answer is right at this moment, with its first event at the given time.
func (a *auditor) explains(c *answer, at uint64) bool {
	for _, time := range a.blockTimes(c, at) {
		results, changed := a.m.try(c.op.kind, c.op.actor, c.op.events, c.op.attached, at, time)
		if !changed && slices.Equal(results, c.results) {
			return true
		}
	}
	return false
}

// blockTimes are the times that the block of a request which changed nothing may have had: that of the last block, or
// where the request was validated after its end, of one that came to nothing and had refused others before this one.
// Only imported events can tell the difference, so the times around theirs are enough.
func (a *auditor) blockTimes(c *answer, at uint64) []uint64 {
	times := []uint64{a.m.now}
	if at < a.end {
		return times
	}
	times = append(times, at)
	for i := range c.op.n {
		asked := binary.LittleEndian.Uint64(c.op.events[(i+1)*journal.RecordSize-8:])
		for _, time := range []uint64{asked, asked + 1} {
			if time >= a.end && time < at {
				times = append(times, time)
			}
		}
	}
	return times
}

// shown compares what clients saw right after block seq.
func (a *auditor) shown(seq uint64) error {
	var err error
	a.looks = slices.DeleteFunc(a.looks, func(l *look) bool {
		if l.seq != seq {
			return false
		}
		if e := a.compareLook(l); e != nil && err == nil {
			err = e
		}
		a.checked++
		return true
	})
	return err
}

func (a *auditor) compareLook(l *look) error {
	for i := range l.accounts {
		if err := a.sameAccount(&l.accounts[i]); err != nil {
			return fmt.Errorf("a look-up as of block %d: %w", l.seq, err)
		}
	}
	exist := 0
	for id := range a.m.accounts {
		if id <= l.upTo {
			exist++
		}
	}
	if len(l.accounts) != exist {
		return fmt.Errorf("a look-up as of block %d saw %d accounts of %d", l.seq, len(l.accounts), exist)
	}
	found := 0
	for _, id := range l.asked {
		x := a.m.transfers[id]
		if x == nil {
			continue
		}
		if found == len(l.transfers) || l.transfers[found].ID != x.asked.ID {
			return fmt.Errorf("a look-up as of block %d did not see transfer %d", l.seq, id)
		}
		if err := sameTransfer(&l.transfers[found], x); err != nil {
			return fmt.Errorf("a look-up as of block %d: %w", l.seq, err)
		}
		found++
	}
	if found != len(l.transfers) {
		return fmt.Errorf("a look-up as of block %d saw transfers that aren't there: %v", l.seq, l.transfers)
	}
	return nil
}

func (a *auditor) sameAccount(got *journal.Account) error {
	x := a.m.accounts[key(got.ID)]
	if x == nil {
		return fmt.Errorf("account %v does not exist", got.ID)
	}
	want := x.asked
	want.Timestamp = x.time
	if x.marked {
		want.Flags |= journal.AccountAttached
	}
	want.DebitsPending, want.DebitsPosted = money.From(x.dPending), money.From(x.dPosted)
	want.CreditsPending, want.CreditsPosted = money.From(x.cPending), money.From(x.cPosted)
	if *got != want {
		return fmt.Errorf("account %v is %+v, it should be %+v", got.ID, *got, want)
	}
	return nil
}

func sameTransfer(got *ledger.Transfer, x *transfer) error {
	if got.Amount != money.From(x.amount) || got.Timestamp != x.time || got.Debit != money.From(x.debit) || got.Credit != money.From(x.credit) {
		return fmt.Errorf("transfer %v is %+v, it should be %d from %d to %d at %d", got.ID, got.Transfer, x.amount, x.debit, x.credit, x.time)
	}
	if got.Attachment != x.attached {
		return fmt.Errorf("transfer %v has %x attached, it should be %x", got.ID, got.Attachment, x.attached)
	}
	return nil
}

// overdue reports what clients were told and nothing explains: an acknowledgement that got lost.
func (a *auditor) overdue() error {
	if len(a.answers) > 0 {
		c := a.answers[0]
		if c.seq <= a.head {
			return fmt.Errorf("%s was answered %s (sent at block %d, as of block %d), and nothing in the journal explains it", c.op, names(c.op.kind, c.results), c.head, c.seq)
		}
		return fmt.Errorf("%s was answered as of block %d, the journal ends with block %d", c.op, c.seq, a.head)
	}
	if len(a.looks) > 0 {
		return fmt.Errorf("a look-up saw block %d, the journal ends with block %d", a.looks[0].seq, a.head)
	}
	return nil
}

// intact checks that all that was certain once still stands there.
func (a *auditor) intact(read func(seq uint64) ([]byte, error)) error {
	for i, want := range a.hashes {
		raw, err := read(uint64(i) + 1)
		if err != nil {
			return err
		}
		if k, err := journal.Decode(raw); err != nil || k.Hash != want {
			return fmt.Errorf("block %d has changed since it was certain: %w", i+1, err)
		}
	}
	return nil
}

// intents checks what clients meant against what happened: a post without an amount moves all that was reserved.
func (a *auditor) intents(ops []*op) error {
	for _, o := range ops {
		for _, id := range o.wholes {
			if x := a.m.transfers[id]; x != nil && x.amount != x.before {
				return fmt.Errorf("transfer %d was to post all of %d, it posted %d", id, x.before, x.amount)
			}
		}
	}
	return nil
}

func names(kind journal.Kind, results []journal.Result) string {
	var b bytes.Buffer
	for _, r := range results {
		fmt.Fprintf(&b, "[%s %d]", r.Status.Name(kind), r.Timestamp)
	}
	return b.String()
}
