package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// The engines of the family, as Report names them.
const (
	MySQL     = "MySQL"
	MariaDB   = "MariaDB"
	TiDB      = "TiDB"
	OceanBase = "OceanBase"
)

const (
	tableSQL = `SELECT t.engine, c.data_type FROM information_schema.tables t
JOIN information_schema.columns c ON c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.column_name = 'body'
WHERE t.table_schema = DATABASE() AND t.table_name = 'sterling_block'`
	dumpsSQL = `SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'`

	leastPacket = 4 << 20  // bytes: twice the largest block
	leastRedo   = 24 << 20 // bytes: a row may take a tenth of the redo log
	leastNodes  = 3        // of a Galera cluster: after a loss the others are a majority
)

// Check reads the engine's settings and judges them by the rules for money. Its error says that it could not look;
// what it found is Report.Err. It does not believe more than settings tell: sterling qualify tries the engine.
func (s *Store) Check(ctx context.Context) (Report, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	r, err := s.check(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("check the engine: %w", err)
	}
	return r, nil
}

func (s *Store) check(ctx context.Context) (r Report, err error) {
	conn, err := s.readers.Conn(ctx)
	if err != nil {
		return r, err
	}
	defer conn.Close() //nolint:errcheck // given back
	if err := conn.QueryRowContext(ctx, "SELECT VERSION()").Scan(&r.Version); err != nil {
		return r, err
	}
	r.Engine = flavour(r.Version)
	has, err := table(ctx, conn, "SHOW GLOBAL VARIABLES")
	if err != nil {
		return r, err
	}
	for _, name := range readOnlySettings() {
		if value, ok := has[name]; ok {
			r.add(value == "OFF" || value == "0", name, value, "OFF", "connect to a server that takes writes")
		}
	}
	r.number(has, "max_allowed_packet", leastPacket, "raise max_allowed_packet: a block has up to 2 MiB")
	session, err := table(ctx, conn, "SHOW SESSION VARIABLES")
	if err != nil {
		return r, err
	}
	r.session(session)
	if err := checkTable(ctx, conn, &r); err != nil {
		return r, err
	}
	if r.Engine == TiDB || r.Engine == OceanBase { // their own storage and replication
		r.Failover = true
		return r, nil
	}
	r.innodb(has)
	if has["wsrep_on"] == "ON" {
		return r, checkGalera(ctx, conn, has, &r)
	}
	return r, checkReplicas(ctx, conn, &r)
}

func flavour(version string) string {
	for _, name := range []string{TiDB, OceanBase, MariaDB} {
		if strings.Contains(strings.ToLower(version), strings.ToLower(name)) {
			return name
		}
	}
	return MySQL
}

// session judges what Open's sessions came to.
func (r *Report) session(has map[string]string) {
	isolation := has["transaction_isolation"]
	if isolation == "" {
		isolation = has["tx_isolation"]
	}
	r.add(isolation == "READ-COMMITTED", "isolation of our sessions", isolation, "READ-COMMITTED", "allow READ COMMITTED")
	mode := has["sql_mode"]
	r.add(strings.Contains(mode, "STRICT_ALL_TABLES"), "sql_mode of our sessions", mode, "STRICT_ALL_TABLES", "allow sessions to set sql_mode")
	if has["log_bin"] == "ON" {
		r.add(has["binlog_format"] != "STATEMENT", "binlog_format", has["binlog_format"], "ROW", "set binlog_format = ROW: READ COMMITTED needs it")
	}
	if mode, ok := has["tidb_txn_mode"]; ok {
		r.add(mode == "pessimistic", "tidb_txn_mode of our sessions", mode, "pessimistic", "set tidb_txn_mode = 'pessimistic'")
	}
	if value, ok := has["ob_read_consistency"]; ok {
		r.add(strings.EqualFold(value, "strong") || value == "3", "ob_read_consistency of our sessions", value, "STRONG", "set ob_read_consistency = STRONG")
	}
}

