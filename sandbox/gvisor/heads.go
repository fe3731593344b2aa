package gvisor

import (
	"context"
	"time"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
)

// HeadLog puts heads of records into a log that others hold. Where is empty where no log has the head; an error may also
// say that it is not where it should be.
type HeadLog interface {
	LogHead(ctx context.Context, h audit.Head) (where string, entry uint64, err error)
}

// Logged is how far a log knows a record.
type Logged struct {
	Where string `json:"where"` // "": no log knows it
	Entry uint64 `json:"entry"`
	Lines uint64 `json:"lines"`
	Fault string `json:"fault,omitempty"` // why it is not further, or elsewhere
}

// Times of logging heads.
const (
	firstHead = 2 * time.Second // a workload that ends before it is logged once; the disk has its first events then
	headEvery = 30 * time.Second
)

// headKeeper logs the heads of one record while it grows. A log that can't be reached is told in the status, and does not
// stop the workload: the record itself is complete without it.
type headKeeper struct {
	log    HeadLog
	clock  clock.Clock
	name   string
	latest chan kept // the newest that is on the disk
	stop   context.CancelFunc
	ended  chan struct{}
	result chan Logged // of the last attempt
}

// keepHeads starts to log what is offered.
func (s *session) keepHeads(ctx context.Context) {
	if s.Heads == nil {
		return
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &headKeeper{
		log: s.Heads, clock: s.Clock, name: s.options.ID, latest: make(chan kept, 1), stop: stop,
		ended: make(chan struct{}), result: make(chan Logged, 1),
	}
	s.heads = k
	go func() {
		defer close(k.ended)
		wait := firstHead
		for clock.Sleep(ctx, k.clock, wait) == nil {
			wait = headEvery
			select {
			case head := <-k.latest:
				k.record(k.put(ctx, head))
			case <-ctx.Done():
			}
		}
	}()
}

// offer replaces what is to be logged next.
func (k *headKeeper) offer(head kept) {
	if k == nil || head.Lines == 0 {
		return
	}
	select {
	case <-k.latest:
	default:
	}
	k.latest <- head // the only sender; there is room
}

func (k *headKeeper) put(ctx context.Context, head kept) Logged {
	where, entry, err := k.log.LogHead(ctx, audit.Head{Record: head.Record, Lines: head.Lines, Hash: head.Head, Name: k.name})
	l := Logged{Where: where, Entry: entry, Lines: head.Lines}
	if err != nil {
		l.Fault = err.Error()
	}
	if where == "" {
		l.Entry, l.Lines = 0, 0
	}
	return l
}

// record keeps a result for the session to take.
func (k *headKeeper) record(l Logged) {
	select {
	case <-k.result:
	default:
	}
	k.result <- l // the only sender; there is room
}

// news is the last result that was not taken yet; nil: none.
func (k *headKeeper) news() *Logged {
	if k == nil {
		return nil
	}
	select {
	case l := <-k.result:
		return &l
	default:
		return nil
	}
}

// end logs the last head.
func (k *headKeeper) end(ctx context.Context, head kept) *Logged {
	if k == nil {
		return nil
	}
	k.stop()
	<-k.ended
	if head.Lines == 0 {
		return k.news()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	l := k.put(ctx, head)
	return &l
}
