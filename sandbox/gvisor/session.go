package gvisor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/sandbox"
	"github.com/sterlingrun/sterling/sandbox/trail"
)

// Times of a session.
const (
	// silence is how long a recorder may say nothing before the workload is frozen. It reports every beat; so this and
	// the freeze are less than the second that a workload may run unwatched.
	silence    = 500 * time.Millisecond
	startLimit = time.Minute      // until the first event; the policy's time limit begins there
	stopGrace  = 10 * time.Second // between SIGTERM and SIGKILL
	killGrace  = 2 * time.Second  // between the sandbox's SIGKILL and the host's
	lastWords  = 10 * time.Second // for the recorder to end the record
)

// A session is one run of one sandbox. Its loop owns all of it.
type session struct {
	*Runner
	place   place
	options Options
	policy  *sandbox.Policy
	status  Status

	cgroup   group
	kernel   Kernel
	recorder *recorderProcess
	heads    *headKeeper // nil: nobody logs them
	last     kept        // of the record that has ended
	log      *outputLog
	relays   relays
	warm     bool // started before there was a workload for it
	started  bool // the workload's first event came
	frozen   bool
	lost     bool            // the recorder is gone: what is frozen stays frozen
	held     bool            // a rule paused the workload: likewise
	doomed   bool            // a rule kills the workload
	ending   string          // why it is being stopped
	stopping int             // steps of stop that were taken
	helping  context.Context // of what stop started; ends with the sandbox
	helpers  sync.WaitGroup
}

func (s *session) run(ctx context.Context) error {
	if err := s.place.save(&s.status); err != nil {
		return err
	}
	exited, err := s.start(ctx, nil)
	if err != nil {
		return err
	}
	return s.follow(ctx, exited)
}

// start starts the recorder, and then the sandbox: with the workload in it and a record of it, or with the init in it,
// where the record has no beginning yet.
func (s *session) start(ctx context.Context, idle *initFiles) (<-chan int, error) {
	plan, err := s.prepare(ctx, idle != nil)
	if err != nil {
		return nil, err
	}
	log, err := openLog(s.place.path(fileOutput), maxOutput)
	if err != nil {
		return nil, err
	}
	s.log = log
	if s.recorder, err = startRecorder(s.Program, s.place); err != nil {
		return nil, err
	}
	if idle == nil {
		if err := s.recorder.begin(ctx, s.opening()); err != nil {
			return nil, err
		}
	}
	exited, err := s.startKernel(plan, idle)
	if err != nil && idle == nil {
		err = errors.Join(err, s.finish(ctx, finish{Exit: -1, Reason: "not started", Host: s.lastAccount(ctx)}))
	}
	return exited, err
}

// name is what gVisor and the host's control groups call the sandbox.
func (s *session) name() string { return s.status.name() }

// follow runs the loop, and ends what is left.
func (s *session) follow(ctx context.Context, exited <-chan int) error {
	helping, cancelHelp := context.WithCancel(context.WithoutCancel(ctx))
	s.helping = helping
	s.keepHeads(ctx)
	exit := s.watch(ctx, exited)
	cancelHelp()
	s.helpers.Wait()
	// Whatever gVisor did, nothing of the sandbox runs when the host gives its last account, and nothing is left of it when
	// this returns.
	err := within(ctx, s.cgroup.kill)
	host := s.lastAccount(ctx)
	forgotten := make(chan error, 1)
	go func() { forgotten <- within(ctx, s.kernel.Forget) }()
	s.status.Reason = cmp.Or(s.ending, s.status.Reason, reasonOf(exit, host, s.policy.Limits.Memory))
	err = errors.Join(err, s.finish(ctx, finish{Exit: exit, Reason: s.status.Reason, Host: host}))
	if l := s.heads.end(ctx, s.last); l != nil {
		s.status.Audit.Logged = l
	}
	err = errors.Join(err, <-forgotten)
	if !s.started && !s.lost && (s.warm || s.status.Audit.Events == 0) {
		s.status.Reason = "not started"
		return errors.Join(s.notStarted(), err)
	}
	s.status.Exit = &exit
	return err
}

// reapLimit is for the host to count the sandbox's last threads out, which takes it a moment.
const reapLimit = 100 * time.Millisecond

