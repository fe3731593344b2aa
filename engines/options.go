package engines

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sterlingrun/sterling/clock"
)

// Names and bounds that all servers share.
const (
	// superuser is the role that DSNs log in with; it may create databases.
	superuser = "sterling"
	// firstDatabase exists once a server has been started.
	firstDatabase = "sterling"
	// startWithin bounds a server's start, recovery and copying of a primary's data included.
	startWithin = 90 * time.Second
	// shutdownWithin bounds a clean shutdown; after that the server is killed.
	shutdownWithin = 30 * time.Second
	// pollEvery is the pause between two looks at a server that is about to become ready.
	pollEvery = 50 * time.Millisecond
)

// Options say where a server or a trio lives. The zero value is good for tests.
type Options struct {
	// Dir is the folder below which data and logs go; it is made if it is missing, must hold no server yet, and is
	// kept. Empty: a temporary folder, removed at Close, or when the process ends.
	Dir string
	// Logger gets one line for each thing that is done to a server; never a password. Nil: none.
	Logger *slog.Logger
	// Settings are the engine's own, by the names of postgresql.conf or of a [mariadbd] section. They win over the
	// defaults of this package, and are read when a data folder is made.
	Settings map[string]string
	// SuspectTimeout is how long a Galera node is silent before the others think of excluding it
	// (evs.suspect_timeout). 0: 5 s, Galera's own default. On a machine that is busy, with less, nodes may suspect each
	// other for nothing; two that do while the third is dead are in no majority. For Galera only.
	SuspectTimeout time.Duration
}

func (o Options) logger() *slog.Logger {
	if o.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Logger
}

// ErrMissing says that a program of an engine is not on this machine; the error's text tells which, and how to get it.
var ErrMissing = errors.New("a database server's program is missing")

// newPassword returns 128 random bits as hex.
func newPassword() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return hex.EncodeToString(b[:])
}

// poll calls ready until it says so, ended closes, or ctx is done. What ready said last is part of the error.
func poll(ctx context.Context, ended <-chan struct{}, ready func(context.Context) error) error {
	system := clock.NewSystem()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return errors.New("the server has ended")
		default:
		}
		if clock.Sleep(ctx, system, pollEvery) != nil {
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}
