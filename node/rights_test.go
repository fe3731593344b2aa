package node_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/engines/enginestest"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestAFolderKnowsItsJournalFromTheFirstBlock: a node over an empty database knows with the first block which journal its
// folder is of, not with its next start: what it has of it goes with no other.
func TestAFolderKnowsItsJournalFromTheFirstBlock(t *testing.T) {
	other := newCluster(t, enginestest.Postgres(t).DSN())
	other.start("a", t.TempDir())
	if _, err := other.dial("a").CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, enginestest.Postgres(t).DSN())
	folder := t.TempDir()
	c.start("a", folder)
	if _, err := c.dial("a").CreateAccounts(t.Context(), &client.Account{Id: "1", Asset: "CNY/2", Code: 1}); err != nil {
		t.Fatal(err)
	}
	c.stop("a")
	if _, err := os.Stat(filepath.Join(folder, "JOURNAL")); err != nil {
		t.Error(err)
	}
	config := node.DefaultConfig()
	config.Data, config.Listen, config.Store.DSN = folder, "127.0.0.1:0", other.dsn
	if _, err := node.Start(t.Context(), config, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "begins with") {
		t.Errorf("a folder of another journal was taken: %v", err)
	}
}

// TestAStandbyKnowsWhoIsRevoked: rights of tokens are in the journal, and hold on the nodes that only follow it.
func TestAStandbyKnowsWhoIsRevoked(t *testing.T) {
	c := newCluster(t, enginestest.Postgres(t).DSN())
	folder := t.TempDir()
	c.start("a", folder)
	token, entry, err := auth.Create(folder, "thief", auth.RoleOperator, time.Now(), time.Time{}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c.start("b", t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, stands := c.roles(ctx)
	thief, err := client.Dial(c.nodes[stands].Address(), token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = thief.Close() })
	ask := func() error {
		_, err := thief.Admin().Status(ctx, &ledgerv1.StatusRequest{})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.dial("a", "b").Books().RevokePrincipal(ctx, &ledgerv1.RevokePrincipalRequest{Token: entry.ID, Name: "thief"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node that follows refuses the token", func() bool { return status.Code(ask()) == codes.Unauthenticated })
}