// lastAccount is the host's, when nothing runs in the sandbox any more.
func (s *session) lastAccount(ctx context.Context) *trail.Host {
	s.relays.close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reapLimit)
	defer cancel()
	for {
		h := s.account()
		if h.Tasks == nil || *h.Tasks == 0 || clock.Sleep(ctx, s.Clock, time.Millisecond) != nil {
			return h
		}
	}
}

// reasonOf is why a sandbox ended that nobody stopped. Where the host has killed a process of it for lack of memory, the
// kernel in it may still have had the time to end in a way of its own.
func reasonOf(exit int, host *trail.Host, limit sandbox.Size) string {
	killed := exit == 128+int(syscall.SIGKILL)
	short := host.OutOfMemory != nil && *host.OutOfMemory > 0
	switch {
	case short && (killed || exit == noEnd):
		if peak := host.MemoryPeak; peak != nil && *peak >= uint64(limit)/16*15 { //nolint:gosec // Parse: positive
			return "killed by the host: it needed more memory than limits.memory"
		}
		return "killed by the host for lack of memory: of limits.memory, or of the host"
	case !killed:
		return "exited"
	case host.OutOfMemory == nil:
		return "killed: by itself, by gVisor, by the host for lack of memory, or by someone there"
	}
	return "killed: by itself, by gVisor, or by someone there"
}

// remove ends what is left of a sandbox whose kernel has ended, and then removes it.
func remove(ctx context.Context, g group, k Kernel) error {
	return errors.Join(within(ctx, g.kill), within(ctx, k.Forget))
}

// within does something that a canceled context is no reason to leave out, within lastWords.
func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	return do(ctx)
}

func (s *session) notStarted() error {
	if s.warm {
		return fmt.Errorf("%w: %q can't be executed in the sandbox", ErrNotStarted, s.policy.Command[0])
	}
	return fmt.Errorf("%w: %s", ErrNotStarted, s.kernel.Said())
}

// watch is the loop: until gVisor has ended, it freezes what is not recorded, and stops what is to stop.
func (s *session) watch(ctx context.Context, exited <-chan int) int {
	limit, stopLimit := s.Clock.After(startLimit)
	defer func() { stopLimit() }()
	tooLong := "it did not start"
	account, stopAccount := s.Clock.After(firstAccount)
	defer func() { stopAccount() }()
	done, reports, next := ctx.Done(), s.recorder.reports, never()
	end := func(why string) { // the first reason counts
		if s.stopping == 0 {
			s.ending = why
			next = s.stop()
		}
	}
	for {
		quiet, stop := s.Clock.After(silence)
		select {
		case exit := <-exited:
			stop()
			return exit
		case r, ok := <-reports:
			if !ok {
				reports = nil
				s.lose("its recorder is gone " + s.recorder.said.String())
				break
			}
			started, gap := s.hear(r)
			if started {
				stopLimit()
				limit, tooLong = never(), "time limit"
				if s.policy.TimeLimit > 0 {
					limit, stopLimit = s.Clock.After(s.policy.Limit())
				}
			}
			if s.doomed {
				end("rule " + r.Rule)
			}
			if gap {
				end("a gap in the record")
			}
		case <-quiet:
			if !s.lost {
				s.freeze(true, "its recorder is silent")
			}
		case <-done:
			done = nil
			end("stopped")
		case <-limit:
			limit = nil
			end(tooLong)
		case <-next:
			next = s.stop()
		case <-account:
			account, stopAccount = s.Clock.After(accountEvery)
			s.tell()
		}
		stop()
	}
}

// tell gives the recorder the host's account. Of a workload that stands still there is nothing to tell, and its recorder
// may be one that does not listen.
func (s *session) tell() {
	if s.started && !s.frozen && !s.lost { // while it starts, its processes are still on their way into the sandbox
		_ = s.recorder.send(order{Host: s.account()}) // a recorder that is gone is noticed by its reports
	}
}

// never is a channel that delivers nothing.
func never() <-chan time.Time { return nil }

