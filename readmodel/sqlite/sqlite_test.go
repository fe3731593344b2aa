package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sterlingrun/sterling/readmodel"
	"github.com/sterlingrun/sterling/readmodel/readmodeltest"
	"github.com/sterlingrun/sterling/readmodel/sqlite"
)

func harness(t testing.TB) readmodeltest.Harness {
	path := filepath.Join(t.TempDir(), "a folder?#%", "read model.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	h := readmodeltest.Harness{Open: func(t testing.TB) readmodeltest.Target {
		target, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return target
	}}
	h.Open(t).Close() // makes the tables, and the file with our mode
	db, err := sql.Open("sqlite", "file:"+escape(path)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.DB = db
	return h
}

func TestSuite(t *testing.T) { readmodeltest.Run(t, harness) }

// TestReports runs the examples of docs/sql.
func TestReports(t *testing.T) { readmodeltest.Reports(t, harness(t), "../../docs/sql", "sqlite") }

func TestFileIsPrivateAndNewerSchemaRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	target, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	target.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v: %v", info.Mode(), err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("INSERT INTO readmodel_migrations (version_id, is_applied) VALUES (99, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); !errors.Is(err, readmodel.ErrNewer) {
		t.Fatalf("a newer schema: %v", err)
	}
}

// A file that has tables of such names is somebody else's.
func TestForeignTablesAreLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE accounts (name TEXT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
		t.Fatal("a file with other tables was taken")
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name = 'transfers'").Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d tables were made beside others: %v", n, err)
	}
}

func escape(path string) string {
	out := ""
	for _, c := range path {
		switch c {
		case '?':
			out += "%3f"
		case '#':
			out += "%23"
		case '%':
			out += "%25"
		default:
			out += string(c)
		}
	}
	return out
}

func BenchmarkProject(b *testing.B) { readmodeltest.Bench(b, harness) }

func BenchmarkLive(b *testing.B) { readmodeltest.BenchLive(b, harness) }
