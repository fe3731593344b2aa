package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/sterlingrun/sterling/journal"
)

// The append, in parts, so that a test can leave one out and see what then goes wrong.
const (
	insertColumns = `INSERT INTO sterling_block (cell, seq, hash, prev, epoch, kind, time, acknowledged, size, body)
SELECT $1::bigint, $2::bigint, $3::bytea, $4::bytea, $5::bigint, $6::smallint, $7::bigint, $8::bigint, $9::integer, $10::bytea`
	// insertFence is the fence: a unique key alone would let a deposed leader's late block n+1 in after another's n.
	insertFence = `
WHERE $2::bigint = 1 OR EXISTS (SELECT 1 FROM sterling_block WHERE cell = $1::bigint AND seq = $2::bigint - 1 AND hash = $4::bytea)`
	insertOnce = `
ON CONFLICT DO NOTHING`
	insertSQL = insertColumns + insertFence + insertOnce

	// lookSQL tells why nothing was inserted: what stands in the block's place and before it.
	lookSQL = `SELECT seq, hash FROM sterling_block WHERE cell = $1::bigint AND (seq = $2::bigint OR seq = $2::bigint - 1)`

	appendName, lookName = "sterling_append", "sterling_look"
)

// errNoCancel keeps the driver from sending a cancel request, which it does over a second connection.
var errNoCancel = errors.New("an append is never cancelled")

// writer is the connection that appends. Whoever holds Store.appending owns it.
type writer struct {
	conn      *pgconn.PgConn
	wire      net.Conn    // below conn and its TLS: closing it ends everything at once, without a word to the server
	connected atomic.Bool // from then on, dialling is refused
	warning   string      // what the server said beside its answer to the statement under way

	numbers [9][8]byte
	params  [10][]byte
}

// connectWriter opens a connection, sets its session up and prepares its statements.
func connectWriter(ctx context.Context, config *pgconn.Config, insert string) (*writer, error) {
	w := &writer{}
	c := config.Copy()
	dial := c.DialFunc
	c.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if w.connected.Load() {
			return nil, errNoCancel
		}
		wire, err := dial(ctx, network, address)
		w.wire = wire
		return wire, err
	}
	c.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { w.note(n) }
	conn, err := pgconn.ConnectConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	w.connected.Store(true)
	w.conn = conn
	if err := w.during(ctx, func() error { return w.prepare(insert) }); err != nil {
		w.drop()
		return nil, err
	}
	return w, nil
}

func (w *writer) prepare(insert string) error {
	if err := w.setUp(); err != nil {
		return fmt.Errorf("set the session up: %w", err)
	}
	oids := []uint32{
		pgtype.Int8OID, pgtype.Int8OID, pgtype.ByteaOID, pgtype.ByteaOID, pgtype.Int8OID, pgtype.Int2OID, pgtype.Int8OID,
		pgtype.Int8OID, pgtype.Int4OID, pgtype.ByteaOID,
	}
	if _, err := w.conn.Prepare(context.Background(), appendName, insert, oids); err != nil {
		return fmt.Errorf("prepare the append: %w", err)
	}
	if _, err := w.conn.Prepare(context.Background(), lookName, lookSQL, oids[:2]); err != nil {
		return fmt.Errorf("prepare the look: %w", err)
	}
	return nil
}

// sessionSettings are what an append needs whatever the server's, the database's or the role's defaults are. An engine
// that doesn't know one keeps its own ways.
func sessionSettings() map[string]string {
	return map[string]string{
		"statement_timeout":                   "0", // ends a statement by a cancel
		"transaction_timeout":                 "0",
		"idle_in_transaction_session_timeout": "0",
		"idle_session_timeout":                "0",
		// An append whose own bytes are still being committed by a lost connection waits for them. So that no heap of
		// connections waits while standbys are away, it gives up, with nothing written.
		"lock_timeout":                  "2000",
		"client_min_messages":           "warning", // a warning at commit is a doubt; it must not be kept from us
		"default_transaction_isolation": "read committed",
		"default_transaction_read_only": "off",
		"plan_cache_mode":               "force_generic_plan", // a custom plan copies the body
	}
}

