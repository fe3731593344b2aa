package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/backup"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/store/local"
)

// bank is a running node and a client of it.
type bank struct {
	t      *testing.T
	config node.Config
	node   *node.Node
	client *client.Client
}

func config(t *testing.T) node.Config {
	c := node.DefaultConfig()
	c.Data, c.Listen = filepath.Join(t.TempDir(), "data"), "127.0.0.1:0"
	c.SegmentBytes, c.SnapshotEvents = 1<<20, 10_000
	c.Archive.Dir = filepath.Join(t.TempDir(), "archive")
	c.Backup = &node.Backup{Targets: map[string]node.BackupTarget{
		"vault": {URL: filepath.Join(t.TempDir(), "vault")}, "broken": {URL: "/dev/null/folder"},
	}}
	return c
}

func start(t *testing.T, c node.Config) *bank {
	t.Helper()
	b := &bank{t: t, config: c}
	var err error
	if b.node, err = node.Start(t.Context(), c, slog.New(slog.DiscardHandler), nil); err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(filepath.Join(c.Data, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	if b.client, err = client.Dial(b.node.Address(), strings.TrimSpace(string(token))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

func (b *bank) stop() {
	if b.node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := errors.Join(b.client.Close(), b.node.Stop(ctx)); err != nil {
		b.t.Error(err)
	}
	b.node = nil
}

// open makes accounts 1 and 2.
func (b *bank) open() {
	b.t.Helper()
	for _, id := range []string{"1", "2"} {
		if _, err := b.client.CreateAccounts(b.t.Context(), &client.Account{Id: id, Asset: "EUR/2", Code: 1}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// batch is a call that was acknowledged.
type batch struct{ first, seq uint64 }

const batchSize = 50

// pay sends a batch of transfers of 1 each, with ids from first on.
func (b *bank) pay(ctx context.Context, first uint64) (batch, error) {
	list := make([]*client.Transfer, batchSize)
	for i := range list {
		list[i] = &client.Transfer{
			Id: fmt.Sprint(first + uint64(i)), DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("1"), Asset: "EUR/2", Code: 1,
		}
	}
	r, err := b.client.CreateTransfers(ctx, list...)
	if err != nil {
		return batch{}, err
	}
	for _, result := range r.GetResults() {
		if result.GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
			return batch{}, fmt.Errorf("status %v", result.GetStatus())
		}
	}
	return batch{first, r.GetPosition().GetSeq()}, nil
}

// load pays from several sides at once until stop is called, which returns what was acknowledged.
func (b *bank) load() (stop func() []batch) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var group sync.WaitGroup
	var mu sync.Mutex
	var acked []batch
	for worker := range uint64(3) {
		group.Go(func() {
			for first := worker<<32 + 1; ctx.Err() == nil; first += batchSize {
				done, err := b.pay(context.WithoutCancel(ctx), first)
				if err != nil {
					b.t.Error(err)
					return
				}
				mu.Lock()
				acked = append(acked, done)
				mu.Unlock()
			}
		})
	}
	return func() []batch {
		cancel()
		group.Wait()
		return acked
	}
}

// await returns an operation once it has ended.
func (b *bank) await(o *ledgerv1.Operation, err error) *ledgerv1.Operation {
	b.t.Helper()
	for err == nil && o.GetState() == ledgerv1.OperationState_OPERATION_STATE_RUNNING {
		var r *ledgerv1.GetOperationResponse
		r, err = b.client.Operations().GetOperation(b.t.Context(), &ledgerv1.GetOperationRequest{Id: o.GetId()})
		o = r.GetOperation()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func (b *bank) backup(target string, full bool) *ledgerv1.Operation {
	b.t.Helper()
	r, err := b.client.Operations().Backup(b.t.Context(), &ledgerv1.BackupRequest{Target: target, Full: full})
	return b.await(r.GetOperation(), err)
}

func (b *bank) archive(r *ledgerv1.ArchiveRequest) *ledgerv1.Operation {
	b.t.Helper()
	a, err := b.client.Operations().Archive(b.t.Context(), r)
	return b.await(a.GetOperation(), err)
}

func (b *bank) vault() string { return b.config.Backup.Targets["vault"].URL }

// wantPaid checks that exactly the batches through seq are there.
func (b *bank) wantPaid(acked []batch, seq uint64) {
	b.t.Helper()
	paid := 0
	for _, a := range acked {
		list, err := b.client.LookupTransfers(b.t.Context(), money.From(a.first), money.From(a.first+batchSize-1))
		if err != nil {
			b.t.Fatal(err)
		}
		want := 0
		if a.seq <= seq {
			want = 2
			paid += batchSize
		}
		if len(list) != want {
			b.t.Fatalf("a batch of block %d has %d of its ends in what was restored through block %d, want %d", a.seq, len(list), seq, want)
		}
	}
	accounts, err := b.client.LookupAccounts(b.t.Context(), money.From(2))
	if err != nil || len(accounts) != 1 || accounts[0].GetCreditsPosted() != fmt.Sprint(paid) {
		b.t.Fatalf("account 2 is %v, want %d posted; %v", accounts, paid, err)
	}
}

// TestBackupUnderLoad takes backups, and archives, while payments go on: each backup restores to exactly what was
// acknowledged at its position, and has everything that was acknowledged before it began.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	b := start(t, config(t))
	b.open()
	stop := b.load()
	var done []*ledgerv1.BackupDone
	var before []uint64
	for i := range 4 {
		marker, err := b.pay(t.Context(), uint64(1<<40+i*1000))
		if err != nil {
			t.Fatal(err)
		}
		o := b.backup("vault", i == 2)
		if o.GetBackup() == nil || !o.GetBackup().GetNew() {
			t.Fatal(o)
		}
		done, before = append(done, o.GetBackup()), append(before, marker.seq)
		if o := b.archive(&ledgerv1.ArchiveRequest{Before: &ledgerv1.ArchiveRequest_BeforeAge{BeforeAge: 0}}); o.GetArchive() == nil {
			t.Fatal(o)
		}
	}
	acked := stop()
	for i := range before {
		acked = append(acked, batch{uint64(1<<40 + i*1000), before[i]})
	}
	b.wantPaid(acked, 1<<47)
	for i, d := range done {
		if d.GetLastSeq() < before[i] {
			t.Fatalf("backup %d ends with block %d, block %d was acknowledged before it began", i, d.GetLastSeq(), before[i])
		}
		c := config(t)
		r, err := node.Restore(t.Context(), node.RestoreOptions{From: b.vault(), Data: c.Data, Cell: 1, Target: backup.Target{Manifest: d.GetId()}})
		if err != nil || r.Seq != d.GetLastSeq() || r.Verification == nil || r.Verification.Blocks != r.Seq {
			t.Fatalf("%+v, %v", r, err)
		}
		restored := start(t, c)
		restored.wantPaid(acked, d.GetLastSeq())
		restored.stop()
	}
}

// TestScheduledBackups: the first one at the start, what is new at the next.
func TestScheduledBackups(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Backup.Every = time.Hour
	b := start(t, c)
	for id := 1; ; id++ { // one for each target; both end, one of them well
		r, err := b.client.Operations().GetOperation(t.Context(), &ledgerv1.GetOperationRequest{Id: fmt.Sprint(id)})
		if status.Code(err) == codes.NotFound {
			id--
			continue
		}
		o := b.await(r.GetOperation(), err)
		switch o.GetTarget() {
		case "broken":
			if o.GetState() != ledgerv1.OperationState_OPERATION_STATE_FAILED || !strings.Contains(o.GetError(), "/dev/null/folder") {
				t.Fatal(o)
			}
		case "vault":
			if o.GetBackup().GetKind() != "full" {
				t.Fatal(o)
			}
			b.wantMetrics(`sterling_operations_total{kind="backup",state="failed",target="broken"} 1`,
				`sterling_operations_total{kind="backup",state="done",target="vault"} 1`,
				`sterling_backup_success_timestamp_seconds{target="vault"} 1.`)
			return
		}
	}
}

func (b *bank) wantMetrics(lines ...string) {
	b.t.Helper()
	r, err := http.Get("http://" + b.node.Address() + "/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(string(text), "\n"+line) {
			b.t.Errorf("there is no metric %s", line)
		}
	}
}

func TestOperationsAreBounded(t *testing.T) {
	t.Parallel()
	b := start(t, config(t))
	b.open()
	calls := b.client.Operations()
	for name, call := range map[string]func() error{
		"an unknown target": func() error {
			_, err := calls.Backup(t.Context(), &ledgerv1.BackupRequest{Target: "nowhere"})
			return err
		},
		"no target": func() error { _, err := calls.Backup(t.Context(), &ledgerv1.BackupRequest{}); return err },
		"no bound":  func() error { _, err := calls.Archive(t.Context(), &ledgerv1.ArchiveRequest{}); return err },
		"block zero": func() error {
			_, err := calls.Archive(t.Context(), &ledgerv1.ArchiveRequest{Before: &ledgerv1.ArchiveRequest_BeforeSeq{}})
			return err
		},
		"an age of ages": func() error {
			_, err := calls.Archive(t.Context(), &ledgerv1.ArchiveRequest{Before: &ledgerv1.ArchiveRequest_BeforeAge{BeforeAge: 1 << 63}})
			return err
		},
	} {
		if code := status.Code(call()); code != codes.InvalidArgument {
			t.Errorf("%s: %v", name, code)
		}
	}
	if _, err := calls.GetOperation(t.Context(), &ledgerv1.GetOperationRequest{Id: "77"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	if _, err := calls.CancelOperation(t.Context(), &ledgerv1.CancelOperationRequest{Id: "77"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	first := b.backup("vault", false)
	for range 120 {
		b.backup("vault", false)
	}
	if _, err := calls.GetOperation(t.Context(), &ledgerv1.GetOperationRequest{Id: first.GetId()}); status.Code(err) != codes.NotFound {
		t.Errorf("an operation is remembered for ever: %v", err)
	}
	if r, err := calls.CancelOperation(t.Context(), &ledgerv1.CancelOperationRequest{Id: "121"}); err != nil || r.GetOperation().GetState() != ledgerv1.OperationState_OPERATION_STATE_DONE {
		t.Errorf("to cancel what is done changes nothing: %v, %v", r, err)
	}
}

// TestRestoreCutShort ends a restore at every object and at the verification: there is no data folder, and the next
// restore makes one.
func TestRestoreCutShort(t *testing.T) {
	t.Parallel()
	b := start(t, config(t))
	b.open()
	for i := range 3 {
		if _, err := b.pay(t.Context(), uint64(1+i*1000)); err != nil {
			t.Fatal(err)
		}
		b.backup("vault", false)
	}
	b.stop()
	for cut := 1; ; cut++ {
		ctx, cancel := context.WithCancel(t.Context())
		o := node.RestoreOptions{From: b.vault(), Data: filepath.Join(t.TempDir(), "restored"), Cell: 1}
		n := 0
		o.Progress = func(node.RestoreStep, uint64, uint64) {
			if n++; n == cut {
				cancel()
			}
		}
		_, err := node.Restore(ctx, o)
		cancel()
		if n < cut {
			if err != nil || cut < 5 {
				t.Fatalf("%d steps, %v", n, err)
			}
			break
		}
		if err == nil { // cut after its last look at the context
			continue
		}
		for _, path := range []string{o.Data, o.Data + ".restoring"} {
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("cut at %d: %s is there: %v", cut, path, err)
			}
		}
		// What a restore that was killed leaves: the folder with its mark.
		if err := errors.Join(os.Mkdir(o.Data+".restoring", 0o700), os.WriteFile(o.Data+".restoring/RESTORING", nil, 0o600), os.WriteFile(o.Data+".restoring/half", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		o.Progress = nil
		if _, err := node.Restore(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(o.Data + "/half"); !errors.Is(err, os.ErrNotExist) {
			t.Fatal("a rest of the killed restore is in the new folder")
		}
	}
}

// TestRestoredExtras: what lay beside the backup lies in the folder.
func TestRestoredExtras(t *testing.T) {
	t.Parallel()
	b := start(t, config(t))
	b.open()
	b.backup("vault", false)
	b.stop()
	r, err := node.OpenRepository(b.vault())
	if err != nil {
		t.Fatal(err)
	}
	withExtras(t, r, b.config.Data, "keys.export")
	o := node.RestoreOptions{From: b.vault(), Data: filepath.Join(t.TempDir(), "restored"), Cell: 1}
	if _, err := node.Restore(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.Data, "keys.export"))
	if err != nil || string(text) != "a key" {
		t.Fatalf("%q, %v", text, err)
	}
	// A repository can't bring tokens along.
	withExtras(t, r, b.config.Data, "tokens.json")
	o.Data = filepath.Join(t.TempDir(), "restored")
	if _, err := node.Restore(t.Context(), o); !errors.Is(err, backup.ErrDamaged) || !strings.Contains(err.Error(), "tokens.json") {
		t.Fatal(err)
	}
}

// withExtras takes a full backup of a folder with something beside it.
func withExtras(t *testing.T, r backup.Repository, data, name string) {
	t.Helper()
	store, err := local.Open(data, local.Options{Cell: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	_, err = backup.Run(t.Context(), store, r, backup.Options{
		Cell: 1, Full: true, Clock: clock.NewSystem(), Random: rand.NewChaCha8([32]byte{1}),
		Extras: []backup.Extra{{Name: name, Data: []byte("a key")}},
	})
	if err != nil {
		t.Fatal(err)
	}
}
