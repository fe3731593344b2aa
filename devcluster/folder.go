package devcluster

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/durable"
)

// folder has what a cluster keeps: what all nodes share (the database's address, the secret of the cells, tokens), what
// cluster.json tells of the processes, and for each node cell-N-node-M/ (its data), .yaml (configuration) and .log.
type folder string

const (
	stateFile  = "cluster.json"
	lockFile   = "LOCK"
	dsnFile    = "dsn"
	secretFile = "cells.secret"

	maxState = 1 << 20
)

// State is what cluster.json tells.
type State struct {
	Cells        int    `json:"cells"`
	NodesPerCell int    `json:"nodes_per_cell"`
	Nodes        []Node `json:"nodes"` // PID 0: not running
}

// ErrNoDatabase is a cluster that was given none, with a folder that has none.
var ErrNoDatabase = errors.New("no database")

// ErrNoCluster is a folder without a cluster.
var ErrNoCluster = errors.New("no cluster was ever started with this folder")

// Read tells what was started with a folder, by this process or another one.
func Read(dir string) (State, error) {
	f, err := os.Open(filepath.Join(dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return State{}, fmt.Errorf("%w: %s", ErrNoCluster, dir)
	}
	if err != nil {
		return State{}, err
	}
	defer f.Close() //nolint:errcheck // only read
	var s State
	if err := json.NewDecoder(io.LimitReader(f, maxState)).Decode(&s); err != nil {
		return State{}, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if s.Cells < 1 || s.Cells > maxCells || s.NodesPerCell < 1 || s.NodesPerCell > maxNodes || len(s.Nodes) != s.Cells*s.NodesPerCell {
		return State{}, fmt.Errorf("read %s: %d cells of %d nodes, and %d nodes in all", f.Name(), s.Cells, s.NodesPerCell, len(s.Nodes))
	}
	return s, nil
}

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// node is the node's data folder; its other files begin with the same name.
func (f folder) node(n *Node) string { return f.path(fmt.Sprintf("cell-%d-node-%d", n.Cell, n.Number)) }

func (f folder) write(s *State) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	return durable.WriteFile(f.path(stateFile), append(b, '\n'))
}

// A lock keeps a second cluster out of a folder. The system gives it back when the process ends.
type lock struct{ file *os.File }

// prepare makes the folder and takes it.
func (f folder) prepare() (*lock, error) {
	if f == "" {
		return nil, fmt.Errorf("%w: want a folder", ErrOptions)
	}
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	file, err := os.OpenFile(f.path(lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cluster's folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = errors.Join(err, file.Close())
		return nil, fmt.Errorf("%w: %s is in use: a cluster runs on it (sterling cluster status --data %[2]s): %[3]w", ErrOptions, string(f), err)
	}
	return &lock{file}, nil
}

func (l *lock) release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}

// database returns the database's address that the folder has, where none is given.
func (f folder) database(dsn string) (string, error) {
	if dsn != "" {
		return dsn, nil
	}
	b, err := os.ReadFile(f.path(dsnFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", ErrNoDatabase
	case err != nil:
		return "", fmt.Errorf("read the database's address: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// keepDatabase keeps the address of a database that could be opened, for the nodes and the next start: it may hold a
// password. Another one than before may lead to the same database; where it doesn't, the nodes find out, since their
// folders name their journal.
func (f folder) keepDatabase(dsn string) error {
	return durable.WriteFile(f.path(dsnFile), []byte(dsn+"\n"))
}

// share makes the secret of the cells and the tokens, and gives each node the tokens.
func (f folder) share(nodes []Node) error {
	if _, err := os.Stat(f.path(secretFile)); errors.Is(err, os.ErrNotExist) {
		var secret [32]byte
		if _, err := rand.Read(secret[:]); err != nil {
			return fmt.Errorf("make the secret of the cells: %w", err)
		}
		if err := durable.WriteFile(f.path(secretFile), []byte(hex.EncodeToString(secret[:])+"\n")); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("look for the secret of the cells: %w", err)
	}
	if _, err := auth.Bootstrap(string(f), time.Now(), rand.Reader); err != nil {
		return err
	}
	for i := range nodes {
		if err := os.MkdirAll(f.node(&nodes[i]), 0o700); err != nil {
			return fmt.Errorf("make a node's folder: %w", err)
		}
		for _, name := range []string{auth.TokensFile, auth.AdminFile} {
			b, err := os.ReadFile(f.path(name))
			if err == nil {
				err = durable.WriteFile(filepath.Join(f.node(&nodes[i]), name), b)
			}
			if err != nil {
				return fmt.Errorf("give a node the tokens: %w", err)
			}
		}
	}
	return nil
}

// configure writes a node's configuration.
func (f folder) configure(n *Node, file string, lease time.Duration) error {
	return durable.WriteFile(file, fmt.Appendf(nil, `cell: %d
data: %q
listen: %q
store:
  dsn_file: %q
  lease: %v
cells:
  secret_file: %q
`, n.Cell, f.node(n), n.Address, f.path(dsnFile), lease, f.path(secretFile)))
}
