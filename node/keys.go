package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/keystore"
	"github.com/sterlingrun/sterling/ledger"
)

const (
	keysDir    = "keys"
	keysExport = "keys.export" // in the data folder: put there by a restore, taken in by the next start
)

// openKeys opens the keys of personal metadata; after a restore it takes them in first.
func (n *Node) openKeys(ctx context.Context) (err error) {
	if n.config.Store.Shared() {
		return nil // keys are a folder's, and the nodes of a cell have one each: personal metadata is refused
	}
	n.keys, err = openKeys(ctx, n.config, n.clock)
	n.copies = keyTargets(n.config)
	return err
}

func openKeys(ctx context.Context, config Config, c clock.Clock) (*keystore.Store, error) {
	o := keystore.Options{Dir: filepath.Join(config.Data, keysDir), Clock: c}
	path, export := masterKey(config), filepath.Join(config.Data, keysExport)
	m, err := keystore.RestoredMaster(ctx, o.Dir, path, export)
	if err != nil {
		return nil, err
	}
	o.Master = m
	if err := keystore.ImportFile(ctx, o, export); err != nil {
		return nil, err
	}
	return keystore.Open(ctx, o)
}

// masterKey is where the master key lies.
func masterKey(config Config) string {
	if config.MasterKey != "" {
		return config.MasterKey
	}
	return filepath.Join(config.Data, keysDir, keystore.MasterFile)
}

// applyErasures destroys the keys of subjects that the journal says are erased: a crash may have come in between, or
// the keys are from an older copy. Nothing is served before that.
func (n *Node) applyErasures(ctx context.Context) error {
	if n.keys == nil {
		return nil
	}
	var journaled []ledger.Erasure
	if err := n.cell.Read(ctx, func(s *ledger.State) { journaled = s.Erasures() }); err != nil {
		return fmt.Errorf("read the journaled erasures: %w", err)
	}
	applied, err := n.keys.ApplyErasures(ctx, func(yield func(keystore.Erasure) bool) {
		for i := range journaled {
			e := &journaled[i]
			if !yield(keystore.Erasure{Subject: keystore.Hash(e.Subject), When: e.Timestamp, By: e.Actor, ID: api.IDBytes(e.ID)}) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("apply the journaled erasures to the keys: %w", err)
	}
	if applied > 0 {
		n.logger.Warn("keys of erased subjects were still there, and are destroyed now", "subjects", applied)
	}
	return nil
}

// keyTarget is where a backup keeps its copy of the keys.
type keyTarget struct {
	name string
	put  func(ctx context.Context, export io.Reader, size int64) error
}

// keysExtras are what lies beside a backup: the keys of personal metadata, wrapped, in their last version. A ledger that
// never had any has none, so that restoring it takes no master key.
func keysExtras(keys *keystore.Store) []backup.Extra {
	if keys == nil {
		return nil
	}
	if s := keys.Stats(); s.Subjects+s.Erased == 0 {
		return nil
	}
	return []backup.Extra{{Name: keysExport, Source: keys.Publish}}
}

// keyTargets are the places where backups keep a copy of the keys: an erasure takes the key out of it, too.
func keyTargets(config Config) (list []keyTarget) {
	if config.Backup == nil {
		return nil
	}
	for _, name := range config.Backup.names() {
		list = append(list, keyTarget{name, func(ctx context.Context, export io.Reader, size int64) error {
			r, err := OpenRepository(config.Backup.Targets[name].URL)
			if err != nil {
				return err
			}
			return backup.PutExtra(ctx, r, uint64(config.Cell), backup.Extra{
				Name: keysExport,
				Source: func(ctx context.Context, put func(context.Context, io.Reader, int64) error) error {
					return put(ctx, export, size)
				},
			})
		}})
	}
	return list
}

// subjects erases in the key store, and then in the copies of the backups.
type subjects struct {
	*keystore.Store
	targets []keyTarget
}

// Erase implements [api.Subjects].
func (s subjects) Erase(ctx context.Context, e keystore.Erasure) (copies []api.KeyCopy, err error) {
	if _, err := s.Store.Erase(ctx, e); err != nil {
		return nil, err
	}
	for _, t := range s.targets {
		copies = append(copies, api.KeyCopy{Target: t.name, Err: s.Publish(ctx, t.put)})
	}
	return copies, nil
}

// RotateMasterKey gives the keys of a data folder, on which nothing runs, a new master key in the place of the old one.
func RotateMasterKey(ctx context.Context, config Config) (err error) {
	if _, err := os.Stat(filepath.Join(config.Data, keysDir)); err != nil {
		return fmt.Errorf("look for the keys: %w", err) // a mistaken folder gets none
	}
	keys, err := openKeys(ctx, config, clock.NewSystem())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.Close()) }()
	return keys.RotateFile(ctx, masterKey(config))
}
