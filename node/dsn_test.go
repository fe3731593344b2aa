package node_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/node"
)

// TestNoPasswordInAnError: a password that is not encoded would be read as a host's name, and told.
func TestNoPasswordInAnError(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:sec@hush%zz@127.0.0.1:1/d", "postgres://u:hush%zz@127.0.0.1:1/d", "mysql://u:s@hush@127.0.0.1:1/d", "postgres://u:hu?sh@127.0.0.1:1/d",
		"postgres://u:hush@127.0.0.1:1/d?connect_timeout=1", // this one can be read, and nobody answers
	} {
		for name, change := range map[string]func(*node.Config){
			"store":      func(c *node.Config) { c.Store.DSN = dsn },
			"read model": func(c *node.Config) { c.ReadModel.DSN = dsn },
		} {
			c := node.DefaultConfig()
			c.Data, c.Listen = t.TempDir(), "127.0.0.1:0"
			change(&c)
			if name == "read model" && strings.Contains(dsn, "connect_timeout") {
				continue // it is tried for ever, beside the ledger
			}
			_, err := node.Start(t.Context(), c, slog.New(slog.DiscardHandler), nil)
			if err == nil || strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "hu?sh") {
				t.Errorf("%s with %s: %v", name, dsn, err)
			}
		}
	}
}
