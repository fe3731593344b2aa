package engines

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
)

// MariaDB is one MariaDB server, seen through one of its databases. Safe for concurrent use.
type MariaDB struct {
	*mariadbServer
	database string
}

// mariadbServer is the server behind every view.
type mariadbServer struct {
	program  string // the server
	install  string // makes a data folder
	home     *home
	log      *slog.Logger
	password string
	port     int
	// ready tells whether a started server can be used.
	ready func(context.Context) error

	// process is the newest one; nil before the first start. It is replaced under mu, and read without: a server can be
	// killed while it starts.
	process atomic.Pointer[process]
	mu      sync.Mutex // held during starts and ends; guards closed
	closed  bool
}

// StartMariaDB makes a data folder and starts a MariaDB server in it, on a free port of loopback, with
// innodb_flush_log_at_trx_commit=1. It returns when the server takes connections, within 90 seconds. ctx bounds the
// start only; Close ends the server. ErrMissing: MariaDB is not installed.
func StartMariaDB(ctx context.Context, o Options) (*MariaDB, error) {
	m, err := newMariaDB(o)
	if err != nil {
		return nil, fmt.Errorf("start MariaDB: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	if err = m.initialise(ctx, o.Settings); err == nil {
		err = m.firstStart(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start MariaDB: %w", err), m.Close())
	}
	return m, nil
}

// newMariaDB prepares a server that has no data yet.
func newMariaDB(o Options) (*MariaDB, error) {
	program, install, err := mariadbPrograms()
	if err != nil {
		return nil, err
	}
	owner, err := unprivileged("mysql", "nobody")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	h, err := newHome(o.Dir, "mariadb", owner)
	if err != nil {
		return nil, err
	}
	server := &mariadbServer{program: program, install: install, home: h, log: o.logger(), password: newPassword(), port: ports[0]}
	server.ready = server.ping
	return &MariaDB{mariadbServer: server, database: firstDatabase}, nil
}

// initialise makes the data folder and the settings.
func (s *mariadbServer) initialise(ctx context.Context, settings map[string]string) error {
	if err := s.configure(settings); err != nil {
		return err
	}
	return s.makeData(ctx)
}

func (s *mariadbServer) makeData(ctx context.Context) error {
	c := s.command("--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	c.program = s.install
	return c.run(ctx)
}

// configure writes the settings anew.
func (s *mariadbServer) configure(settings map[string]string) error {
	if err := s.home.owner.folder(s.home.path("tmp")); err != nil {
		return err
	}
	all := map[string]string{
		"datadir":                        s.data(),
		"tmpdir":                         s.home.path("tmp"),
		"bind_address":                   "127.0.0.1",
		"port":                           strconv.Itoa(s.port),
		"socket":                         "socket", // in the data folder: absolute paths are limited to 108 bytes
		"pid_file":                       s.home.path("pid"),
		"skip_name_resolve":              "1",
		"max_connections":                "200",
		"max_connect_errors":             "1000000", // broken connections are what this is for; a host must not be blocked for them
		"character_set_server":           "utf8mb4",
		"default_time_zone":              "+00:00",
		"innodb_buffer_pool_size":        "128M",
		"innodb_flush_log_at_trx_commit": "1",
		"binlog_format":                  "ROW",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	text.WriteString("[mariadbd]\n")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, quoteSetting(all[name]))
	}
	return s.home.write("my.cnf", text.String())
}

// quoteSetting keeps what an option file would cut or read as an escape.
func quoteSetting(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value) + `"`
}

func (s *mariadbServer) data() string { return s.home.path("data") }

// firstStart starts the server for the first time and makes the superuser; root gets the same password.
func (s *mariadbServer) firstStart(ctx context.Context, args ...string) error {
	const file = "first.sql"
	user := fmt.Sprintf("'%s'@'127.0.0.1'", superuser)
	err := s.home.write(file, strings.Join([]string{
		"CREATE DATABASE IF NOT EXISTS " + quoteName(firstDatabase) + ";",
		"CREATE OR REPLACE USER " + user + " IDENTIFIED BY '" + s.password + "';",
		"GRANT ALL PRIVILEGES ON *.* TO " + user + " WITH GRANT OPTION;",
		"ALTER USER root@localhost IDENTIFIED BY '" + s.password + "';",
	}, "\n")+"\n")
	if err != nil {
		return err
	}
	err = s.restart(ctx, append(args, "--init-file="+s.home.path(file))...)
	return errors.Join(err, s.home.remove(file))
}

func (s *mariadbServer) arguments(more ...string) []string {
	return append([]string{"--defaults-file=" + s.home.path("my.cnf")}, more...)
}

func (s *mariadbServer) command(args ...string) command {
	return command{program: s.program, args: args, owner: s.home.owner, dir: s.home.dir, logFile: s.home.path("log")}
}

// DSN is the address of the database, with the password of a superuser, as github.com/go-sql-driver/mysql takes it.
func (m *MariaDB) DSN() string { return m.config(m.database).FormatDSN() }

func (s *mariadbServer) config(database string) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = superuser, s.password, "tcp", address(s.port), database
	return c
}

