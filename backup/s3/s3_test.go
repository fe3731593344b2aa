package s3_test

import (
	"errors"
	"math/rand/v2"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/backup/backuptest"
	"github.com/sterlingrun/sterling/backup/s3"
	"github.com/sterlingrun/sterling/cell/celltest"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/journal"
)

// store is an S3 server with the bucket "vault", and a file with keys.
func store(t *testing.T) (endpoint, keys string) {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("vault"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(server.Close)
	keys = filepath.Join(t.TempDir(), "keys")
	text := "[default]\naws_access_key_id = example\naws_secret_access_key = not-secret\n"
	if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return server.URL, keys
}

func open(t *testing.T, location string) *s3.Repository {
	t.Helper()
	l, err := s3.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s3.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "/bank/a"} {
		backuptest.Repositories(t, func(t *testing.T) backup.Repository {
			endpoint, keys := store(t)
			return open(t, "s3://vault"+prefix+"?region=us-east-1&endpoint="+endpoint+"&credentials="+url.QueryEscape(keys))
		})
	}
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	endpoint, keys := store(t)
	r := open(t, "s3://vault/bank?region=us-east-1&endpoint="+endpoint+"&credentials="+url.QueryEscape(keys))
	log := new(celltest.Memory)
	for _, b := range (celltest.Writer{Cell: 1, Epoch: 1}).Chain(0, journal.Hash{}, 5, 8190) {
		if err := log.Append(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	o := backup.Options{Cell: 1, Clock: clock.NewSystem(), Random: rand.NewChaCha8([32]byte{1}), RunSize: journal.MaxBlock}
	if _, err := backup.Run(t.Context(), log, r, o); err != nil {
		t.Fatal(err)
	}
	out, err := backup.Restore(t.Context(), r, 1, backup.Target{}, backup.Discard{}, nil)
	if err != nil || out.Seq != 5 {
		t.Fatalf("%+v, %v", out, err)
	}
}

func TestBadLocations(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"s3:///x":                                     "want s3://BUCKET/PREFIX",
		"http://bucket/x":                             "want s3://BUCKET/PREFIX",
		"s3://key:verysecret@bucket/x":                "keys do not belong into a URL",
		"s3://bucket/x?regoin=a":                      `"regoin" is unknown`,
		"s3://bucket/x?region=a&region=b":             "region is given 2 times",
		"s3://bucket?endpoint=http://s3.example":      "want https",
		"s3://bucket?endpoint=s3.example":             "want https://HOST",
		"s3://bucket?endpoint=https://a.example/path": "want https://HOST",
	} {
		_, err := s3.Parse(location)
		if !errors.Is(err, s3.ErrLocation) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: %v, want %q", location, err, want)
		}
	}
	l, err := s3.Parse("s3://bucket/a/b/?region=eu-1&endpoint=https://s3.example:9000")
	want := s3.Location{Bucket: "bucket", Prefix: "a/b/", Endpoint: "s3.example:9000", Region: "eu-1", Secure: true}
	if err != nil || l != want {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestErrorsAreForPeople: no bucket, no server, no file; and never a key in the text.
func TestErrorsAreForPeople(t *testing.T) {
	t.Parallel()
	endpoint, keys := store(t)
	r := open(t, "s3://nowhere/x?region=us-east-1&endpoint="+endpoint+"&credentials="+url.QueryEscape(keys))
	if err := r.Put(t.Context(), "a", nil); err == nil || !strings.Contains(err.Error(), "there is no such bucket") {
		t.Errorf("%v", err)
	}
	l, err := s3.Parse("s3://vault?credentials=" + filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s3.Open(l); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
