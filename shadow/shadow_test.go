package shadow_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/shadow"
)

// side is a ledger, and somebody who may call it.
type side struct {
	t *testing.T
	*client.Client
}

// start starts a ledger, or the shadow of the one whose tokens are in of.
func start(t *testing.T, data, of string) (address string) {
	t.Helper()
	c := node.DefaultConfig()
	c.Data, c.Listen, c.Shadow.Of = data, "127.0.0.1:0", of
	n, err := node.Start(t.Context(), c, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return n.Address()
}

func dial(t *testing.T, address, token string, options ...client.Option) side {
	t.Helper()
	c, err := client.Dial(address, token, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return side{t, c}
}

// pay opens accounts 1 and 2, unless they are there, and makes transfers of these ids.
func (s side) pay(ids ...int) {
	s.t.Helper()
	if _, err := s.CreateAccounts(s.t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}, &client.Account{Id: "2", Asset: "CNY/2", Code: 1}); err != nil {
		s.t.Fatal(err)
	}
	for _, id := range ids {
		r, err := s.CreateTransfers(s.t.Context(), &client.Transfer{Id: strconv.Itoa(id), DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("5"), Asset: "CNY/2", Code: 1})
		if err != nil || r.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
			s.t.Fatalf("%v, %v", r, err)
		}
	}
}

// rig is a live ledger and its shadow. The shadow has a copy of the tokens, so that a test can change what they may.
type rig struct {
	live, shadow side
	// twice is a token that may, against the rules, act in both: it is for shadow traffic in the copy only.
	twiceLive, twiceShadow side
}

func newRig(t *testing.T) *rig {
	t.Helper()
	data, copied := t.TempDir(), t.TempDir()
	address := start(t, data, "")
	make := func(name string, shadow bool) string {
		token, _, err := auth.CreateToken(data, auth.Spec{Name: name, Role: auth.RoleTeller, Shadow: shadow}, time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	liveToken, twice, shadowToken := make("live", false), make("twice", false), make("load test", true)
	text, err := os.ReadFile(filepath.Join(data, auth.TokensFile))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"name": "twice",`, `"name": "twice", "shadow": true,`, 1)
	if err := os.WriteFile(filepath.Join(copied, auth.TokensFile), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	beside := start(t, t.TempDir(), copied)
	return &rig{
		live: dial(t, address, liveToken), shadow: dial(t, beside, shadowToken, client.WithShadow()),
		twiceLive: dial(t, address, twice), twiceShadow: dial(t, beside, twice, client.WithShadow()),
	}
}

func (r *rig) compare(t *testing.T) *shadow.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	report, err := shadow.Compare(ctx, r.live.Client, r.shadow.Client)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestALoadTestThatKeptOut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live.pay(10)
	if got := r.compare(t); !errors.Is(got.Proven(), shadow.ErrUnproven) || !strings.Contains(got.Proven().Error(), "nothing to compare") {
		t.Errorf("an empty shadow: %v", got.Proven())
	}
	r.shadow.pay(20, 21, 22)
	got := r.compare(t)
	if err := got.Proven(); err != nil || got.Leaks != 0 || got.OpenBreaks != 0 || got.Recomputed < got.Live.Through {
		t.Errorf("%+v, %v", got, err)
	}
	if s := got.Shadow; s.Cell != journal.ShadowCells+1 || s.Accounts != 2 || s.Transfers != 3 || s.Actors != 1 || s.Through == 0 {
		t.Errorf("the shadow: %+v", s)
	}
	if s := got.Live; s.Cell != 1 || s.Accounts != 2 || s.Transfers != 1 || s.Actors != 1 {
		t.Errorf("the live ledger: %+v", s)
	}
	if len(got.Totals) != 1 || got.Totals[0] != (shadow.Total{Asset: "CNY/2", Debits: "5", Credits: "5", PendingDebits: "0", PendingCredits: "0"}) {
		t.Errorf("totals: %+v", got.Totals)
	}
	for name, pair := range map[string][2]side{"turned round": {r.shadow, r.live}, "two live ones": {r.live, r.live}, "two shadows": {r.shadow, r.shadow}} {
		if _, err := shadow.Compare(t.Context(), pair[0].Client, pair[1].Client); !errors.Is(err, shadow.ErrColor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatHasLeakedIsFound(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.live.pay(10, 20) // 20 is one of the shadow's
	r.shadow.pay(20)
	got := r.compare(t)
	if err := got.Proven(); !errors.Is(err, shadow.ErrUnproven) || got.Leaks != 1 || got.First[0].Transfer != "20" || !strings.Contains(got.First[0].Why, "same id") {
		t.Errorf("the same transfer in both: %+v, %v", got, err)
	}
	r.twiceLive.pay(30) // was to be shadow traffic, and its mark was lost
	if got := r.compare(t); got.Leaks != 1 {
		t.Errorf("a token that does not act in the shadow: %+v", got)
	}
	r.twiceShadow.pay(31)
	got = r.compare(t)
	if err := got.Proven(); !errors.Is(err, shadow.ErrUnproven) || got.Leaks != 2 || got.First[1].Transfer != "30" || got.First[1].Position.Cell != 1 || !strings.Contains(got.First[1].Why, "acts in the shadow") {
		t.Errorf("a token that acts in both: %+v, %v", got, err)
	}
	for id := range 12 {
		r.twiceLive.pay(40 + id)
	}
	if got := r.compare(t); got.Leaks != 14 || len(got.First) != 10 {
		t.Errorf("%d leaks, %d named", got.Leaks, len(got.First))
	}
}

func TestWhatTheWatchHasAgainstTheLiveLedger(t *testing.T) {
	t.Parallel()
	good := shadow.Report{Shadow: shadow.Side{Transfers: 1}, Totals: []shadow.Total{{"CNY/2", "5", "5", "1", "1"}}}
	if err := good.Proven(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*shadow.Report){
		"stands still at block 0":     func(r *shadow.Report) { r.Live.Through = 1 },
		"3 open breaks":               func(r *shadow.Report) { r.OpenBreaks = 3 },
		"CNY/2: debits differ":        func(r *shadow.Report) { r.Totals = []shadow.Total{{"CNY/2", "5", "6", "1", "1"}} },
		"USD/2: debits differ":        func(r *shadow.Report) { r.Totals = []shadow.Total{{"USD/2", "5", "5", "0", "1"}} },
		"2 events of the live ledger": func(r *shadow.Report) { r.Leaks = 2 },
	} {
		r := good
		spoil(&r)
		if err := r.Proven(); !errors.Is(err, shadow.ErrUnproven) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
