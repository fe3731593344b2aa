package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestShadowLoadGuide runs every command of docs/guides/shadow-load.md, at a quarter of its load.
func TestShadowLoadGuide(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "mesh") // a socket's path is at most 107 bytes long, which t.TempDir can be past
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(func() { cancel(); _ = os.RemoveAll(dir) })
	g := &meshGuide{t: t, ctx: ctx, dir: dir, ports: map[string]string{}}
	t.Cleanup(g.end)
	smaller := strings.NewReplacer("--rate 200", "--rate 50", "--rate 20", "--rate 5", "--duration 30s", "--duration 4s")
	blocks := blocksOf(t, filepath.Join("..", "..", "docs", "guides", "shadow-load.md"))
	if len(blocks) < 25 {
		t.Fatalf("%d blocks of commands: the guide was not read", len(blocks))
	}
	for _, b := range blocks {
		b.text = smaller.Replace(b.text)
		g.run(b)
	}
}
