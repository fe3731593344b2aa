// Package rules asks an engine for its settings and judges them by the rules for money: what must be on so that an
// acknowledged commit is on the disk, and on enough disks. The rules themselves are the stores': what a store demands
// when a ledger runs on it is what a qualification demands. It believes settings; the other packages try the engine.
//
// Start reading at SQL.
package rules

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/qualify"
	"github.com/sterlingrun/sterling/store/mysql"
	"github.com/sterlingrun/sterling/store/postgres"
)

// rule is one as the stores tell it.
type rule struct {
	name, found, wanted, change string
	fit                         bool
}

// found is what a store says about its engine.
type found struct {
	engine, version string
	failover        bool
	rules           []rule
}

// SQL judges the settings of each node; dsns lead to a scratch schema, where the stores make their tables. It returns
// the engine's name and version.
func SQL(ctx context.Context, dialect qualify.Dialect, dsns []string, s *qualify.Section) (engine string, err error) {
	for i, dsn := range dsns {
		f, err := ask(ctx, dialect, dsn)
		if err != nil {
			return "", fmt.Errorf("ask node %d for its settings: %w", i+1, err)
		}
		where, id := "", "rules."
		if len(dsns) > 1 {
			where, id = fmt.Sprintf("Node %d: ", i+1), fmt.Sprintf("rules.%d.", i+1)
		}
		for _, r := range f.rules {
			s.Add(r.fit, qualify.Check{ID: id + r.name, Title: where + r.name, Found: r.found, Wanted: r.wanted, Why: because(r)})
		}
		failover := qualify.Check{ID: id + "failover", Title: where + "a commit waits for other servers", Found: "no"}
		if f.failover {
			failover.Found = "yes: one of them can take over"
		} else {
			s.Limit("The engine is one server: what it acknowledged is lost with its disk, and nothing takes over.")
		}
		s.Note(failover)
		if i == 0 {
			engine = name(f)
		}
	}
	return engine, nil
}

// reasons say why a rule is one, by the names that the stores give them.
var reasons = map[string]string{
	"transaction_read_only":               "a ledger's journal needs the server that takes writes",
	"read_only":                           "a ledger's journal needs a server that takes writes",
	"innodb_read_only":                    "a ledger's journal needs a server that takes writes",
	"super_read_only":                     "a ledger's journal needs a server that takes writes",
	"server_version":                      "older ones lack what the store relies on",
	"fsync":                               "without it a commit is acknowledged before it is on the disk, and a power cut takes it back",
	"full_page_writes":                    "without it a power cut in the middle of a page's write leaves a page that recovery can't mend",
	"storage of sterling_block.body":      "blocks are not to be compressed, which costs time and gains nothing",
	"quorum":                              "a failover to a standby that a commit did not wait for loses acknowledged money",
	"synchronous_standby_names":           "a failover to a standby that a commit did not wait for loses acknowledged money",
	"synchronous_commit of appends":       "a commit has to wait for the disk, and for the standbys where there are some",
	"max_allowed_packet":                  "a block is sent in one piece",
	"isolation of our sessions":           "what the store's statements were made and tested for",
	"sql_mode of our sessions":            "without strict mode a value that does not fit is cut and stored",
	"binlog_format":                       "statements that are repeated on another server may do something else there",
	"tidb_txn_mode of our sessions":       "the store relies on locks that are taken when a row is written",
	"ob_read_consistency of our sessions": "a weak read may show an older end of the journal",
	"innodb_flush_log_at_trx_commit":      "with 0 or 2 a commit is acknowledged before it is on the disk",
	"innodb_doublewrite":                  "without it a power cut in the middle of a page's write leaves a page that recovery can't mend",
	"sync_binlog":                         "recovery rolls back what the binary log has lost",
	"innodb_log_file_size":                "a block has to fit into the redo log",
	"innodb_redo_log_capacity":            "a block has to fit into the redo log",
	"engine of sterling_block":            "only a transactional engine keeps or drops a block as a whole",
	"type of sterling_block.body":         "a BLOB holds 64 KB, a block up to 2 MiB",
	"wsrep_cluster_status":                "only the part with the majority may write",
	"wsrep_local_state_comment":           "a node that is behind reads an older journal",
	"wsrep_cluster_size":                  "after the loss of one node the others have to be a majority",
	"pc.ignore_quorum":                    "two halves of a cut network would both write",
	"pc.ignore_sb":                        "two halves of a cut network would both write",
	"wsrep_sync_wait of our reads":        "a node applies others' commits a moment later; reads have to wait for them",
	"replicas":                            "MySQL's own replication acknowledges before, or at times without, the other server",
}

