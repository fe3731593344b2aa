package node_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/store/local"
)

func TestWhatAShadowMustNotHave(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cell: 2147483648":                                "cell: want less than 2147483648",
		"data: x\nshadow: {of: ./x}":                      "shadow.of: names the shadow's own data folder",
		"shadow: {of: live, callers: [x]}":                "field callers not found",
		"store: {dsn: 'postgres://x'}":                    "store: not with shadow.of",
		"cells: {secret_file: x}":                         "cells: not with shadow.of",
		"backup: {targets: {a: {url: /b}}}":               "backup: not with shadow.of",
		"archive: {dir: /b}":                              "archive: not with shadow.of",
		"sinks: [{name: a}]":                              "sinks: not with shadow.of",
		"read_model: {dsn: 'sqlite:x'}":                   "read_model: not with shadow.of",
		"watch: {alerts: {urls: ['http://127.0.0.1:1']}}": "watch.alerts: not with shadow.of",
	} {
		if !strings.Contains(text, "shadow") && !strings.Contains(text, "cell:") {
			text += "\nshadow: {of: live}"
		}
		c, err := node.ParseConfig([]byte(text))
		if err == nil {
			err = c.Check()
		}
		if !errors.Is(err, node.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	c, err := node.ParseConfig([]byte("shadow: {of: live}"))
	if err != nil || c.Check() != nil {
		t.Errorf("%v, %v", err, c.Check())
	}
}

// shadowOf starts a live ledger and its shadow, and makes a token for shadow traffic.
func shadowOf(t *testing.T) (live, shadow *running, token string) {
	t.Helper()
	live = run(t, nil)
	token, _, err := auth.CreateToken(live.dir, auth.Spec{Name: "load test", Role: auth.RoleTeller, Shadow: true}, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return live, run(t, func(c *node.Config) { c.Shadow.Of = live.dir }), token
}

func (r *running) colored(token string) *client.Client {
	r.t.Helper()
	c, err := client.Dial(r.address, token, client.WithPatience(0), client.WithShadow())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// pay opens two accounts and moves an amount between them.
func pay(t *testing.T, c *client.Client, id, amount string) {
	t.Helper()
	if _, err := c.CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}, &client.Account{Id: "2", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := c.CreateTransfers(t.Context(), &client.Transfer{Id: id, DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String(amount), Asset: "CNY/2", Code: 1})
	if err != nil || r.GetResults()[0].GetStatus() != ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED {
		t.Fatalf("%v, %v", r, err)
	}
}

// TestAShadowIsALedgerOfItsOwn: the same accounts, other money, other blocks; each takes only its own tokens.
func TestAShadowIsALedgerOfItsOwn(t *testing.T) {
	t.Parallel()
	live, shadow, token := shadowOf(t)
	pay(t, live.dial(live.admin()), "10", "100")
	pay(t, shadow.colored(token), "11", "999")
	for _, x := range []struct {
		name string
		c    *client.Client
		want string
		cell uint64
	}{{"live", live.dial(live.admin()), "100", 1}, {"shadow", shadow.colored(token), "999", journal.ShadowCells + 1}} {
		accounts, err := x.c.LookupAccounts(t.Context(), money.From(1))
		if err != nil || len(accounts) != 1 || accounts[0].GetDebitsPosted() != x.want {
			t.Errorf("%s: %v, %v, want %s", x.name, accounts, err, x.want)
		}
		totals, err := x.c.History().GetTotals(t.Context(), &ledgerv1.GetTotalsRequest{})
		if err != nil || totals.GetAssets()[0].GetDebitsPosted() != x.want {
			t.Errorf("%s: %v, %v, want %s", x.name, totals, err, x.want)
		}
		if status, err := x.c.Admin().Status(t.Context(), &ledgerv1.StatusRequest{}); err != nil || status.GetCell() != x.cell {
			t.Errorf("%s: cell %d, %v, want %d", x.name, status.GetCell(), err, x.cell)
		}
	}
	for name, c := range map[string]*client.Client{
		"live, marked": live.colored(token), "live, by the token of a shadow": live.dial(token), "live, an admin's mark": live.colored(live.admin()),
		"shadow, not marked": shadow.dial(token), "shadow, an admin": shadow.dial(live.admin()), "shadow, an admin's mark": shadow.colored(live.admin()),
	} {
		if _, err := c.LookupAccounts(t.Context(), money.From(1)); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(filepath.Join(shadow.dir, auth.AdminFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the shadow has an admin's token of its own: %v", err)
	}
	for address, want := range map[string]int{live.address: http.StatusOK, shadow.address: http.StatusNotFound} {
		r, err := http.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		if _ = r.Body.Close(); r.StatusCode != want {
			t.Errorf("the console at %s: %d, want %d", address, r.StatusCode, want)
		}
	}
}

// TestTheFoldersOfALedgerAndOfItsShadowAreNeverMixedUp starts each on the other's folder.
func TestTheFoldersOfALedgerAndOfItsShadowAreNeverMixedUp(t *testing.T) {
	t.Parallel()
	live, shadow := t.TempDir(), t.TempDir()
	start := func(data, of string) error {
		c := node.DefaultConfig()
		c.Data, c.Listen, c.Shadow.Of = data, "127.0.0.1:0", of
		n, err := node.Start(t.Context(), c, slog.New(slog.DiscardHandler), nil)
		if err != nil {
			return err
		}
		return n.Stop(t.Context())
	}
	if err := start(shadow, live); err == nil || !strings.Contains(err.Error(), auth.TokensFile) {
		t.Errorf("the shadow of a folder without tokens: %v", err)
	}
	for range 2 { // new, and again
		if err := errors.Join(start(live, ""), start(shadow, live)); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(shadow, ""); !errors.Is(err, local.ErrWrongCell) {
		t.Errorf("a ledger on a shadow's folder: %v", err)
	}
	if err := start(live, shadow); !errors.Is(err, local.ErrWrongCell) {
		t.Errorf("a shadow on a ledger's folder: %v", err)
	}
	if err := errors.Join(start(live, ""), start(shadow, live)); err != nil { // no harm was done
		t.Error(err)
	}
}
