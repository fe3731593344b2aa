package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// ErrBusy says that another demo bank speaks for the same witnesses.
var ErrBusy = errors.New("another demo bank is at work on this server: end it first")

// errStarting is a watch that has not read anything yet: it passes.
var errStarting = errors.New("the server's watch is starting")

const (
	heartbeat   = 200 * time.Millisecond // how often a witness promises that it has told everything
	listening   = 3 * heartbeat          // how long a bank listens for another one
	maxUntold   = 100_000                // observations that wait for the watch; the bank then waits for it, too
	tellAtOnce  = 2_000                  // observations of one call
	lastWords   = 10 * time.Second       // how long the end of a run waits for the watch
	tellPause   = 100 * time.Millisecond
	tellTimeout = 5 * time.Second
)

// witnesses tell the watch what the bank was told to do, and what card schemes and other banks say, each in an order of
// its own. A nil one has nobody to tell it to.
//
// Orders are told once their money has moved: of what the ledger refuses there is no order. Its time is when the call
// began, and the source promises nothing beyond the oldest call on its way.
type witnesses struct {
	client *client.Client
	ahead  time.Duration // of the server's clock to this one
	ended  context.CancelCauseFunc

	mu     sync.Mutex
	voices [3]*voice
	calls  map[uint64]time.Time // on their way: when they began
	number uint64
	later  []delayed // ascending by time
	silent bool      // the end: nothing is delayed any more

	running sync.WaitGroup
	stop    context.CancelFunc
}

// delayed is a word that is said later.
type delayed struct {
	at          time.Time
	voice       *voice
	observation *client.Observation
}

// voice is one source.
type voice struct {
	source  string
	mu      sync.Mutex
	next    uint64 // number of untold[0]
	untold  []*client.Observation
	sending int           // of them, on their way: they don't change
	changed chan struct{} // has room for one: look again
	room    *sync.Cond
	err     error // nothing more can be told
}

// openWitnesses finds out whether the server's watch knows the bank's flows. If it doesn't, why says so and there are
// none. ErrBusy where another bank speaks.
func openWitnesses(ctx context.Context, c *client.Client, persist func(context.Context, func(context.Context) error) error) (w *witnesses, why string, err error) {
	w = &witnesses{client: c, calls: map[uint64]time.Time{}}
	var flows *watchv1.ListFlowsResponse
	err = persist(ctx, func(ctx context.Context) (err error) {
		began := time.Now()
		proof, err := c.Watch().GetProof(ctx, &watchv1.GetProofRequest{})
		if err != nil {
			return notWatched(err, &why)
		}
		if proof.GetAppliedSeq() == 0 {
			return errStarting
		}
		took := time.Since(began)
		w.ahead = time.Unix(0, int64(proof.GetNow())).Sub(began.Add(took / 2)) //nolint:gosec // G115: until 2262
		flows, err = c.Watch().ListFlows(ctx, &watchv1.ListFlowsRequest{})
		return err
	})
	if err != nil || why != "" {
		return nil, why, err
	}
	for k := Deposit; k < kinds; k++ {
		known := slices.ContainsFunc(flows.GetFlows(), func(f *watchv1.FlowProof) bool {
			return f.GetFlow() == k.flow() && slices.Contains(f.GetSources(), Orders)
		})
		if !known {
			return nil, fmt.Sprintf("the server's watch has no flow %s: nothing of the bank is proven (start the server with a folder of its own: sterling up --demo --data FOLDER)", k.flow()), nil
		}
	}
	for i, source := range []string{Orders, CardScheme, OtherBank} {
		w.voices[i] = newVoice(source)
	}
	return w, "", nil
}

func newVoice(source string) *voice {
	v := &voice{source: source, changed: make(chan struct{}, 1)}
	v.room = sync.NewCond(&v.mu)
	return v
}

// notWatched sets why where an error means that the server has no watch.
func notWatched(err error, why *string) error {
	if client.Reason(err) == ledgerv1.ErrorReason_ERROR_REASON_WATCH_OFF || status.Code(err) == codes.Unimplemented {
		*why = "the server has no watch: nothing of the bank is proven"
		return nil
	}
	return err
}