// Port is the server's port on 127.0.0.1. It stays the same over restarts.
func (s *mariadbServer) Port() int { return s.port }

// Pid is the server's process; 0 while it does not run.
func (s *mariadbServer) Pid() int {
	if p := s.process.Load(); p.alive() {
		return p.pid
	}
	return 0
}

// Log is the file that the server writes its log to.
func (s *mariadbServer) Log() string { return s.home.path("log") }

// Kill ends the whole server at once (SIGKILL to it and its children) and waits until it is gone. What it had not
// synced is still in the page cache: this is a crash of the server, not a loss of power.
func (s *mariadbServer) Kill() error {
	s.log.Info("kill MariaDB", "port", s.port)
	return s.process.Load().kill()
}

// Stop freezes the whole server (SIGSTOP): connections stay open, and nothing answers.
func (s *mariadbServer) Stop() error {
	s.log.Info("stop MariaDB", "port", s.port)
	return s.process.Load().stop()
}

// Continue lets a stopped server go on.
func (s *mariadbServer) Continue() error {
	s.log.Info("continue MariaDB", "port", s.port)
	return s.process.Load().resume()
}

// Restart shuts the server down if it runs, starts it on the same data and port, and returns when it takes
// connections, within 90 seconds.
func (s *mariadbServer) Restart(ctx context.Context) error { return s.restart(ctx) }

func (s *mariadbServer) restart(ctx context.Context, args ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("restart MariaDB: it is closed")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startWithin, errNotReady)
	defer cancel()
	if err := s.process.Load().shutdown(syscall.SIGTERM); err != nil {
		return fmt.Errorf("restart MariaDB: %w", err)
	}
	process, err := s.command(s.arguments(args...)...).start()
	if err != nil {
		return fmt.Errorf("restart MariaDB: %w", err)
	}
	s.process.Store(process)
	if err := poll(ctx, process.done, s.ready); err != nil {
		return errors.Join(fmt.Errorf("restart MariaDB on port %d: %w; %s", s.port, err, process.lastLines()), process.kill())
	}
	s.log.Info("MariaDB is ready", "port", s.port, "pid", process.pid)
	return nil
}

// ping connects and asks.
func (s *mariadbServer) ping(ctx context.Context) error {
	return s.with(func(db *sql.DB) error { return db.PingContext(ctx) })
}

// with calls use with a pool of its own.
func (s *mariadbServer) with(use func(*sql.DB) error) error {
	config := s.config("")
	config.Timeout = 5 * time.Second
	config.Logger = &mysql.NopLogger{} // failed connections are what a start looks like
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	return use(db)
}

// CreateDatabase makes a database and returns the same server seen through it. Its Kill, Close and the like are the
// server's.
func (m *MariaDB) CreateDatabase(ctx context.Context, name string) (*MariaDB, error) {
	if err := m.do(ctx, "CREATE DATABASE "+quoteName(name)); err != nil {
		return nil, fmt.Errorf("create the database %s: %w", name, err)
	}
	return &MariaDB{mariadbServer: m.mariadbServer, database: name}, nil
}

// DropDatabase removes a database with all its data. One that is not there is no error.
func (m *MariaDB) DropDatabase(ctx context.Context, name string) error {
	if err := m.do(ctx, "DROP DATABASE IF EXISTS "+quoteName(name)); err != nil {
		return fmt.Errorf("drop the database %s: %w", name, err)
	}
	return nil
}

func (s *mariadbServer) do(ctx context.Context, statement string) error {
	return s.with(func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
}

// quoteName quotes an identifier.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Close ends the server at once and removes its folder if it is a temporary one. A second Close does nothing.
func (s *mariadbServer) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.process.Load().kill(), s.home.close())
}
