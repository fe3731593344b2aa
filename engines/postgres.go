package engines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// Postgres is one PostgreSQL server, seen through one of its databases. Safe for concurrent use.
type Postgres struct {
	*postgresServer
	database string
}

// postgresServer is the server behind every view.
type postgresServer struct {
	programs string // the folder of PostgreSQL's programs
	home     *home
	log      *slog.Logger
	password string
	port     int

	// process is the newest one; nil before the first start. It is replaced under mu, and read without: a server can be
	// killed while it starts.
	process atomic.Pointer[process]
	mu      sync.Mutex // held during starts and ends; guards closed
	closed  bool
}

// StartPostgres makes a data folder and starts a PostgreSQL server in it, on a free port of loopback, with fsync,
// full_page_writes and data checksums on. It returns when the server takes connections, within 90 seconds. ctx bounds
// the start only; Close ends the server. ErrMissing: PostgreSQL is not installed.
func StartPostgres(ctx context.Context, o Options) (*Postgres, error) {
	p, err := newPostgres(o)
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	if err = p.initialise(ctx, o.Settings); err == nil {
		err = p.Restart(ctx)
	}
	if err == nil {
		_, err = p.CreateDatabase(ctx, firstDatabase)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), p.Close())
	}
	p.database = firstDatabase
	return p, nil
}

var errNotReady = fmt.Errorf("not ready within %v", startWithin)

// newPostgres prepares a server that has no data yet. It is seen through the database that initdb makes.
func newPostgres(o Options) (*Postgres, error) {
	programs, err := postgresPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged("postgres", "nobody")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	h, err := newHome(o.Dir, "postgres", owner)
	if err != nil {
		return nil, err
	}
	server := &postgresServer{programs: programs, home: h, log: o.logger(), password: newPassword(), port: ports[0]}
	return &Postgres{postgresServer: server, database: "postgres"}, nil
}

// initialise makes the data folder.
func (s *postgresServer) initialise(ctx context.Context, settings map[string]string) error {
	const passwordFile = "password"
	if err := s.home.write(passwordFile, s.password); err != nil {
		return err
	}
	err := s.command("initdb", "--pgdata="+s.data(), "--username="+superuser, "--pwfile="+s.home.path(passwordFile),
		"--auth=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8", "--data-checksums").run(ctx)
	if err = errors.Join(err, s.home.remove(passwordFile)); err != nil {
		return err
	}
	return s.configure(settings)
}

// configure writes postgresql.conf anew. Options of a command line would outlive a change of it; files do not.
func (s *postgresServer) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": "", // paths of sockets are limited to 108 bytes
		"max_connections":         "200",
		"shared_buffers":          "64MB",
		"fsync":                   "on",
		"full_page_writes":        "on",
		"synchronous_commit":      "on",
		"wal_level":               "replica",
		"wal_log_hints":           "on", // pg_rewind wants it, or checksums
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return s.home.write(filepath.Join("data", "postgresql.conf"), text.String())
}

func (s *postgresServer) data() string { return s.home.path("data") }

func (s *postgresServer) command(program string, args ...string) command {
	return command{
		program: filepath.Join(s.programs, program), args: args,
		owner: s.home.owner, dir: s.home.dir, logFile: s.home.path("log"),
	}
}

// DSN is the address of the database, with the password of a superuser, for pgx: postgres://….
func (p *Postgres) DSN() string { return p.dsn(p.database) }

func (s *postgresServer) dsn(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(superuser, s.password), Host: address(s.port), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Port is the server's port on 127.0.0.1. It stays the same over restarts.
func (s *postgresServer) Port() int { return s.port }

// Pid is the server's process; 0 while it does not run.
func (s *postgresServer) Pid() int {
	if p := s.process.Load(); p.alive() {
		return p.pid
	}
	return 0
}

// Log is the file that the server writes its log to.
func (s *postgresServer) Log() string { return s.home.path("log") }

// Kill ends the whole server at once (SIGKILL to it and its children) and waits until it is gone. What it had not
// synced is still in the page cache: this is a crash of the server, not a loss of power.
func (s *postgresServer) Kill() error {
	s.log.Info("kill PostgreSQL", "port", s.port)
	return s.process.Load().kill()
}

// Stop freezes the whole server (SIGSTOP): connections stay open, and nothing answers.
func (s *postgresServer) Stop() error {
	s.log.Info("stop PostgreSQL", "port", s.port)
	return s.process.Load().stop()
}

// Continue lets a stopped server go on.
func (s *postgresServer) Continue() error {
	s.log.Info("continue PostgreSQL", "port", s.port)
	return s.process.Load().resume()
}

// Restart shuts the server down if it runs, starts it on the same data and port, and returns when it takes
// connections, within 90 seconds.
func (s *postgresServer) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("restart PostgreSQL: it is closed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	if err := s.process.Load().shutdown(syscall.SIGINT); err != nil { // "fast": connections are ended, work is rolled back
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	process, err := s.command("postgres", "-D", s.data()).start()
	if err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	s.process.Store(process)
	if err := poll(ctx, process.done, s.ping); err != nil {
		return errors.Join(fmt.Errorf("restart PostgreSQL on port %d: %w; %s", s.port, err, process.lastLines()), process.kill())
	}
	s.log.Info("PostgreSQL is ready", "port", s.port, "pid", process.pid)
	return nil
}

// ping connects and asks. The database is one that every server has.
func (s *postgresServer) ping(ctx context.Context) error {
	return s.with(ctx, s.dsn("postgres"), func(c *pgx.Conn) error { return c.Ping(ctx) })
}

// with calls use with a connection of its own.
func (*postgresServer) with(ctx context.Context, dsn string, use func(*pgx.Conn) error) error {
	c, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }()
	return use(c)
}

// CreateDatabase makes a database and returns the same server seen through it. Its Kill, Close and the like are the
// server's.
func (p *Postgres) CreateDatabase(ctx context.Context, name string) (*Postgres, error) {
	if err := p.do(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, fmt.Errorf("create the database %s: %w", name, err)
	}
	return &Postgres{postgresServer: p.postgresServer, database: name}, nil
}

// DropDatabase removes a database with all its data, and ends connections to it. One that is not there is no error.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	if err := p.do(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop the database %s: %w", name, err)
	}
	return nil
}

// do runs one statement, outside of the database that it may be about.
func (s *postgresServer) do(ctx context.Context, statement string) error {
	return s.with(ctx, s.dsn("postgres"), func(c *pgx.Conn) error {
		_, err := c.Exec(ctx, statement)
		return err
	})
}

// Close ends the server at once and removes its folder if it is a temporary one. A second Close does nothing.
func (s *postgresServer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.process.Load().kill(), s.home.close())
}
