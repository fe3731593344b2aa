package gvisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// errNoneIdle says that no sandbox of a pool can be had.
var errNoneIdle = errors.New("no sandbox is idle")

// slotPrefix begins the names of all slots for a key.
func slotPrefix(key string) string { return "p" + key[:12] + "-" }

// take runs a workload in a sandbox that idles for its policy, if there is one; else the error is errNoneIdle, and
// nothing was done. With detach it returns when the workload runs.
func (r *Runner) take(ctx context.Context, o Options, detach bool) (*Status, error) {
	key, err := r.key(o.Policy, o.Folder)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(r.slot("").folder)
	if err != nil {
		return nil, errNoneIdle // there is no pool
	}
	began := r.Clock.Mono()
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), slotPrefix(key)) {
			continue
		}
		if r.Clock.Mono()-began > uint64(talkLimit) {
			break // keepers that don't answer: a cold start is faster
		}
		s, err := r.takeFrom(ctx, e.Name(), takeRequest{Key: key, ID: o.ID, Detach: detach}, o)
		if !errors.Is(err, errNoneIdle) {
			return s, err
		}
	}
	return nil, errNoneIdle
}

// A keeping is a keeper as who takes its sandbox sees it.
type keeping struct{ conn *net.UnixConn }

func (r *Runner) takeFrom(ctx context.Context, slot string, request takeRequest, o Options) (*Status, error) {
	address := &net.UnixAddr{Name: r.slot(slot).path(fileTake), Net: "unixpacket"}
	conn, err := net.DialUnix("unixpacket", nil, address)
	if err != nil {
		return nil, errNoneIdle // it is being started, or has been taken
	}
	defer conn.Close() //nolint:errcheck // nothing is under way
	if fromRoot(conn) != nil {
		return nil, errNoneIdle
	}
	k := &keeping{conn}
	out, err := outputs(o)
	if err != nil {
		return nil, err
	}
	defer out.wait()
	first, err := k.request(request, out)
	out.close()
	switch {
	case first.Exists:
		return nil, fmt.Errorf("%w: %s; choose another, or remove it", ErrExists, request.ID)
	case err != nil, !first.Taken:
		return nil, errNoneIdle
	}
	if err := k.say(takeRequest{Go: true}); err != nil {
		return nil, errNoneIdle
	}
	return r.follow(ctx, k, request, o)
}

// follow waits for the workload's end, or, where it goes on alone, for its beginning.
func (r *Runner) follow(ctx context.Context, k *keeping, request takeRequest, o Options) (*Status, error) {
	stop := context.AfterFunc(ctx, func() { _ = k.say(takeRequest{Stop: true}) })
	defer stop()
	for {
		reply, err := k.hear(0)
		if err != nil {
			return nil, fmt.Errorf("run %s: its runner is gone, and the sandbox with it: %w", request.ID, err)
		}
		if reply.Started && o.Started != nil {
			o.Started()
		}
		if !reply.Ended && (!reply.Started || !request.Detach) {
			continue
		}
		s, err := r.Inspect(request.ID)
		if reply.Error != "" {
			err = errors.Join(remote(reply.Error, reply.NotStarted, false), err)
		}
		return s, err
	}
}

// remote is an error that another process told of.
func remote(text string, notStarted, exists bool) error {
	switch {
	case notStarted:
		return said{text, ErrNotStarted}
	case exists:
		return said{text, ErrExists}
	}
	return errors.New(text)
}

type said struct {
	text string
	is   error
}

func (s said) Error() string { return s.text }
func (s said) Unwrap() error { return s.is }

// request asks for the sandbox, and hands over where the workload is to write.
func (k *keeping) request(q takeRequest, out *output) (takeReply, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return takeReply{}, fmt.Errorf("ask for a sandbox: %w", err)
	}
	var rights []byte
	if !q.Detach {
		rights = unix.UnixRights(int(out.files[0].Fd()), int(out.files[1].Fd()))
	}
	if _, _, err := k.conn.WriteMsgUnix(text, rights, nil); err != nil {
		return takeReply{}, fmt.Errorf("ask for a sandbox: %w", err)
	}
	return k.hear(talkLimit)
}

func (k *keeping) say(q takeRequest) error {
	text, err := json.Marshal(q)
	if err == nil {
		_, err = k.conn.Write(text)
	}
	return err
}

// hear takes one packet; a limit of zero is none.
func (k *keeping) hear(limit time.Duration) (r takeReply, err error) {
	deadline := time.Time{}
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	text := make([]byte, maxPacket)
	n := 0
	err = k.conn.SetReadDeadline(deadline)
	if err == nil {
		n, err = k.conn.Read(text)
	}
	if err == nil {
		err = json.Unmarshal(text[:n], &r)
	}
	return r, err
}

// An output is where a workload writes, as files that can be handed over.
type output struct {
	files  [2]*os.File
	ours   []*os.File // to be closed when they are handed over
	copies sync.WaitGroup
}

func outputs(o Options) (*output, error) {
	out := &output{}
	for n, w := range []io.Writer{o.Stdout, o.Stderr} {
		if f, ok := w.(*os.File); ok {
			out.files[n] = f
			continue
		}
		if w == nil {
			w = io.Discard
		}
		if n == 1 && reflect.TypeOf(w).Comparable() && w == o.Stdout { // like os/exec: it is written by one at a time
			out.files[1] = out.files[0]
			continue
		}
		read, write, err := os.Pipe()
		if err != nil {
			out.close()
			return nil, fmt.Errorf("make a pipe for the output: %w", err)
		}
		out.files[n], out.ours = write, append(out.ours, write)
		out.copies.Go(func() {
			_, _ = io.Copy(w, read)
			_ = read.Close()
		})
	}
	return out, nil
}

func (o *output) close() {
	for _, f := range o.ours {
		_ = f.Close()
	}
	o.ours = nil
}

// wait returns when everything was written, which is when the keeper has ended or nothing was handed over.
func (o *output) wait() {
	o.close()
	o.copies.Wait()
}
