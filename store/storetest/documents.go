package storetest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
)

// Documents is what the nodes of a cell keep besides the journal.
type Documents interface {
	Document(ctx context.Context, name string) ([]byte, error)
	Documents(ctx context.Context, prefix string) ([]string, error)
	PutDocument(ctx context.Context, name string, body []byte) error
	RemoveDocument(ctx context.Context, name string) error
}

// KeepsDocuments checks the documents of a cell, through two stores of two nodes, and that another cell has its own.
func KeepsDocuments(t *testing.T, here, there, another Documents) {
	t.Helper()
	ctx := t.Context()
	names := func(s Documents, prefix string, want ...string) {
		t.Helper()
		got, err := s.Documents(ctx, prefix)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("documents %q: %q, error %v; want %q", prefix, got, err, want)
		}
	}
	read := func(s Documents, name string, want []byte) {
		t.Helper()
		got, err := s.Document(ctx, name)
		if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Fatalf("document %q: %d bytes, error %v; want %d bytes", name, len(got), err, len(want))
		}
	}
	names(here, "")
	read(here, "a", nil)
	must(t, here.RemoveDocument(ctx, "a"))
	large := bytes.Repeat([]byte{0, 0xFF, '\'', '\\'}, 1<<19)
	for _, name := range []string{"sinks/b", "sinks/a_b", "sinks/a%b", "sinks/aXb", "Sinks/c"} {
		must(t, here.PutDocument(ctx, name, []byte(name)))
	}
	must(t, another.PutDocument(ctx, "sinks/b", []byte("theirs")))
	must(t, there.PutDocument(ctx, "sinks/b", large))
	must(t, there.PutDocument(ctx, "sinks/b", large)) // the same again
	read(here, "sinks/b", large)
	read(another, "sinks/b", []byte("theirs"))
	names(there, "sinks/", "sinks/a%b", "sinks/aXb", "sinks/a_b", "sinks/b")
	names(there, "sinks/a_", "sinks/a_b")
	must(t, here.RemoveDocument(ctx, "sinks/b"))
	read(there, "sinks/b", nil)
	names(another, "", "sinks/b")
	for name, body := range map[string][]byte{"": {1}, strings.Repeat("n", 161): {1}, "empty": nil, "large": append(large, 1)} {
		if err := here.PutDocument(ctx, name, body); err == nil {
			t.Errorf("%.20q with %d bytes was taken", name, len(body))
		}
	}
}

// LedgerDocuments is what the nodes of all cells keep together.
type LedgerDocuments interface {
	LedgerDocument(ctx context.Context, name string) ([]byte, error)
	AddLedgerDocument(ctx context.Context, name string, body []byte) error
}

// KeepsLedgerDocuments checks the documents of all cells, through stores of several: whoever adds one at the same time as
// others, all read the same one afterwards, and for ever.
func KeepsLedgerDocuments(t *testing.T, stores ...LedgerDocuments) {
	t.Helper()
	ctx := t.Context()
	if got, err := stores[0].LedgerDocument(ctx, "a"); err != nil || got != nil {
		t.Fatalf("before the first: %q, error %v", got, err)
	}
	errs := make(chan error, len(stores))
	for i, s := range stores {
		go func() { errs <- s.AddLedgerDocument(ctx, "a", []byte{0, byte(i)}) }() //nolint:gosec // few
	}
	for range stores {
		must(t, <-errs)
	}
	first, err := stores[0].LedgerDocument(ctx, "a")
	if err != nil || len(first) != 2 {
		t.Fatalf("after the first: %q, error %v", first, err)
	}
	for i, s := range stores {
		must(t, s.AddLedgerDocument(ctx, "a", []byte("late")))
		if got, err := s.LedgerDocument(ctx, "a"); err != nil || !bytes.Equal(got, first) {
			t.Errorf("store %d: %q, error %v; store 0 has %q", i, got, err, first)
		}
	}
	for name, body := range map[string][]byte{"": {1}, strings.Repeat("n", 161): {1}, "empty": nil} {
		if err := stores[0].AddLedgerDocument(ctx, name, body); err == nil {
			t.Errorf("%.20q with %d bytes was taken", name, len(body))
		}
	}
}
