package api_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

// TestProposedAccountsAreOfTheCell: a proposal is decided by the cell that has it; an account of another cell would be
// opened where nobody looks for it, and an address could be given twice.
func TestProposedAccountsAreOfTheCell(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 2), l.ids(2, 2)
	l.open(a[0], b[0])
	conn, ctx := l.banks[1].grpcConn(auth.RoleOperator)
	books := ledgerv1.NewBooksServiceClient(conn)
	propose := func(id, account, address string) error {
		_, err := books.Propose(ctx, &ledgerv1.ProposeRequest{Id: id, Reason: "x", What: &ledgerv1.ProposeRequest_Accounts{
			Accounts: &ledgerv1.CreateAccountsRequest{Accounts: []*ledgerv1.Account{{Id: account, Asset: "CNY/2", Code: 1, Address: address}}},
		}})
		return err
	}
	if err := propose("1", b[1], ""); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "another cell") {
		t.Errorf("an account of cell 2: %v", err)
	}
	if got := l.banks[1].call("CreateAccounts", `{"accounts":[{"id":"`+b[1]+`","asset":"CNY/2","code":1,"address":"m:1"}]}`); !strings.Contains(got, "CREATED") {
		t.Fatal(got)
	}
	if err := propose("2", a[1], "m:1"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "another account") {
		t.Errorf("an address that is taken: %v", err)
	}
	if err := propose("3", a[1], "m:2"); err != nil {
		t.Error(err)
	}
}

// TestARevokedTokenIsRefusedWhereTheDataIs, whatever the node says that it was sent to.
func TestARevokedTokenIsRefusedWhereTheDataIs(t *testing.T) {
	gone := [16]byte{7}
	b := openOf(t, 1, func(c *api.Config) {
		m := router.Even([]router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:1"}}})
		c.Cells = &api.Cells{Router: router.NewRouter(1, m), Network: router.NewNetwork(1, secret, nil), Token: secret}
		c.Revoked = func(id [16]byte, _ time.Time) bool { return id == gone }
	})
	conn, _ := b.grpcConn(auth.RoleReader)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+secret)
	for id, want := range map[[16]byte]codes.Code{{8}: codes.OK, gone: codes.PermissionDenied} {
		_, err := cellv1.NewCellServiceClient(conn).Forward(as, &cellv1.ForwardRequest{
			From: 2, Principal: &cellv1.Principal{Id: id[:], Name: "till", Role: "reader"}, Method: "/sterling.ledger.v1.LedgerService/LookupAccounts",
		})
		if status.Code(err) != want {
			t.Errorf("token %d: %v, want %v", id[0], err, want)
		}
	}
}

// TestAccountsOfTheCellsAreNoCallers: who takes the place of an account that the cells need keeps all transfers of an asset
// from crossing.
func TestAccountsOfTheCellsAreNoCallers(t *testing.T) {
	l := openCells(t)
	a, b := l.ids(1, 1)[0], l.ids(2, 1)[0]
	l.open(a, b)
	cny := money.Asset{Code: "CNY", Scale: 2}
	for name, id := range map[string]money.U128{"in transit": transit.InTransit(cny), "clearing with 1": transit.Clearing(cny, 1), "clearing with 2": transit.Clearing(cny, 2)} {
		if got := l.banks[1].call("CreateAccounts", `{"accounts":[{"id":"`+id.String()+`","asset":"CNY/2","code":1}]}`); !strings.Contains(got, "ID_MUST_NOT_BE_INT_MAX") {
			t.Errorf("%s: %s", name, got)
		}
	}
	for id, body := range map[string]string{"1": one("1", a, b, 5, ""), "2": one("2", b, a, 5, "")} {
		if got := statuses(t, l.banks[1].call("CreateTransfers", batchOf(body))); got[0] != "CREATED" {
			t.Errorf("transfer %s: %v", id, got)
		}
	}
	l.quiet()
}
