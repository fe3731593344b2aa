package node_test

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/engines/enginestest"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

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