// setUp makes the session fit for appends. Durable commits are the floor: a stricter setting is left.
func (w *writer) setUp() error {
	ctx := context.Background()
	wanted := sessionSettings()
	results, err := w.conn.Exec(ctx, "SELECT name, setting FROM pg_catalog.pg_settings").ReadAll()
	if err != nil {
		return err
	}
	if len(results) != 1 {
		return fmt.Errorf("%d results for the settings", len(results))
	}
	var set strings.Builder
	for _, row := range results[0].Rows {
		name, value := string(row[0]), string(row[1])
		want, ours := wanted[name]
		if name == "synchronous_commit" {
			want, ours = "on", !durableCommit(value)
		}
		if ours && value != want {
			fmt.Fprintf(&set, "SET %s = '%s';", name, want)
		}
	}
	if set.Len() == 0 {
		return nil
	}
	return w.conn.Exec(ctx, set.String()).Close()
}

// durableCommit reports whether a commit with this synchronous_commit waits for the disk, here and on the quorum.
func durableCommit(value string) bool {
	return value == "on" || value == "remote_apply" || value == "always"
}

// note keeps what the server says beside its answers. Only what is less than a warning is no doubt.
func (w *writer) note(n *pgconn.Notice) {
	switch n.SeverityUnlocalized {
	case "DEBUG", "LOG", "INFO", "NOTICE":
		return
	}
	w.warning = fmt.Sprintf("%s: %s (%s)", n.Severity, n.Message, n.Code)
}

// during runs f, which uses the connection, and cuts the wire when ctx ends meanwhile. Nothing else ends f early: the
// driver is given no context, because it would answer its end with a cancel request.
func (w *writer) during(ctx context.Context, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.wire.Close() })
	err := f()
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// insert runs the append and says whether a row came of it.
func (w *writer) insert(b *journal.Block) (bool, error) {
	w.warning = ""
	h := &b.Header
	w.number(0, h.Cell, 8)
	w.number(1, h.Seq, 8)
	w.params[2], w.params[3] = b.Hash[:], h.Prev[:]
	w.number(4, h.Epoch, 8)
	w.number(5, uint64(h.Kind), 2)
	w.number(6, h.Time, 8)
	w.number(7, h.Acked, 8)
	w.number(8, uint64(len(b.Raw)), 4)
	w.params[9] = b.Raw
	tag, err := w.conn.ExecPrepared(context.Background(), appendName, w.params[:], binaryFormat, nil).Close()
	w.params[2], w.params[3], w.params[9] = nil, nil, nil // the block is its maker's
	switch {
	case err != nil:
		return false, err
	case w.warning != "":
		return false, fmt.Errorf("the server warned: %s", w.warning)
	}
	return tag.RowsAffected() == 1, nil
}

// number makes parameter i the last size bytes of n, in network order.
func (w *writer) number(i int, n uint64, size int) {
	binary.BigEndian.PutUint64(w.numbers[i][:], n)
	w.params[i] = w.numbers[i][8-size:]
}

// look returns the hashes at a block's place and before it; nil where there is none.
func (w *writer) look(h *journal.Header) (here, before *journal.Hash, err error) {
	w.number(0, h.Cell, 8)
	w.number(1, h.Seq, 8)
	r := w.conn.ExecPrepared(context.Background(), lookName, w.params[:2], binaryFormat, binaryFormat).Read()
	if r.Err != nil {
		return nil, nil, r.Err
	}
	for _, row := range r.Rows {
		if len(row) != 2 || len(row[0]) != 8 || len(row[1]) != len(journal.Hash{}) {
			return nil, nil, fmt.Errorf("%d columns where a number and a hash were asked for", len(row))
		}
		hash := journal.Hash(row[1])
		if binary.BigEndian.Uint64(row[0]) == h.Seq {
			here = &hash
		} else {
			before = &hash
		}
	}
	return here, before, nil
}

var binaryFormat = []int16{1}

// drop ends the connection without asking the server to stop what it does.
func (w *writer) drop() {
	if w.wire != nil {
		_ = w.wire.Close() // whatever it says, the connection is of no use any more
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = w.conn.Close(ctx)
	<-w.conn.CleanupDone()
}
