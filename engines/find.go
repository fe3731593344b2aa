package engines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Folders where distributions keep what they do not put on the PATH; tools/engines.sh looks in the same ones.
func postgresFolders() []string {
	return []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"}
}

func mariadbFolders() []string {
	return []string{"/usr/sbin", "/usr/libexec", "/usr/local/sbin", "/usr/local/mysql/bin", "/usr/local/mysql/scripts", "/opt/homebrew/bin"}
}

func galeraFiles() []string {
	return []string{"/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so", "/usr/lib/*/galera/libgalera_smm.so"}
}

// findProgram returns the path of the first of names that is on the PATH or in one of folders (patterns).
func findProgram(names, folders []string, packages string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		for _, pattern := range folders {
			// Of several versions, the one whose path sorts last: the newest.
			found, _ := filepath.Glob(filepath.Join(pattern, name)) // the patterns are ours and well-formed
			for _, path := range slices.Backward(found) {
				if isProgram(path) {
					return path, nil
				}
			}
		}
	}
	return "", fmt.Errorf("%w: %s is not on the PATH; run tools/engines.sh install, or install %s", ErrMissing, names[0], packages)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// postgresPrograms returns the folder with PostgreSQL's programs. Debian puts wrappers on the PATH that look for
// clusters of their own; so it is the folder of initdb's real file.
func postgresPrograms() (string, error) {
	const packages = "postgresql"
	path, err := findProgram([]string{"initdb"}, postgresFolders(), packages)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("find PostgreSQL's programs: %w", err)
	}
	dir := filepath.Dir(real)
	for _, name := range []string{"postgres", "pg_basebackup", "pg_rewind", "pg_controldata"} {
		if !isProgram(filepath.Join(dir, name)) {
			return "", fmt.Errorf("%w: %s has no %s; run tools/engines.sh install, or install %s", ErrMissing, dir, name, packages)
		}
	}
	return dir, nil
}

// mariadbPrograms returns the server and the program that makes its data folder.
func mariadbPrograms() (server, install string, err error) {
	const packages = "mariadb-server"
	if server, err = findProgram([]string{"mariadbd"}, mariadbFolders(), packages); err != nil {
		return "", "", err
	}
	install, err = findProgram([]string{"mariadb-install-db", "mysql_install_db"}, mariadbFolders(), packages)
	return server, install, err
}

// galeraProvider returns Galera's library, and checks for rsync, by which nodes copy their state.
func galeraProvider() (string, error) {
	if _, err := findProgram([]string{"rsync"}, nil, "rsync"); err != nil {
		return "", err
	}
	for _, pattern := range galeraFiles() {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("%w: Galera's library is not there; run tools/engines.sh install, or install galera-4", ErrMissing)
}