// because says why a rule is one, and for a broken one what to change.
func because(r rule) string {
	why := reasons[r.name]
	switch {
	case r.change == "":
		return why
	case why == "":
		return "to change it: " + r.change
	}
	return why + "; to change it: " + r.change
}

// name is the engine with its version, which some tell with their own name in front and their compiler behind.
func name(f found) string {
	version, _, _ := strings.Cut(f.version, " on ")
	return f.engine + " " + strings.TrimSpace(strings.TrimPrefix(version, f.engine))
}

// ask opens a store in the scratch schema and asks it.
func ask(ctx context.Context, dialect qualify.Dialect, dsn string) (f found, err error) {
	if dialect == qualify.PostgreSQL {
		store, err := postgres.Open(ctx, postgres.Options{DSN: dsn, Cell: 1})
		if err != nil {
			return f, err
		}
		defer closing(store, &err)
		r, err := store.Check(ctx)
		f = found{engine: r.Engine, version: r.Version, failover: r.Failover}
		for _, x := range r.Rules {
			f.rules = append(f.rules, rule{x.Name, x.Found, x.Wanted, x.Change, x.Fit})
		}
		return f, err
	}
	store, err := mysql.Open(ctx, mysql.Options{DSN: dsn, Cell: 1})
	if err != nil {
		return f, err
	}
	defer closing(store, &err)
	r, err := store.Check(ctx)
	f = found{engine: r.Engine, version: r.Version, failover: r.Failover}
	for _, x := range r.Rules {
		f.rules = append(f.rules, rule{x.Name, x.Found, x.Wanted, x.Change, x.Fit})
	}
	return f, err
}

func closing(c io.Closer, err *error) { *err = errors.Join(*err, c.Close()) }

// least is the shortest time, in milliseconds, that a write and its fdatasync take on anything that keeps data without
// power; memory is faster.
const least = 0.005

// notKept are file systems that forget, or that promise nothing about fsync.
var notKept = map[string]string{
	"tmpfs": "memory", "ramfs": "memory", "nfs": "a network", "nfs4": "a network", "cifs": "a network", "smb3": "a network", "9p": "another machine", "fuse": "another program",
}

// Local judges the disk below a local store, which was measured before.
func Local(m *bench.Machine, s *qualify.Section) {
	where, bad := notKept[m.FileSystem]
	if strings.HasPrefix(m.FileSystem, "fuse.") {
		where, bad = "another program", true
	}
	text := m.FileSystem
	if bad {
		text += ", which is kept in " + where
	}
	s.Add(!bad, qualify.Check{
		ID: "rules.filesystem", Title: "The folder is on a disk of this machine", Found: text, Wanted: "a local file system on a disk, such as ext4 or xfs",
		Why: "memory is gone with the power, and others promise less about fsync: put the data folder on a local disk",
	})
	s.Add(m.SyncP50 >= least, qualify.Check{
		ID: "rules.fdatasync", Title: "fdatasync waits for something", Found: fmt.Sprintf("p50 %.3f ms for 4 KiB", m.SyncP50), Wanted: fmt.Sprintf("at least %.3f ms", least),
		Why: "an answer that comes at once comes from memory: look at the disk's write cache, and at mount options such as nobarrier",
	})
	s.Limit("One disk of one machine: what was acknowledged is lost with it. A disk that lies about its cache can't be found out by software.")
}
