package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/node"
)

func TestDefaultsAreGood(t *testing.T) {
	t.Parallel()
	c := node.DefaultConfig()
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	empty, err := node.ParseConfig(nil)
	if err != nil || !reflect.DeepEqual(empty, c) {
		t.Errorf("an empty file: %+v, %v", empty, err)
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sterling.yaml")
	text := "data: somewhere\nlisten: 0.0.0.0:1\nexposed: true\ncell: 3\nlog: {level: warn, format: json}\nsnapshot_events: 10000\nqueue_events: 8190\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := node.LoadConfig(path)
	want := node.DefaultConfig()
	want.Data, want.Listen, want.Exposed, want.Cell = "somewhere", "0.0.0.0:1", true, 3
	want.Log, want.SnapshotEvents, want.QueueEvents = node.Log{Level: "warn", Format: "json"}, 10_000, 8190
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if err := got.Check(); err != nil {
		t.Error(err)
	}
}

func TestBadConfigs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"datas: x":                           "field datas not found",
		"log: {levels: info}":                "field levels not found",
		"data: [x]":                          "cannot unmarshal",
		"data: x\ndata: y":                   "already defined",
		"cell: -1":                           "cannot unmarshal",
		"cell: 4294967296":                   "cannot unmarshal",
		"data: \"\"":                         "data: want a folder",
		"cell: 0":                            "cell: want 1 or more",
		"listen: 7600":                       "listen: want host:port",
		"listen: 0.0.0.0:7600":               "listen: 0.0.0.0:7600 can be reached from other machines",
		"listen: :7600":                      "can be reached from other machines",
		"listen: \"[::]:7600\"":              "can be reached from other machines",
		"listen: ledger.example:7600":        "can be reached from other machines",
		"log: {level: loud}":                 "log.level: want debug, info, warn or error",
		"log: {format: xml}":                 "log.format: want text or json",
		"snapshot_events: 9999":              "snapshot_events: want 10,000 or more",
		"segment_bytes: 1000":                "segment_bytes: want 1,048,576 to",
		"backup: {target: {}}":               "field target not found",
		"backup: {every: soon}":              "cannot unmarshal",
		"backup: {every: 1h}":                "backup.every: there are no targets",
		"backup: {every: -1h}":               "backup.every: want 1m0s or more",
		"backup: {targets: {A b: {url: x}}}": `backup.targets: "A b" is no name`,
		"backup: {targets: {a: {}}}":         "backup.targets.a.url: configuration: want a folder or s3://BUCKET/PREFIX",
		"backup: {targets: {a: {url: \"s3://x?endpoint=http://y\"}}}": "backup.targets.a.url: configuration\nnot an S3 location: endpoint y is on another machine: want https",
		"watch: {flow: x}": "field flow not found",
		"watch: {stop_loss: {rules: [{freeze: everything}]}}": "watch.stop_loss.rules[0].freeze: want account, flow, cell or none",
		"watch: {transit_deadline: 10ms}":                     "watch.transit_deadline: want 1s or more",
		"watch: {stop_loss: {accounts_per_minute: -1}}":       "watch.stop_loss.accounts_per_minute: want 0 or more",
		"store: {dsn: 'oracle://x:secret@y'}":                 "store.dsn: want postgres://",
		"store: {dsn: 'mysql://h/d', dsn_file: f}":            "store: want dsn or dsn_file",
		"store: {dsn: 'mysql://h/d', lease: 10ms}":            "store.lease: want 200ms to 1m",
		"store: {dsn: 'mysql://h/d', advertise: me}":          "store.advertise: want host:port",
		"read_model: {dsn: 'x:y'}":                            "read_model.dsn: want postgres://",
		"read_model: {dsn: 'sqlite:f', dsn_file: g}":          "read_model: want dsn or dsn_file",
		"store: {advertise: 'me:1'}":                          "store.advertise: is for nodes",
		"store: {dsn: 'mysql://h/d'}\narchive: {dir: a}":      "archive: is of a journal in the data folder",
		"queue_events: 8189":                                  "queue_events: want 8,190 to",
		"queue_events: 67108865":                              "queue_events: want 8,190 to",
		"cell: 0\nlog: {format: xml}":                         "cell: want 1 or more\nlog.format: want text or json",
		strings.Repeat("a: {", 200) + "\n":                    "configuration",

		"cells: {upgrading: true}":            "with cells.secret_file",
		"cells: {mesh: true}":                 "with cells.secret_file",
		"mesh: {control: \"h:1\", domain: d}": "mesh.control: is for cells.mesh",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}":                                                               "want mesh.control, or mesh.state",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, ca: c}":                                                                    "cells.ca: is for cells.upgrading",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}\nmesh: {control: h, domain: d}":                                "mesh.control: want unix:PATH or host:port",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}\nmesh: {control: \"unix:/s\", domain: d, join_token_file: t}":  "the kernel says who a process is",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}\nmesh: {control: \"h:1\"}":                                     "mesh.domain: want the mesh's trust domain",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}\nmesh: {control: \"h:1\", domain: d, state: f}":                "with mesh.state there is one here",
		"store: {dsn: \"postgres://h/d\"}\ncells: {secret_file: s, mesh: true}\nmesh: {control: \"h:1\", domain: d, listen: \"127.0.0.1:1\"}": "excludes mesh.listen",
	} {
		c, err := node.ParseConfig([]byte(text))
		if err == nil {
			err = c.Check()
		}
		if !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
	for _, listen := range []string{"127.0.0.1:0", "[::1]:7600", "localhost:7600", "127.9.9.9:1"} {
		c := node.DefaultConfig()
		c.Listen = listen
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if _, err := node.LoadConfig(filepath.Join(t.TempDir(), "nowhere")); !errors.Is(err, node.ErrConfig) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that isn't there: %v", err)
	}
}

func TestCellsNeedADatabase(t *testing.T) {
	c := node.DefaultConfig()
	c.Cells.SecretFile = "secret"
	if err := c.Check(); !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), "store.dsn") {
		t.Errorf("error %v, want one that names store.dsn", err)
	}
	c.Store.DSN = "postgres://h/d"
	if err := c.Check(); err != nil {
		t.Error(err)
	}
}
