package drill_test

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func lookupOf(ids ...string) *ledgerv1.LookupTransfersRequest {
	return &ledgerv1.LookupTransfersRequest{Ids: ids}
}

// smallDisk mounts a file system in memory with a bound on its size, or skips the test.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		if errors.Is(err, unix.EPERM) {
			t.Skipf("this machine doesn't let root mount a file system: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestDiskFull fills the disk under a server, as a neighbour does that writes too much. Writes must be refused with a
// clear error, and at no cost to what is there; reads go on; once there is space again, writes do too, without a
// restart.
func TestDiskFull(t *testing.T) {
	disk := smallDisk(t, "420m")
	dir := filepath.Join(disk, "data")
	p := start(t, dir)
	c := p.dial()
	openAccounts(t, c)
	const size = 8000
	calls := 0
	var full error
	await(t, "the disk is full", func() bool {
		stuff(t, filepath.Join(disk, "neighbour"))
		if full = tryPacked(t, c, 1+calls*size, size); full == nil {
			calls++
			return false
		}
		// The journal gives back what it had asked for and did not get: look again, and fill that too.
		status, err := c.Admin().Status(t.Context(), &ledgerv1.StatusRequest{})
		if err != nil {
			t.Fatalf("status: %v\n%s", err, p.log.String())
		}
		code, text := get(t, p, "/readyz")
		return status.GetDisk() == ledgerv1.DiskState_DISK_STATE_FULL && code == http.StatusServiceUnavailable && strings.Contains(text, "disk is full")
	})
	if client.Reason(full) != ledgerv1.ErrorReason_ERROR_REASON_STORE_FULL {
		t.Fatalf("after %d calls: %v (%v)\n%s", calls, full, client.Reason(full), p.log.String())
	}
	t.Logf("full after %d transfers: %v", calls*size, full)

	// Reads go on, and say all that was acknowledged.
	if got := paid(t, c, 1, calls*size); got != strconv.Itoa(calls*size) {
		t.Errorf("account 2 has %s, want %d", got, calls*size)
	}
	if rows, err := c.AccountTransfers(t.Context(), &client.AccountFilter{AccountId: "2", Limit: 10}, nil); err != nil || len(rows.GetTransfers()) != 10 {
		t.Errorf("a query on a full disk: %v, %v", rows, err)
	}
	if code, _ := get(t, p, "/healthz"); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}

	// Space returns: the same call, with the same ids, goes through.
	if err := os.Remove(filepath.Join(disk, "neighbour")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=1200m"); err != nil {
		t.Fatal(err)
	}
	await(t, "writes go on", func() bool { return tryPacked(t, c, 1+calls*size, size) == nil })
	if got := paid(t, c, 1, (calls+1)*size); got != strconv.Itoa((calls+1)*size) {
		t.Errorf("account 2 has %s, want %d", got, (calls+1)*size)
	}
	if code, text := get(t, p, "/readyz"); code != http.StatusOK {
		t.Errorf("readyz: %d %s", code, text)
	}
	p.stop()
	if v := verify(t, dir); v.Transfers != uint64((calls+1)*size) {
		t.Errorf("verify: %+v", v)
	}
}

// stuff writes to a file until the disk is full.
func stuff(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(b)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

// TestStartOnFullDisk starts on a disk without room for a journal.
func TestStartOnFullDisk(t *testing.T) {
	disk := smallDisk(t, "16m")
	if said := refuses(t, filepath.Join(disk, "data")); !strings.Contains(said, "no space left") {
		t.Errorf("sterling up says %s", said)
	}
}

func get(t *testing.T, p *process, path string) (int, string) {
	t.Helper()
	r, err := http.Get("http://" + p.addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(r.Body); err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, b.String()
}
