package audit

import (
	"context"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
)

// MakeLog writes a log of many statements at once, as OpenLog would one by one. Bad ones, too: nothing is checked.
func MakeLog(t testing.TB, key *Key, dir string, list []Statement) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		t.Fatal(err)
	}
	options := tessera.NewAppendOptions().WithCheckpointSigner(signer{origin(1), key}).
		WithCheckpointInterval(100*time.Millisecond).WithCheckpointRepublishInterval(0).WithBatching(128, time.Second)
	appender, shutdown, _, err := tessera.NewAppender(ctx, driver, options)
	if err != nil {
		t.Fatal(err)
	}
	var added []tessera.IndexFuture
	for i := range list {
		text, err := list[i].Encode()
		if err != nil {
			t.Fatal(err)
		}
		added = append(added, appender.Add(ctx, tessera.NewEntry((&Entry{Statement: text, Signature: key.Sign(text)}).seal())))
	}
	for _, index := range added {
		if _, err := index(); err != nil {
			t.Fatal(err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}