// hear takes a report of the recorder. It tells whether it is the first with an event, and whether the workload has to
// stop for a gap.
func (s *session) hear(r report) (started, stop bool) {
	if r.Error != "" {
		s.lose("its recorder can't go on: " + r.Error)
		return false, false
	}
	s.heed(&r)
	if s.frozen && !s.lost && !s.held && !s.doomed {
		s.freeze(false, "")
	}
	gap := r.Gaps > s.status.Audit.Gaps
	started = !s.started && s.begun(r)
	alert := r.Alerts > s.status.Audit.Alerts
	logged := s.heads.news()
	if s.heads.offer(r.Kept); logged == nil {
		logged = s.status.Audit.Logged
	} else {
		alert = true
	}
	s.status.Audit = audited(&r)
	s.status.Audit.Logged = logged
	if started {
		s.started = true
		if !s.frozen {
			s.status.State = StateRunning
		}
	}
	if started || gap || alert {
		s.note()
	}
	if started && s.options.Started != nil {
		s.options.Started()
	}
	return started, gap && s.policy.Audit.WhenBehind == sandbox.BehindStop
}

// begun tells whether a report is of a workload that runs: its first event, or, where the sandbox was started before it,
// that it was executed.
func (s *session) begun(r report) bool { return r.Executed || !s.warm && r.Events > 0 }

// lose freezes a workload for good: nobody records what it does. It can be stopped.
func (s *session) lose(why string) {
	if !s.lost {
		s.lost = true
		s.freeze(true, why)
	}
}

// freeze freezes or thaws the workload. One that can't be frozen is killed.
func (s *session) freeze(frozen bool, why string) {
	if s.frozen != frozen {
		err := s.cgroup.set(frozen)
		if errors.Is(err, fs.ErrNotExist) && !s.lost {
			return // there is no workload yet, and its events will wait for the recorder
		}
		if err != nil {
			s.status.Reason = why + ", and it can't be frozen: killed"
			s.kernel.End()
			return
		}
	}
	s.frozen = frozen
	s.status.State, s.status.Reason = StateStarting, cmp.Or(why, s.ending)
	switch {
	case frozen:
		s.status.State = StatePaused
	case s.started:
		s.status.State = StateRunning
	}
	s.note()
}

// note saves the status for others to read. What can't be saved now is saved again at the end.
func (s *session) note() { _ = s.place.save(&s.status) }

// stop takes the next step to end the workload, and returns when the one after that is due.
func (s *session) stop() <-chan time.Time {
	s.status.Reason = s.ending
	if s.frozen {
		s.stopping = 2 // a frozen workload hears no signal
	}
	s.stopping++
	switch s.stopping {
	case 1:
		return s.signal("TERM", stopGrace)
	case 2:
		return s.signal("KILL", killGrace)
	default:
		s.kernel.End()
		s.helpers.Go(func() {
			ctx, cancel := context.WithTimeout(s.helping, lastWords)
			defer cancel()
			_ = s.cgroup.kill(ctx) // run looks again, and reports
		})
		return never()
	}
}

// signal asks the sandbox's kernel to send a signal to the workload, without waiting for it to do so. It asks again
// where there is no workload yet.
func (s *session) signal(name string, wait time.Duration) <-chan time.Time {
	s.helpers.Go(func() {
		ctx, cancel := context.WithTimeout(s.helping, wait)
		defer cancel()
		for s.kernel.Signal(ctx, name) != nil {
			if clock.Sleep(ctx, s.Clock, beat) != nil {
				return // the next step is harder
			}
		}
	})
	next, _ := s.Clock.After(wait)
	return next
}

// finish has the record ended, and takes its last head.
func (s *session) finish(ctx context.Context, f finish) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	last, err := s.recorder.end(ctx, f)
	if err != nil {
		return s.repair(f.Exit, f.Reason, err)
	}
	s.started = s.started || s.begun(last)
	s.status.Audit, s.last = audited(&last), last.Kept
	return nil
}

func tee(log, to io.Writer) io.Writer {
	if to == nil {
		return log
	}
	return io.MultiWriter(log, to)
}

// decodeReports reads a recorder's reports until it ends.
func decodeReports(from io.Reader, to chan<- report) {
	defer close(to)
	d := json.NewDecoder(from)
	for {
		var r report
		if d.Decode(&r) != nil {
			return
		}
		to <- r
	}
}
