package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An openLoad sends requests to a socket as callers do who know nothing of each other: each when it is due, whether or
// not those before it were answered. Latency counts from then, so a stall shows in every request that it delays.
type openLoad struct {
	socket      string
	rate        int // requests a second, of all connections together, evenly spaced
	connections int // each sends its share, and waits for an answer before it sends again
	duration    time.Duration
	request     func() []byte // the next one, by any goroutine; every request is answered with status
	status      int
}

// answerLimit bounds the wait for one answer.
const answerLimit = 10 * time.Second

// run returns how long each request took, sorted.
func (l *openLoad) run(ctx context.Context) ([]time.Duration, error) {
	took, errs := make([][]time.Duration, l.connections), make([]error, l.connections)
	start := monotonic() + int64(50*time.Millisecond) // until all have connected
	var all sync.WaitGroup
	for c := range l.connections {
		all.Go(func() { took[c], errs[c] = l.caller(ctx, c, start) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	return sorted, nil
}

// caller is one connection on a thread of its own: Go's timers and its poller would add as much as is measured.
func (l *openLoad) caller(ctx context.Context, n int, start int64) (took []time.Duration, err error) {
	runtime.LockOSThread() // for good: the thread ends with the goroutine, and its timer slack with it
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("ask for exact timers: %w", err)
	}
	fd, err := connectUnix(l.socket)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(int(fd))) }()
	answers := bufio.NewReader(fd)
	interval := float64(time.Second) / float64(l.rate)
	for i := n; ; i += l.connections {
		due := int64(float64(i) * interval)
		if due >= int64(l.duration) {
			return took, nil
		}
		if err := sleepUntil(start + due); err != nil {
			return nil, err
		}
		if _, err := fd.Write(l.request()); err != nil {
			return nil, fmt.Errorf("send a request: %w", err)
		}
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			return nil, fmt.Errorf("read an answer: %w", err)
		}
		text, err := io.ReadAll(answer.Body)
		took = append(took, time.Duration(monotonic()-start-due))
		if err = errors.Join(err, answer.Body.Close(), ctx.Err()); err != nil || answer.StatusCode != l.status {
			return nil, fmt.Errorf("answer %s %q: %w", answer.Status, text, err)
		}
	}
}

// A descriptor is a socket whose calls block its thread.
type descriptor int

// connectUnix connects to a socket, whose calls take answerLimit at most.
func connectUnix(path string) (descriptor, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	limit := unix.NsecToTimeval(int64(answerLimit))
	err = errors.Join(unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit), unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit))
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		return -1, errors.Join(fmt.Errorf("connect to %s: %w", path, err), unix.Close(fd))
	}
	return descriptor(fd), nil
}

// Read implements io.Reader.
func (d descriptor) Read(p []byte) (int, error) { return d.all(unix.Read, p) }

// Write implements io.Writer. Requests are far smaller than a socket's buffer, which takes them whole.
func (d descriptor) Write(p []byte) (int, error) {
	n, err := d.all(unix.Write, p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

func (d descriptor) all(call func(int, []byte) (int, error), p []byte) (int, error) {
	for {
		n, err := call(int(d), p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// monotonic is the kernel's clock that sleepUntil waits for, in ns.
func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it is always there
	return now.Nano()
}

func sleepUntil(due int64) error {
	until := unix.NsecToTimespec(due)
	for {
		err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
