package api_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// The benchmarks run client and server in one process over a journal in memory,
// so they compare ways through the API; whole servers are measured by bench/.

const benchClients = 64

func BenchmarkTransfersGRPC(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d a call", size), func(b *testing.B) {
			bank := open(b, nil)
			bank.seed()
			var conns [4]*grpc.ClientConn
			for i := range conns {
				conn, err := grpc.NewClient(bank.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				conns[i] = conn
			}
			ctx := metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+bank.tokens[auth.RoleTeller])
			var next atomic.Uint64
			next.Store(1 << 20)
			b.SetParallelism(benchClients / 2)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				client := ledgerv1.NewLedgerServiceClient(conns[next.Add(1)%uint64(len(conns))])
				for pb.Next() {
					r := &ledgerv1.CreateTransfersRequest{}
					for range size {
						r.Transfers = append(r.Transfers, &ledgerv1.Transfer{
							Id: fmt.Sprint(next.Add(1)), DebitAccountId: "1", CreditAccountId: "2", Amount: proto.String("1"), Asset: "CNY/2", Code: 1,
						})
					}
					if _, err := client.CreateTransfers(ctx, r); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}

func BenchmarkTransfersJSON(b *testing.B) {
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d a call", size), func(b *testing.B) {
			bank := open(b, nil)
			bank.seed()
			var next atomic.Int64
			next.Store(1 << 20)
			b.SetParallelism(benchClients / 2)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", bank.addr)
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answers := bufio.NewReader(conn)
				for pb.Next() {
					body := transfersJSON(int(next.Add(int64(size))), size)
					_, err := fmt.Fprintf(conn, "POST /sterling.ledger.v1.LedgerService/CreateTransfers HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
						bank.tokens[auth.RoleTeller], len(body), body)
					if err != nil {
						b.Error(err)
						return
					}
					response, err := http.ReadResponse(answers, nil)
					if err != nil {
						b.Error(err)
						return
					}
					text, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || response.StatusCode != 200 || strings.Count(string(text), "_CREATED") != size {
						b.Errorf("%d %s %v", response.StatusCode, text, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "transfers/s")
		})
	}
}