// through asks how far the server has taken each source.
func (w *witnesses) through(ctx context.Context) (numbers [3]uint64, err error) {
	for i, v := range w.voices {
		r, err := w.client.Watch().ObserveBatch(ctx, &watchv1.ObserveBatchRequest{Batch: &watchv1.ObserveRequest{Source: v.source}})
		if err != nil {
			return numbers, err
		}
		numbers[i] = r.GetResult().GetThroughSeq()
	}
	return numbers, nil
}

// start begins to tell, where nobody has spoken since before. ended is called where that can't go on.
func (w *witnesses) start(ctx context.Context, before [3]uint64, ended context.CancelCauseFunc) error {
	now, err := w.through(ctx)
	if err != nil {
		return err
	}
	if now != before {
		return ErrBusy
	}
	w.ended = ended
	ctx, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	for i, v := range w.voices {
		v.next = now[i] + 1
		w.running.Go(func() { w.tell(ctx, v) })
	}
	w.running.Go(func() { w.beat(ctx) })
	return nil
}

// begin notes that a call begins; it returns its number and its time.
func (w *witnesses) begin() (number uint64, at time.Time) {
	if w == nil {
		return 0, time.Time{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.number++
	at = time.Now()
	w.calls[w.number] = at
	return w.number, at
}

// own reports whether results are of a call that began then, and not of a run before, whose witnesses have told it.
func (w *witnesses) own(began time.Time, results []*ledgerv1.CreateTransferResult) bool {
	const clocks = time.Second // they may differ by that much
	return len(results) > 0 && results[0].GetTimestamp() >= w.clock(began.Add(-clocks))
}

// done tells what a call was about, if it did something: moved says how much each of its transfers moved.
func (w *witnesses) done(number uint64, s *Step, did bool, moved func(transfer int) string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	began := w.calls[number]
	delete(w.calls, number)
	if !did {
		return
	}
	for _, one := range s.Orders {
		o := proto.CloneOf(one)
		o.Time = w.clock(began)
		w.voices[0].add(o)
	}
	now := time.Now()
	for _, word := range s.Words {
		o := proto.CloneOf(word.Observation)
		if o.GetAmount() == "" && o.GetKind() == watchv1.ObservationKind_OBSERVATION_KIND_STATEMENT_ENTRY {
			if o.Amount = moved(word.Of); o.Amount == "" || o.Amount == "0" {
				continue
			}
			o.Amount = "-" + o.Amount
		}
		d := delayed{now.Add(word.After), w.voices[1], o}
		if word.Source == OtherBank {
			d.voice = w.voices[2]
		}
		if w.silent {
			d.at = now
		}
		i, _ := slices.BinarySearchFunc(w.later, d.at, func(l delayed, at time.Time) int { return cmp.Compare(l.at.UnixNano(), at.UnixNano()) })
		w.later = slices.Insert(w.later, i, d)
	}
}

// clock is a moment by the server's clock.
func (w *witnesses) clock(at time.Time) uint64 { return uint64(at.Add(w.ahead).UnixNano()) }

// beat says what is due, and promises, until ctx ends.
func (w *witnesses) beat(ctx context.Context) {
	const pause = heartbeat / 10
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for n := 0; ; n++ {
		w.speak(time.Now(), n%10 == 0)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// speak tells what is due by now, and promises that it is all.
func (w *witnesses) speak(now time.Time, promise bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.later) && !w.later[n].at.After(now) {
		d := &w.later[n]
		d.observation.Time = w.clock(now)
		d.voice.add(d.observation)
		n++
	}
	w.later = slices.Delete(w.later, 0, n)
	if !promise {
		return
	}
	for i, v := range w.voices {
		through := now
		for _, at := range w.calls {
			if i == 0 && at.Before(through) {
				through = at
			}
		}
		v.promise(w.clock(through))
	}
}

// finish tells everything, as long as ctx allows and not for ever, and ends.
func (w *witnesses) finish() error {
	if w == nil || w.stop == nil {
		return nil
	}
	w.mu.Lock()
	w.silent = true
	last := time.Now()
	for n := range w.later {
		w.later[n].at = last
	}
	w.mu.Unlock()
	w.speak(last, true)
	ended := time.AfterFunc(lastWords, w.stop)
	defer ended.Stop()
	var err error
	for _, v := range w.voices {
		err = errors.Join(err, v.flush())
	}
	w.stop()
	w.running.Wait()
	return err
}

// add appends an observation. It never waits; see full.
func (v *voice) add(o *client.Observation) {
	v.mu.Lock()
	v.untold = append(v.untold, o)
	v.mu.Unlock()
	v.poke()
}

func (v *voice) poke() {
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

// promise appends a heartbeat, or makes the last one say more where it is not on its way.
func (v *voice) promise(through uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.untold); n > v.sending && v.untold[n-1].GetKind() == watchv1.ObservationKind_OBSERVATION_KIND_HEARTBEAT {
		v.untold[n-1].Through = through
		return
	}
	v.untold = append(v.untold, &client.Observation{Kind: watchv1.ObservationKind_OBSERVATION_KIND_HEARTBEAT, Time: through, Through: through})
	v.poke()
}

// wait returns once not too much waits to be told.
func (w *witnesses) wait() {
	if w == nil {
		return
	}
	for _, v := range w.voices {
		v.mu.Lock()
		for len(v.untold) > maxUntold && v.err == nil {
			v.room.Wait()
		}
		v.mu.Unlock()
	}
}

// flush returns once everything is told, or nothing more can be.
func (v *voice) flush() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.untold) > 0 && v.err == nil {
		v.room.Wait()
	}
	return v.err
}

// tell sends what waits, in order, until ctx ends. What can't be told for a reason that does not pass ends the run.
func (w *witnesses) tell(ctx context.Context, v *voice) {
	err := w.tellAll(ctx, v)
	v.mu.Lock()
	v.err = err
	v.room.Broadcast()
	v.mu.Unlock()
	if ctx.Err() == nil {
		w.ended(err)
	}
}

func (w *witnesses) tellAll(ctx context.Context, v *voice) error {
	for {
		v.mu.Lock()
		v.sending = min(len(v.untold), tellAtOnce)
		batch := &watchv1.ObserveRequest{Source: v.source, FirstSeq: v.next, Observations: slices.Clone(v.untold[:v.sending])}
		v.mu.Unlock()
		if len(batch.GetObservations()) == 0 {
			select {
			case <-v.changed:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := w.send(ctx, v, batch); err != nil {
			return err
		}
	}
}

// send sends one batch until it is taken. It may have been taken before its answer was lost: it is sent as it was.
func (w *witnesses) send(ctx context.Context, v *voice, batch *watchv1.ObserveRequest) error {
	for {
		bounded, cancel := context.WithTimeout(ctx, tellTimeout)
		r, err := w.client.Watch().ObserveBatch(bounded, &watchv1.ObserveBatchRequest{Batch: batch})
		cancel()
		last := batch.GetFirstSeq() + uint64(len(batch.GetObservations())) - 1
		switch through := r.GetResult().GetThroughSeq(); {
		case err == nil && through == last:
			v.mu.Lock()
			v.next = last + 1
			v.untold = append(v.untold[:0:0], v.untold[len(batch.GetObservations()):]...)
			v.sending = 0
			v.room.Broadcast()
			v.mu.Unlock()
			return nil
		case err == nil:
			return fmt.Errorf("tell what %s saw: number %d was sent, and the server has taken %d: %w", v.source, last, through, ErrBusy)
		case client.Reason(err) == ledgerv1.ErrorReason_ERROR_REASON_SOURCE_REPEAT:
			return fmt.Errorf("tell what %s saw: %w: %w", v.source, ErrBusy, err)
		case !passing(err) || client.Reason(err) == ledgerv1.ErrorReason_ERROR_REASON_SOURCE_TAKEN:
			return fmt.Errorf("tell what %s saw: %w", v.source, err)
		}
		timer := time.NewTimer(tellPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}
