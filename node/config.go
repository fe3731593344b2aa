package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/auth/mtls"
	"github.com/sterlingrun/sterling/store/local"
)

// Config is everything that can be set, with the keys of the configuration file. Few things can: a good default beats
// a knob.
type Config struct {
	Data   string `yaml:"data"`   // folder of the journal, the index and the tokens
	Listen string `yaml:"listen"` // host:port; beyond loopback only with exposed
	// Exposed lets Listen be an address that other machines reach without TLS: put it behind something that encrypts.
	Exposed bool   `yaml:"exposed"`
	Cell    uint32 `yaml:"cell"` // number of the cell, fixed when the folder is made
	// MasterKey is the file of the key that wraps the keys of personal metadata; empty: keys/master.key in the data
	// folder. Elsewhere is better: a copy of the data folder is then worth nothing by itself.
	MasterKey string `yaml:"master_key"`
	Log       Log    `yaml:"log"`
	// SnapshotEvents is after how many events a snapshot of the state is taken: fewer make starts faster.
	SnapshotEvents uint64 `yaml:"snapshot_events"`
	// QueueEvents is how many events may wait before calls are refused.
	QueueEvents int `yaml:"queue_events"`
	// SegmentBytes is the size of new files of the journal: the unit in which it is archived.
	SegmentBytes int64   `yaml:"segment_bytes"`
	Backup       *Backup `yaml:"backup"` // nil: no targets
	Archive      Archive `yaml:"archive"`
	Debug        Debug   `yaml:"debug"`
	// Sinks deliver the change feed to brokers and webhooks.
	Sinks []Sink `yaml:"sinks"`
	// Store is the database that has the journal, where it is not in the data folder.
	Store Store `yaml:"store"`
	// Cells are for a ledger of several cells that share a database.
	Cells Cells `yaml:"cells"`
	// ReadModel is a database that gets the ledger as tables.
	ReadModel ReadModel `yaml:"read_model"`
	// Watch proves beside the ledger that no money is lost.
	Watch Watch `yaml:"watch"`
	// Mesh runs the service mesh's control plane beside the ledger.
	Mesh Mesh `yaml:"mesh"`
	// Services runs services in sandboxes beside the ledger.
	Services Services `yaml:"services"`
	// Sandboxes shows the secure containers of this machine.
	Sandboxes Sandboxes `yaml:"sandboxes"`

	TLS       *mtls.Options `yaml:"tls"` // nil: plain text
	Auth      *Auth         `yaml:"auth"`
	AccessLog AccessLog     `yaml:"access_log"`
	// Audit is about the transparency log of signed checkpoints.
	Audit Audit `yaml:"audit"`
}

// Debug is for whoever looks into the process itself.
type Debug struct {
	// Listen is host:port of Go's profiles (/debug/pprof/), always on loopback; empty: they are not served. They need
	// no token and slow the process down while they are taken.
	Listen string `yaml:"listen"`
}

// Log configures what the process writes to standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error
	Format string `yaml:"format"` // text or json
}

// DefaultConfig is what `sterling up` starts with.
func DefaultConfig() Config {
	return Config{
		Data: "sterling-data", Listen: "127.0.0.1:7600", Cell: 1, Log: Log{Level: "info", Format: "text"},
		SnapshotEvents: 6_000_000, QueueEvents: 1 << 20, AccessLog: defaultAccessLog(), SegmentBytes: local.DefaultSegmentSize, Watch: defaultWatch(),
		Store: Store{Lease: defaultLease}, Mesh: DefaultMesh(),
	}
}

// ErrConfig is a configuration that can't be used; the text says which key, and what it wants.
var ErrConfig = errors.New("configuration")

// LoadConfig reads a YAML file over the defaults. Unknown keys are errors.
func LoadConfig(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c, err := ParseConfig(b)
	if err != nil {
		return Config{}, fmt.Errorf("%w (in %s)", err, path)
	}
	return c, nil
}

// ParseConfig is LoadConfig for the file's content. It does not Check.
func ParseConfig(b []byte) (Config, error) {
	c := DefaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c, nil
}

// Check says what is wrong with c, or nil.
func (c *Config) Check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Data == "" {
		fault("data: want a folder")
	}
	if host, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listen: want host:port such as 127.0.0.1:7600, not %q", c.Listen)
	} else if !c.Exposed && c.TLS == nil && !loopback(host) {
		fault("listen: %s can be reached from other machines, and the API is not encrypted; configure tls, or set exposed: true if something in front of it encrypts", c.Listen)
	}
	if c.Cell == 0 {
		fault("cell: want 1 or more")
	}
	switch c.Log.Level {
	case "debug", "info", "warn", "error":
	default:
		fault("log.level: want debug, info, warn or error, not %q", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		fault("log.format: want text or json, not %q", c.Log.Format)
	}
	if c.SnapshotEvents < 10_000 {
		fault("snapshot_events: want 10,000 or more, not %d", c.SnapshotEvents)
	}
	if c.QueueEvents < 8190 || c.QueueEvents > 1<<26 {
		fault("queue_events: want 8,190 to 67,108,864, not %d", c.QueueEvents)
	}
	if c.SegmentBytes < 1<<20 || c.SegmentBytes > 16<<30 {
		fault("segment_bytes: want 1,048,576 to 17,179,869,184, not %d", c.SegmentBytes)
	}
	c.Backup.check(fault)
	c.Watch.check(fault)
	c.checkStore(fault)
	c.checkCells(fault)
	c.ReadModel.check(fault)
	c.Mesh.check(fault)
	c.Services.check(fault)
	c.Sandboxes.check(fault)
	if c.Debug.Listen != "" {
		if host, _, err := net.SplitHostPort(c.Debug.Listen); err != nil || !loopback(host) {
			fault("debug.listen: want host:port on loopback such as 127.0.0.1:7601, not %q", c.Debug.Listen)
		}
	}
	if err := c.checkAccess(); err != nil {
		faults = append(faults, err)
	}
	faults = append(faults, checkSinks(c.Sinks)...)
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