// innodb judges whether what InnoDB acknowledged survives a crash.
func (r *Report) innodb(has map[string]string) {
	r.add(has["innodb_flush_log_at_trx_commit"] == "1", "innodb_flush_log_at_trx_commit", has["innodb_flush_log_at_trx_commit"], "1",
		"set innodb_flush_log_at_trx_commit = 1: without it a crash loses acknowledged blocks")
	doublewrite := strings.ToUpper(has["innodb_doublewrite"])
	r.add(doublewrite != "OFF" && doublewrite != "0" && doublewrite != "DETECT_ONLY", "innodb_doublewrite", doublewrite, "ON",
		"set innodb_doublewrite = ON: without it a crash can tear pages")
	if has["log_bin"] == "ON" {
		r.add(has["sync_binlog"] == "1", "sync_binlog", has["sync_binlog"], "1",
			"set sync_binlog = 1, or turn the binary log off: recovery takes back what the binary log has lost")
	}
	redo := "innodb_log_file_size"
	if _, ok := has["innodb_redo_log_capacity"]; ok {
		redo = "innodb_redo_log_capacity"
	} else if files, err := strconv.ParseUint(has["innodb_log_files_in_group"], 10, 16); err == nil && files > 1 {
		if size, err := strconv.ParseUint(has[redo], 10, 62); err == nil {
			has[redo] = strconv.FormatUint(size*files, 10)
		}
	}
	r.number(has, redo, leastRedo, "raise it: a block of 2 MiB must be at most a tenth of the redo log")
}

// number adds a rule of at least so many bytes.
func (r *Report) number(has map[string]string, name string, least uint64, change string) {
	value, err := strconv.ParseUint(has[name], 10, 64)
	r.add(err == nil && value >= least, name, has[name], fmt.Sprintf("at least %d", least), change)
}

func checkTable(ctx context.Context, conn *sql.Conn, r *Report) error {
	var engine, body string
	if err := conn.QueryRowContext(ctx, tableSQL).Scan(&engine, &body); err != nil {
		return fmt.Errorf("look at table sterling_block: %w", err)
	}
	if r.Engine == MySQL || r.Engine == MariaDB {
		r.add(engine == "InnoDB", "engine of sterling_block", engine, "InnoDB", "ALTER TABLE sterling_block ENGINE = InnoDB")
	}
	body = strings.ToLower(body)
	r.add(body == "mediumblob" || body == "longblob", "type of sterling_block.body", body, "mediumblob", "ALTER TABLE sterling_block MODIFY body MEDIUMBLOB NOT NULL")
	return nil
}

func checkGalera(ctx context.Context, conn *sql.Conn, has map[string]string, r *Report) error {
	status, err := table(ctx, conn, "SHOW STATUS LIKE 'wsrep\\_%'")
	if err != nil {
		return err
	}
	r.add(status["wsrep_cluster_status"] == "Primary", "wsrep_cluster_status", status["wsrep_cluster_status"], "Primary", "connect to a node of the majority")
	r.add(status["wsrep_local_state_comment"] == "Synced", "wsrep_local_state_comment", status["wsrep_local_state_comment"], "Synced", "wait until the node has caught up")
	nodes, _ := strconv.Atoi(status["wsrep_cluster_size"])
	r.Failover = nodes >= leastNodes
	r.add(r.Failover, "wsrep_cluster_size", status["wsrep_cluster_size"], fmt.Sprintf("%d or more", leastNodes), "attach the missing nodes: after one more loss the rest has no majority")
	for _, option := range []string{"pc.ignore_quorum", "pc.ignore_sb"} {
		value := providerOption(has["wsrep_provider_options"], option)
		r.add(value == "false" || value == "no" || value == "0", option, value, "false", "set "+option+"=false in wsrep_provider_options: with it two halves can both go on")
	}
	var wait string
	if err := conn.QueryRowContext(ctx, "SELECT @@wsrep_sync_wait").Scan(&wait); err != nil {
		return err
	}
	r.add(wait == "7", "wsrep_sync_wait of our reads", wait, "7", "allow sessions to set wsrep_sync_wait")
	return nil
}

// providerOption finds one of Galera's "name = value; name = value".
func providerOption(options, name string) string {
	for part := range strings.SplitSeq(options, ";") {
		if key, value, ok := strings.Cut(part, "="); ok && strings.TrimSpace(key) == name {
			return strings.ToLower(strings.TrimSpace(value))
		}
	}
	return ""
}

// checkReplicas: a server alone is fit, without failover. The family's own replication is asynchronous, or
// semi-synchronous and falls back to asynchronous by itself.
func checkReplicas(ctx context.Context, conn *sql.Conn, r *Report) error {
	var n int
	if err := conn.QueryRowContext(ctx, dumpsSQL).Scan(&n); err != nil {
		return err
	}
	r.add(n == 0, "replicas", strconv.Itoa(n), "none, or Galera",
		"use a cluster whose commits wait for a majority: a failover to an asynchronous or semi-synchronous replica loses acknowledged blocks")
	return nil
}

// table reads a query of two text columns.
func table(ctx context.Context, conn *sql.Conn, query string) (map[string]string, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // read to the end
	result := map[string]string{}
	for rows.Next() {
		var name string
		var value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		result[strings.ToLower(name)] = value.String
	}
	return result, rows.Err()
}
