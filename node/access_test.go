package node_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/oidc"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// running is a node with a data folder of its own.
type running struct {
	t       *testing.T
	dir     string
	address string
}

func run(t *testing.T, change func(*node.Config)) *running {
	t.Helper()
	c := node.DefaultConfig()
	c.Data, c.Listen = t.TempDir(), "127.0.0.1:0"
	if change != nil {
		change(&c)
	}
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
	return &running{t, c.Data, n.Address()}
}

func (r *running) admin() string {
	r.t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, auth.AdminFile))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (r *running) dial(token string) *client.Client {
	r.t.Helper()
	c, err := client.Dial(r.address, token, client.WithPatience(0))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

// try looks an account up; only who may not is an error.
func (r *running) try(token string) error {
	_, err := r.dial(token).Ledger().LookupAccounts(r.t.Context(), &ledgerv1.LookupAccountsRequest{Ids: []string{"1"}})
	return err
}

// eventually repeats f until it is true, for a bounded time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline, tick := time.After(10*time.Second), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

func TestAStolenTokenEndsEverywhere(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	token, entry, err := auth.Create(r.dir, "thief", auth.RoleTeller, time.Now(), time.Time{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token is known", func() bool { return r.try(token) == nil })
	stream, err := r.dial(token).Ledger().CreateTransfersStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&ledgerv1.CreateTransfersStreamRequest{Sequence: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := auth.Revoke(r.dir, entry.ID, time.Now()); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("the open stream: %v, want Unauthenticated", err)
	}
	if d := time.Since(revoked); d > auth.ReloadInterval {
		t.Errorf("the stream lived on for %v, want at most %v", d, auth.ReloadInterval)
	}
	if err := r.try(token); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a call: %v", err)
	}
}

func TestAnExpiredTokenEndsItsStream(t *testing.T) {
	t.Parallel()
	r := run(t, nil)
	expires := time.Now().Add(3 * time.Second)
	token, _, err := auth.Create(r.dir, "brief", auth.RoleTeller, time.Now(), expires, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the token is known", func() bool { return r.try(token) == nil })
	stream, err := r.dial(token).Ledger().CreateTransfersStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Fatalf("the open stream: %v, want that it has expired", err)
	}
	if late := time.Since(expires); late < 0 || late > auth.ReloadInterval {
		t.Errorf("the stream ended %v after the expiry", late)
	}
}

// issuer is an OpenID Connect issuer on loopback with one key.
type issuer struct {
	*httptest.Server
	key ed25519.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{key: private}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
		if r.URL.Path == "/keys" {
			answer = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1"}}}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) token(t *testing.T, subject string, expires time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: i.key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": i.URL, "sub": subject, "aud": "sterling", "exp": expires.Unix(), "roles": []string{"tellers"}, "assets": []string{"CNY/2"},
	}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokensOfAnIssuer(t *testing.T) {
	t.Parallel()
	i, dead := newIssuer(t), newIssuer(t)
	dead.Close()
	r := run(t, func(c *node.Config) {
		options := oidc.Options{Issuer: i.URL, Audience: "sterling", RoleClaim: "roles", Roles: map[string]auth.Role{"tellers": auth.RoleTeller}, AssetClaim: "assets"}
		c.Auth = &node.Auth{OIDC: []oidc.Options{options, options}}
		c.Auth.OIDC[1].Issuer = dead.URL
	})
	if err := r.try(dead.token(t, "anna", time.Now().Add(time.Hour))); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "keys can't be had") {
		t.Errorf("a token of an issuer that is down: %v", err)
	}
	if err := r.try(r.admin()); err != nil {
		t.Errorf("a token of the ledger, with an issuer down: %v", err)
	}
	anna := i.token(t, "anna", time.Now().Add(time.Hour))
	if err := r.try(anna); err != nil {
		t.Errorf("a token of the issuer that is up: %v", err)
	}
	if err := r.try(i.token(t, "anna", time.Now().Add(-time.Second))); status.Code(err) != codes.Unauthenticated {
		t.Errorf("expired: %v", err)
	}
	ctx := t.Context()
	eve := i.token(t, "eve", time.Now().Add(time.Hour))
	if err := r.try(eve); err != nil {
		t.Errorf("before she is blocked: %v", err)
	}
	sum := sha256.Sum256([]byte(i.URL + "\x00eve"))
	if err := auth.Block(r.dir, hex.EncodeToString(sum[:16]), "eve", time.Now()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "eve is blocked", func() bool { return status.Code(r.try(eve)) == codes.Unauthenticated })
	c := r.dial(anna)
	if _, err := c.CreateAccounts(ctx, &client.Account{Id: "1", Asset: "CNY/2", Code: 1}); err != nil {
		t.Errorf("within the scope of the claims: %v", err)
	}
	if _, err := c.CreateAccounts(ctx, &client.Account{Id: "2", Asset: "EUR/2", Code: 1}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("outside of the scope: %v", err)
	}
}

func TestTheJournalKnowsTheSubjectOfAJWT(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	r := run(t, func(c *node.Config) {
		c.Auth = &node.Auth{OIDC: []oidc.Options{{Issuer: i.URL, Audience: "sterling", RoleClaim: "roles", Roles: map[string]auth.Role{"tellers": auth.RoleOperator}}}}
	})
	ctx := t.Context()
	c := r.dial(i.token(t, "olga", time.Now().Add(time.Hour)))
	if _, err := c.Ledger().Freeze(ctx, &ledgerv1.FreezeRequest{Id: "1", Mode: ledgerv1.FreezeMode_FREEZE_MODE_ALL, Selector: &ledgerv1.FreezeRequest_WholeCell{WholeCell: true}}); err != nil {
		t.Fatal(err)
	}
	list, err := c.Ledger().ListFreezes(ctx, &ledgerv1.ListFreezesRequest{})
	if err != nil || len(list.GetFreezes()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	log, err := os.ReadFile(filepath.Join(r.dir, "access", "controls.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	actor := list.GetFreezes()[0].GetActor()
	if b, err := hex.DecodeString(actor); err != nil || len(b) != 16 || !strings.Contains(string(log), `"actor":"`+actor+`","name":"olga","role":"operator","via":"jwt"`) {
		t.Errorf("actor %q, %v; the access log has %s", actor, err, log)
	}
}

func TestAnAccessLogThatFailsStopsControlsAndNotPayments(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *node.Config) {
		// The file is full already: the first line puts it aside under another name, which fails where the folder is gone.
		c.AccessLog.MaxSize = 1 << 20
		if err := os.Mkdir(filepath.Join(c.Data, "access"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.Data, "access", "controls.jsonl"), []byte(strings.Repeat("\n", 1<<20)), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	folder := filepath.Join(r.dir, "access")
	ctx := t.Context()
	c := r.dial(r.admin())
	if _, err := c.CreateAccounts(ctx, &client.Account{Id: "1", Asset: "CNY/2", Code: 1}, &client.Account{Id: "2", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	freeze := func(id string) error {
		_, err := c.Ledger().Freeze(ctx, &ledgerv1.FreezeRequest{Id: id, Mode: ledgerv1.FreezeMode_FREEZE_MODE_DEBIT, Selector: &ledgerv1.FreezeRequest_TransferCode{TransferCode: 9}})
		return err
	}
	if err := os.Rename(folder, folder+"-gone"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := freeze("5"); status.Code(err) != codes.Unavailable || client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_ACCESS_LOG_FAILED {
		t.Errorf("a control: %v", err)
	}
	amount := "1"
	if _, err := c.CreateTransfers(ctx, &client.Transfer{Id: "1", DebitAccountId: "1", CreditAccountId: "2", Amount: &amount, Asset: "CNY/2", Code: 1}); err != nil {
		t.Errorf("a payment: %v", err)
	}
	if got := r.metric("sterling_access_log_failing"); got != "1" {
		t.Errorf("the alarm metric is %q", got)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	if err := freeze("6"); err != nil {
		t.Errorf("after the folder can be made again: %v", err)
	}
	eventually(t, "the alarm ends", func() bool { return r.metric("sterling_access_log_failing") == "0" })
}

func (r *running) metric(name string) string {
	r.t.Helper()
	response, err := http.Get("http://" + r.address + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
