package tpcc

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/sterlingrun/sterling/qualify"
)

// bulk writes many rows into one table: by COPY where there is one, otherwise by long INSERTs.
type bulk interface {
	// row adds a row: integers, strings, cents, times and nil, in the order of the columns.
	row(values ...any) error
	// end writes what is left. Exactly one of end and abandon ends a bulk.
	end() error
	abandon()
}

func (d *Database) bulk(ctx context.Context, table string, columns ...string) (bulk, error) {
	if d.Dialect == qualify.PostgreSQL {
		return newCopier(ctx, d.DB, table, columns)
	}
	return newInserter(ctx, d.DB, table, columns)
}

// copier streams rows in the text format of COPY.
type copier struct {
	conn *sql.Conn
	pipe *io.PipeWriter
	done chan struct{} // closed when COPY has ended
	err  error         // of COPY, once it has ended
	buf  bytes.Buffer
}

func newCopier(ctx context.Context, db *sql.DB, table string, columns []string) (*copier, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", table, err)
	}
	r, w := io.Pipe()
	c := &copier{conn: conn, pipe: w, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = conn.Raw(func(raw any) error {
			_, err := raw.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, r, "COPY "+table+" ("+strings.Join(columns, ", ")+") FROM STDIN")
			return err
		})
		_ = r.CloseWithError(c.err) // so that a writer does not wait for a reader that is gone
	}()
	return c, nil
}

func (c *copier) row(values ...any) error {
	for i, v := range values {
		if i > 0 {
			c.buf.WriteByte('\t')
		}
		switch v := v.(type) {
		case nil:
			c.buf.WriteString(`\N`)
		case time.Time:
			c.buf.WriteString(v.Format("2006-01-02 15:04:05"))
		default: // none of our texts has a character that COPY escapes
			fmt.Fprint(&c.buf, v)
		}
	}
	c.buf.WriteByte('\n')
	if c.buf.Len() < 64<<10 {
		return nil
	}
	return c.flush()
}

func (c *copier) flush() error {
	_, err := c.pipe.Write(c.buf.Bytes())
	c.buf.Reset()
	return err
}

func (c *copier) end() error {
	err := c.flush()
	_ = c.pipe.CloseWithError(err) // nil: the end of the data
	<-c.done
	return errors.Join(c.err, c.conn.Close())
}

func (c *copier) abandon() {
	_ = c.pipe.CloseWithError(errors.New("abandoned"))
	<-c.done
	_ = c.conn.Close()
}

// inserter writes INSERTs of many rows, a few of them in each transaction.
type inserter struct {
	ctx        context.Context
	db         *sql.DB
	tx         *sql.Tx
	head, one  string
	args       []any
	rows, sent int
}

const (
	rowsOfInsert      = 500
	insertsOfTransact = 20
)

func newInserter(ctx context.Context, db *sql.DB, table string, columns []string) (*inserter, error) {
	return &inserter{
		ctx: ctx, db: db, head: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ",
		one: "(?" + strings.Repeat(",?", len(columns)-1) + ")",
	}, nil
}

func (n *inserter) row(values ...any) error {
	for _, v := range values {
		if c, ok := v.(cents); ok {
			v = c.String()
		}
		n.args = append(n.args, v)
	}
	if n.rows++; n.rows < rowsOfInsert {
		return nil
	}
	return n.flush()
}

func (n *inserter) flush() (err error) {
	if n.rows == 0 {
		return nil
	}
	if n.tx == nil {
		if n.tx, err = n.db.BeginTx(n.ctx, nil); err != nil {
			return err
		}
	}
	if _, err := n.tx.ExecContext(n.ctx, n.head+n.one+strings.Repeat(","+n.one, n.rows-1), n.args...); err != nil {
		return err
	}
	n.args, n.rows = n.args[:0], 0
	if n.sent++; n.sent%insertsOfTransact == 0 {
		err := n.tx.Commit()
		n.tx = nil
		return err
	}
	return nil
}

func (n *inserter) end() error {
	if err := n.flush(); err != nil {
		n.abandon()
		return err
	}
	if n.tx == nil {
		return nil
	}
	return n.tx.Commit()
}

func (n *inserter) abandon() {
	if n.tx != nil {
		_ = n.tx.Rollback()
		n.tx = nil
	}
}
