package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Files reads the files of a log, by their paths below it. Errors are [fs.ErrNotExist] where there is no such file; what
// is larger than max bytes is an error.
type Files interface {
	File(ctx context.Context, path string, limit int) ([]byte, error)
}

// LogDir is the folder of the log in a data folder, and its path on a server below /audit/.
const LogDir = "log"

// Folder is a log in a folder.
type Folder struct{ Dir string }

// FindFolder returns the log at dir: a log itself, or a data folder that holds one.
func FindFolder(dir string) (Folder, error) {
	for _, place := range []string{dir, filepath.Join(dir, "audit", LogDir)} {
		if _, err := os.Stat(filepath.Join(place, "checkpoint")); err == nil {
			return Folder{place}, nil
		}
	}
	return Folder{}, fmt.Errorf("%s holds no log: neither it nor %s has a checkpoint: %w", dir, filepath.Join(dir, "audit", LogDir), fs.ErrNotExist)
}

// File implements Files.
func (f Folder) File(_ context.Context, path string, limit int) ([]byte, error) {
	file, err := os.Open(filepath.Join(f.Dir, filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	b, err := readBounded(file, path, limit)
	return b, errors.Join(err, file.Close())
}

func readBounded(r io.Reader, path string, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return b, nil
}

// Remote is a log that a server serves.
type Remote struct {
	Client *http.Client
	Base   *url.URL // of the server, such as https://ledger:7600
}

// ErrRefused is a server that does not let the caller in.
var ErrRefused = errors.New("the server refuses")

// File implements Files.
func (r Remote) File(ctx context.Context, path string, limit int) (b []byte, err error) {
	at := r.Base.JoinPath("audit", LogDir, path).String()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", at, err)
	}
	response, err := r.Client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	switch response.StatusCode {
	case http.StatusOK:
		return readBounded(response.Body, path, limit)
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, fmt.Errorf("fetch %s: %w: %s", at, ErrRefused, response.Status)
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, 500)) // only for people
	return nil, fmt.Errorf("fetch %s: %s %s", at, response.Status, strings.TrimSpace(string(said)))
}
