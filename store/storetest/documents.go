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
