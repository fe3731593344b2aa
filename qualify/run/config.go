package run

import (
	"errors"
	"fmt"
	"time"

	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/qualify/tpcc"
)

// Config says what to qualify, and how thoroughly.
type Config struct {
	// Addresses of the engine's nodes, as qualify.ParseAddress reads them; empty with Start.
	Addresses []string
	// Start is an engine to start on this machine, which is then also killed: "postgres", "postgres-trio", "mariadb" or
	// "galera-trio".
	Start string
	// Dir is the folder for the data of an engine that is started: choose the disk that matters. Empty: the system's
	// folder for temporary files.
	Dir string
	// Quick makes everything short, with less data: half a minute instead of three.
	Quick      bool
	Warehouses int           // of TPC-C, 1 or more; 0: 2
	Duration   time.Duration // of TPC-C's load; 0: 60 s, 6 s if Quick
	Terminals  int           // of TPC-C; 0: four for each warehouse
	Seed       uint64        // of the data; 0: 1
	// Writer is the command that runs Write in a process of its own; it gets a folder and a cell's number as arguments.
	// Needed for a local store only.
	Writer []string
	// Version is this program's, for the report.
	Version string
	// Progress is told how far the run is. It may be called from any goroutine, one at a time.
	Progress func(Step)

	adjust func(*plan) // tests make it shorter
	only   []string    // and leave sections out
}

// Step is how far a run is.
type Step struct {
	Number, Of int // of the section, from 1
	Title      string
	Fraction   float64 // of the section, 0 to 1
	Text       string  // what it is doing
	Ended      bool    // the section is over
	Failed     int     // checks of it that failed, once it has ended
}

// ErrConfig is a configuration that can't be run.
var ErrConfig = errors.New("can't qualify that")

const mostWarehouses = 100

// plan is how long and how much everything is.
type plan struct {
	contend  time.Duration
	writers  int
	calls    int // of all of them: a history that can be decided
	kills    int // while writers contend
	rounds   int // of load and a kill
	load     time.Duration
	unique   time.Duration
	keys     int
	tpcc     tpcc.Options
	speed    time.Duration // of each shape
	settle   time.Duration // longest start of an engine, longest unknown outcome
	patience time.Duration // what a section may take beyond its plan
}

func (c *Config) plan() plan {
	p := plan{
		contend: 20 * time.Second, writers: 8, calls: 20_000, kills: 3, rounds: 5, load: 2 * time.Second, unique: 5 * time.Second, keys: 2000,
		tpcc:  tpcc.Options{Scale: tpcc.Standard(c.Warehouses), Duration: 60 * time.Second, Terminals: c.Terminals, Seed: c.Seed},
		speed: 5 * time.Second, settle: time.Minute, patience: 5 * time.Minute,
	}
	if c.Quick {
		p.contend, p.kills, p.rounds, p.load, p.unique, p.keys = 4*time.Second, 1, 2, 800*time.Millisecond, time.Second, 300
		p.tpcc.Scale, p.tpcc.Duration = tpcc.Small(c.Warehouses), 6*time.Second
		p.calls, p.speed, p.patience = 8000, time.Second, 2*time.Minute
	}
	if c.trio() { // a kill, the takeover and the way back to full strength take 5 to 15 s
		p.contend, p.kills, p.settle = 3*p.contend, (p.kills+1)/2, 2*p.settle
	}
	if c.Duration > 0 {
		p.tpcc.Duration = c.Duration
	}
	if c.adjust != nil {
		c.adjust(&p)
	}
	return p
}

func (c *Config) trio() bool { return c.Start == "postgres-trio" || c.Start == "galera-trio" }

// complete fills in defaults and reads the addresses.
func (c *Config) complete() (list []qualify.Address, err error) {
	if c.Warehouses == 0 {
		c.Warehouses = 2
	}
	if c.Seed == 0 {
		c.Seed = 1
	}
	switch {
	case c.Warehouses < 1 || c.Warehouses > mostWarehouses:
		return nil, fmt.Errorf("%w: %d warehouses; want 1 to %d", ErrConfig, c.Warehouses, mostWarehouses)
	case c.Duration < 0 || c.Duration > 24*time.Hour:
		return nil, fmt.Errorf("%w: a load of %v; want up to 24h", ErrConfig, c.Duration)
	case c.Terminals < 0 || c.Terminals > 256:
		return nil, fmt.Errorf("%w: %d terminals; want 1 to 256", ErrConfig, c.Terminals)
	case c.Start != "" && len(c.Addresses) > 0:
		return nil, fmt.Errorf("%w: either the address of an engine that runs, or one to start", ErrConfig)
	case c.Start == "" && len(c.Addresses) == 0:
		return nil, fmt.Errorf("%w: no address", ErrConfig)
	}
	for _, text := range c.Addresses {
		nodes, err := qualify.ParseAddress(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		list = append(list, nodes...)
	}
	for _, a := range list {
		if a.Dialect != list[0].Dialect || a.Dialect == qualify.Local && len(list) > 1 {
			return nil, fmt.Errorf("%w: several addresses have to be nodes of one SQL engine", ErrConfig)
		}
	}
	return list, nil
}
