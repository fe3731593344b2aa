package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// shadowToken makes a token of the bank for shadow traffic.
func (b *bank) shadowToken() string {
	b.t.Helper()
	token, _, err := auth.CreateToken(b.dir, auth.Spec{Name: "load test", Role: auth.RoleOperator, Shadow: true}, time.Now(), rand.Reader)
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// marks are all that make a call shadow traffic.
func marks() [][2]string {
	return [][2]string{
		{"x-sterling-shadow", "1"},
		{"x-sterling-shadow", "0"},
		{"X-Sterling-Shadow", ""},
		{"tracestate", "sterling=shadow"},
		{"tracestate", "a=1, sterling=shadow ,b=2"},
	}
}

const opened = `{"accounts":[{"id":"77","asset":"CNY/2","code":1}]}`

// TestTheColourOfCallCallerAndLedger goes through every combination, over JSON.
func TestTheColourOfCallCallerAndLedger(t *testing.T) {
	for _, isShadow := range []bool{false, true} {
		b := open(t, func(c *api.Config) { c.Shadow = isShadow })
		tokens := map[bool]string{false: b.tokens[auth.RoleAdmin], true: b.shadowToken()}
		for _, mark := range append(marks(), [2]string{"x-request-id", "sterling=shadow"}, [2]string{"tracestate", "sterling=shadows,x=sterling=shadow"}) {
			marked := mark[0] != "x-request-id" && !strings.Contains(mark[1], "shadows")
			for isFor, token := range tokens {
				status, text := b.post("CreateAccounts", token, opened, mark[0], mark[1])
				taken := marked == isShadow && isFor == isShadow
				if taken != (status == http.StatusOK) || !taken && (status != http.StatusBadRequest || !strings.Contains(text, "ERROR_REASON_SHADOW_REFUSED") || !strings.Contains(text, "nothing was done")) {
					t.Errorf("ledger shadow %v, token for shadow %v, %q: %d %s", isShadow, isFor, mark, status, text)
				}
			}
		}
		if status, text := b.post("CreateAccounts", "nobody", opened, "x-sterling-shadow", "1"); status != http.StatusUnauthorized {
			t.Errorf("a stranger with a mark: %d %s", status, text)
		}
	}
}

// TestEveryDoorHeedsTheColour has the live ledger refuse marked calls of all kinds, and proves that none of them has
// written anything.
func TestEveryDoorHeedsTheColour(t *testing.T) {
	b := open(t, nil)
	b.seed()
	before := b.cell.Head()
	transfer := &ledgerv1.CreateTransfersRequest{Transfers: []*ledgerv1.Transfer{{Id: "9", DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("1"), Asset: "CNY/2", Code: 1}}}
	conn, base := b.grpcConn(auth.RoleAdmin)
	ledger := ledgerv1.NewLedgerServiceClient(conn)
	doors := map[string]func(ctx context.Context) error{
		"hot":  func(ctx context.Context) error { return second(ledger.CreateTransfers(ctx, transfer)) },
		"cold": func(ctx context.Context) error { return second(ledger.ListAssets(ctx, &ledgerv1.ListAssetsRequest{})) },
		"history": func(ctx context.Context) error {
			return second(ledgerv1.NewHistoryServiceClient(conn).GetTotals(ctx, &ledgerv1.GetTotalsRequest{}))
		},
		"status": func(ctx context.Context) error {
			return second(ledgerv1.NewAdminServiceClient(conn).Status(ctx, &ledgerv1.StatusRequest{}))
		},
		"stream": func(ctx context.Context) error {
			s, err := ledger.CreateTransfersStream(ctx)
			if err != nil {
				return err
			}
			return errors.Join(sent(s.Send(&ledgerv1.CreateTransfersStreamRequest{Sequence: 1, Transfers: transfer.GetTransfers()})), second(s.Recv()))
		},
		"feed": func(ctx context.Context) error {
			s, err := ledgerv1.NewFeedServiceClient(conn).Subscribe(ctx, &ledgerv1.SubscribeRequest{Start: &ledgerv1.SubscribeRequest_FromBeginning{FromBeginning: true}})
			if err != nil {
				return err
			}
			return second(s.Recv())
		},
		"observe": func(ctx context.Context) error {
			s, err := watchv1.NewWatchServiceClient(conn).Observe(ctx)
			if err != nil {
				return err
			}
			return second(s.Recv())
		},
	}
	for _, mark := range marks() {
		ctx := metadata.AppendToOutgoingContext(base, mark[0], mark[1])
		for name, call := range doors {
			if err := call(ctx); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED {
				t.Errorf("%s with %q: %v", name, mark, err)
			}
		}
		for _, kind := range []string{"application/json", "application/proto", "application/grpc-web+proto"} {
			if text := b.door(t, kind, mark); !strings.Contains(text, "shadow") {
				t.Errorf("%s with %q: %q", kind, mark, text)
			}
		}
	}
	if b.cell.Head() != before {
		t.Errorf("block %d, want %d: a marked call has written", b.cell.Head(), before)
	}
	if err := doors["hot"](base); err != nil {
		t.Errorf("without a mark: %v", err)
	}
}

// door sends an empty request of some kind by HTTP/1.1 and returns the answer, with its fields.
func (b *bank) door(t *testing.T, kind string, mark [2]string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.addr+"/sterling.ledger.v1.LedgerService/CreateTransfers", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Content-Type": {kind}, "Authorization": {"Bearer " + b.tokens[auth.RoleAdmin]}}
	r.Header.Add(mark[0], mark[1])
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return fmt.Sprint(response.Header, string(text), err)
}

// second drops an answer.
func second[T any](_ T, err error) error { return err }

// sent is an error of sending, but for the end of a stream that was refused: receiving tells why.
func sent(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// TestTheDoorsBetweenCellsHeedTheColour: not even a node of another cell brings shadow traffic.
func TestTheDoorsBetweenCellsHeedTheColour(t *testing.T) {
	conn, err := grpc.NewClient(openCells(t).banks[1].addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+secret)
	if _, err := cellv1.NewCellServiceClient(conn).Catalogue(ctx, &cellv1.CatalogueRequest{}); err != nil {
		t.Errorf("without a mark: %v", err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "x-sterling-shadow", "1")
	if _, err := cellv1.NewCellServiceClient(conn).Catalogue(ctx, &cellv1.CatalogueRequest{}); client.Reason(err) != ledgerv1.ErrorReason_ERROR_REASON_SHADOW_REFUSED {
		t.Errorf("with a mark: %v", err)
	}
}
