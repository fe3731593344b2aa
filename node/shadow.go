package node

import (
	"os"
	"path/filepath"

	"github.com/sterlingrun/sterling/journal"
)

// Shadow makes a ledger the shadow of another one, for load tests beside live traffic: a process, a folder and a journal
// of its own, so that it can be filled, stopped and thrown away. It takes calls only that are marked as shadow traffic, by
// tokens made for that; any other ledger refuses both.
type Shadow struct {
	// Of is the data folder of the other ledger, whose tokens are known here, too, or a folder with a copy of its
	// tokens.json. Tokens that are revoked in the journal only are not heard of. Empty: this ledger is nobody's shadow.
	Of string `yaml:"of"`
}

func (s *Shadow) is() bool { return s.Of != "" }

// checkShadow says what is wrong with a shadow. It must not lead out of the load test: who reads its tables or gets its
// events can't see the mark.
func (c *Config) checkShadow(fault func(format string, args ...any)) {
	if c.Cell >= journal.ShadowCells {
		fault("cell: want less than %d: these are of shadows", uint32(journal.ShadowCells))
	}
	if !c.Shadow.is() {
		return
	}
	if sameFolder(c.Shadow.Of, c.Data) {
		fault("shadow.of: names the shadow's own data folder; it needs another one")
	}
	for _, x := range []struct {
		key  string
		used bool
	}{
		{"store", c.Store.Shared()},
		{"cells", c.Cells.SecretFile != ""},
		{"backup", c.Backup != nil},
		{"archive", c.Archive.Dir != ""},
		{"sinks", len(c.Sinks) > 0},
		{"read_model", c.ReadModel.wanted()},
		{"watch.alerts", c.Watch.Alerts != nil},
	} {
		if x.used {
			fault("%s: not with shadow.of: a shadow has its journal in its folder, and nothing that leads out of it", x.key)
		}
	}
}

func sameFolder(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return filepath.Clean(a) == filepath.Clean(b) || errX == nil && errY == nil && os.SameFile(x, y)
}

// tokens is the folder of the tokens that count.
func (c *Config) tokens() string {
	if c.Shadow.is() {
		return c.Shadow.Of
	}
	return c.Data
}
