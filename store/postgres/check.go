package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	settingsSQL = `SELECT name, setting FROM pg_catalog.pg_settings`
	standbysSQL = `SELECT application_name, coalesce(sync_state, '') FROM pg_catalog.pg_stat_replication`
	storageSQL  = `SELECT a.attstorage::text FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'sterling_block'::regclass AND a.attname = 'body'`

	oldest = 120000 // PostgreSQL 12: generic plans can be had
)

// Check reads the engine's settings and judges them by the rules for money. Its error says that it could not look;
// what it found is Report.Err. It does not believe more than settings tell: sterling qualify tries the engine.
func (s *Store) Check(ctx context.Context) (Report, error) {
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	conn, err := s.readers.Acquire(ctx)
	if err != nil {
		return Report{}, fmt.Errorf("check the engine: %w", err)
	}
	defer conn.Release()
	r, err := check(ctx, conn)
	if err == nil {
		err = s.checkWriter(ctx, &r)
	}
	if err != nil {
		return Report{}, fmt.Errorf("check the engine: %w", err)
	}
	return r, nil
}

func check(ctx context.Context, conn *pgxpool.Conn) (Report, error) {
	var r Report
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&r.Version); err != nil {
		return r, err
	}
	r.Engine = flavour(r.Version)
	settings, err := table(ctx, conn, settingsSQL)
	if err != nil {
		return r, err
	}
	var readOnly string
	if err := conn.QueryRow(ctx, "SHOW transaction_read_only").Scan(&readOnly); err != nil {
		return r, err
	}
	r.add(readOnly == "off", "transaction_read_only", readOnly, "off", "connect to the primary")
	if r.Engine != PostgreSQL { // their own replication; what is named like PostgreSQL's settings does nothing there
		r.Failover = true
		return r, nil
	}
	version, _ := strconv.Atoi(settings["server_version_num"])
	r.add(version >= oldest, "server_version", settings["server_version"], "12 or newer", "upgrade the server")
	for _, name := range []string{"fsync", "full_page_writes"} {
		r.add(settings[name] == "on", name, settings[name], "on", "set "+name+" = on in postgresql.conf and restart the server: without it a crash loses acknowledged blocks")
	}
	if err := checkStorage(ctx, conn, &r); err != nil {
		return r, err
	}
	return r, checkQuorum(ctx, conn, settings["synchronous_standby_names"], &r)
}

func checkStorage(ctx context.Context, conn *pgxpool.Conn, r *Report) error {
	var storage string
	if err := conn.QueryRow(ctx, storageSQL).Scan(&storage); err != nil {
		return err
	}
	r.add(storage == "e", "storage of sterling_block.body", storage, "e (external)", "ALTER TABLE sterling_block ALTER COLUMN body SET STORAGE EXTERNAL")
	return nil
}

// checkQuorum judges replication. Without standbys there is one server: fit, and no failover. With standbys, a commit
// has to wait for enough of them.
func checkQuorum(ctx context.Context, conn *pgxpool.Conn, names string, r *Report) error {
	rows, err := conn.Query(ctx, standbysSQL)
	if err != nil {
		return err
	}
	synchronous, others := 0, 0
	var name, state string
	if _, err := pgx.ForEachRow(rows, []any{&name, &state}, func() error {
		if state == "sync" || state == "quorum" {
			synchronous++
		} else {
			others++
		}
		return nil
	}); err != nil {
		return err
	}
	wanted, err := quorum(names)
	if err != nil {
		r.add(false, "synchronous_standby_names", names, "ANY n (…) or FIRST n (…)", "name the standbys that a commit waits for")
		return nil
	}
	found := fmt.Sprintf("%d synchronous, %d other standbys; synchronous_standby_names = %q", synchronous, others, names)
	if wanted == 0 {
		r.add(others == 0, "quorum", found, "no standbys, or commits that wait for them",
			"set synchronous_standby_names = 'ANY n (…)': a failover to an asynchronous standby loses acknowledged blocks")
		return nil
	}
	r.Failover = synchronous >= wanted
	r.add(r.Failover, "quorum", found, fmt.Sprintf("%d synchronous standbys", wanted),
		"attach the missing standbys (commits hang without them), and grant pg_monitor to this user if they are there")
	return nil
}

var standbyNames = regexp.MustCompile(`(?i)^\s*(?:(?:first|any)\s+)?(\d+)\s*\(`)

// quorum is how many standbys a commit waits for, by the text of synchronous_standby_names.
func quorum(names string) (int, error) {
	if strings.TrimSpace(names) == "" {
		return 0, nil
	}
	m := standbyNames.FindStringSubmatch(names)
	if m == nil {
		if strings.ContainsAny(names, "()") {
			return 0, errors.New("not understood")
		}
		return 1, nil // a plain list: the first of them that is there
	}
	return strconv.Atoi(m[1])
}

// table reads a query of two text columns.
func table(ctx context.Context, conn *pgxpool.Conn, query string) (map[string]string, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	result := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		result[name] = value
		return nil
	})
	return result, err
}

// checkWriter judges the session that appends, on a connection of its own.
func (s *Store) checkWriter(ctx context.Context, r *Report) error {
	w, err := connectWriter(ctx, s.config, s.insert)
	if err != nil {
		return err
	}
	defer w.drop()
	var found string
	err = w.during(ctx, func() error {
		results, err := w.conn.Exec(context.Background(), "SHOW synchronous_commit").ReadAll()
		if err == nil && (len(results) != 1 || len(results[0].Rows) != 1) {
			err = errors.New("synchronous_commit has no value")
		}
		if err == nil {
			found = string(results[0].Rows[0][0])
		}
		return err
	})
	if err != nil {
		return err
	}
	r.add(durableCommit(found), "synchronous_commit of appends", found, "on or remote_apply", "allow this user to SET synchronous_commit = on")
	return nil
}
