package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func testChooser(accounts int) *chooser {
	return &chooser{book: newBook(accounts, 7), random: 3, run: 1<<63 - 5, next: 127<<40 + 41}
}

// checkTransfers decodes what fill made and compares it with what a second chooser of the same state chooses.
func checkTransfers(t *testing.T, got []*ledgerv1.Transfer, c *chooser, first uint64, seen map[string]bool) {
	t.Helper()
	known := map[string]bool{}
	for _, id := range c.book.ids {
		known[id.String()] = true
	}
	for i, g := range got {
		if seen[g.GetId()] {
			t.Errorf("transfer %d: id %s was there before", i, g.GetId())
		}
		seen[g.GetId()] = true
		if !known[g.GetDebitAccountId()] || !known[g.GetCreditAccountId()] || g.GetDebitAccountId() == g.GetCreditAccountId() {
			t.Errorf("transfer %d: accounts %s and %s: want two different ones of the book", i, g.GetDebitAccountId(), g.GetCreditAccountId())
		}
		prefix := money.From(c.run%9e17 + 1e17)
		want := prefix.String() + string(appendPadded(first+uint64(i), 19))
		if g.GetId() != want {
			t.Errorf("transfer %d: id %s, want %s", i, g.GetId(), want)
		}
		rest := proto.CloneOf(g)
		rest.Id, rest.DebitAccountId, rest.CreditAccountId = "", "", ""
		if d := cmp.Diff(&ledgerv1.Transfer{Amount: proto.String("100"), Asset: "CNY/2", Code: 1}, rest, protocmp.Transform()); d != "" {
			t.Errorf("transfer %d: %s", i, d)
		}
	}
}

func appendPadded(v uint64, width int) []byte {
	b := make([]byte, width)
	putDigits(b, v)
	return b
}

func TestWireBatchIsWhatProtobufReads(t *testing.T) {
	for _, n := range []int{1, 2, 100} {
		b, err := newWireBatch(n)
		if err != nil {
			t.Fatal(err)
		}
		c, seen := testChooser(50), map[string]bool{}
		for range 3 {
			first := c.next
			var request ledgerv1.CreateTransfersRequest
			if err := proto.Unmarshal(b.fill(c), &request); err != nil {
				t.Fatal(err)
			}
			if len(request.GetTransfers()) != n || b.transfers() != n {
				t.Fatalf("%d transfers, want %d", len(request.GetTransfers()), n)
			}
			checkTransfers(t, request.GetTransfers(), c, first, seen)
		}
		if len(seen) != 3*n {
			t.Errorf("%d ids, want %d", len(seen), 3*n)
		}
	}
}

func TestHTTPCallIsWhatOthersRead(t *testing.T) {
	b, err := newHTTPCall("127.0.0.1:7600", "secret")
	if err != nil {
		t.Fatal(err)
	}
	c, seen := testChooser(50), map[string]bool{}
	for range 3 {
		first := c.next
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b.fill(c))))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			t.Fatalf("%d bytes of body, header says %d: %v", len(body), r.ContentLength, err)
		}
		if r.Method != "POST" || r.URL.Path != "/sterling.ledger.v1.LedgerService/CreateTransfers" || r.Host != "127.0.0.1:7600" ||
			r.Header.Get("Authorization") != "Bearer secret" || r.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("unexpected request %+v", r)
		}
		var request ledgerv1.CreateTransfersRequest
		if err := protojson.Unmarshal(body, &request); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(body) || len(request.GetTransfers()) != 1 {
			t.Fatalf("unexpected body %s", body)
		}
		checkTransfers(t, request.GetTransfers(), c, first, seen)
	}
}

func TestPackedBatchIsRecords(t *testing.T) {
	const n = 300
	b, c := newPackedBatch(n, 9), testChooser(50)
	seen, known := map[money.U128]bool{}, map[money.U128]bool{}
	for _, id := range c.book.ids {
		known[id] = true
	}
	for range 3 {
		first := c.next
		var request ledgerv1.CreateTransfersPackedRequest
		if err := proto.Unmarshal(b.fill(c), &request); err != nil {
			t.Fatal(err)
		}
		for i, r := range journal.View[journal.Transfer](journal.Aligned(request.GetRecords())) {
			want := journal.Transfer{
				ID: money.U128{Hi: c.run, Lo: first + uint64(i)}, Debit: r.Debit, Credit: r.Credit, Amount: money.From(100), Asset: 9, Code: 1,
			}
			if r != want || seen[r.ID] || !known[r.Debit] || !known[r.Credit] || r.Debit == r.Credit {
				t.Fatalf("record %d is %+v", i, r)
			}
			seen[r.ID] = true
		}
	}
	if len(seen) != 3*n {
		t.Errorf("%d records, want %d", len(seen), 3*n)
	}
}

func TestHotCreditsOneAccount(t *testing.T) {
	c := testChooser(10)
	c.hot = true
	for range 1000 {
		if debit, credit := c.accounts(); credit != 0 || debit == 0 {
			t.Fatalf("accounts %d and %d: want one that is not 0, and 0", debit, credit)
		}
	}
}

func TestBookHasDistinctIdsOfOneWidth(t *testing.T) {
	b, seen := newBook(10_000, 1), map[money.U128]bool{}
	for i, id := range b.ids {
		if s := id.String(); len(s) != accountDigits || s != string(b.digits(i)) || seen[id] {
			t.Fatalf("account %d has the id %v and the digits %s", i, id, b.digits(i))
		}
		seen[id] = true
	}
}

func TestCountsCreatedOnly(t *testing.T) {
	other := ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_EXISTS
	one := ledgerv1.CreateTransferStatus_CREATE_TRANSFER_STATUS_CREATED
	response := &ledgerv1.CreateTransfersResponse{Position: &ledgerv1.Position{Cell: 1, Seq: 300}}
	var records []byte
	for i, status := range []ledgerv1.CreateTransferStatus{one, other, one, one, 0, other} {
		response.Results = append(response.Results, &ledgerv1.CreateTransferResult{Status: status, Timestamp: uint64(i)})
		records = append(records, byte(status), 0, 0, 0, 0, 0, 0, 0, byte(i), 0, 0, 0, 0, 0, 0, 0)
	}
	wire, err := proto.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := createdInWire(wire); n != 3 || err != nil {
		t.Errorf("protobuf: %d created, %v; want 3", n, err)
	}
	if _, err := createdInWire(wire[:len(wire)-1]); err == nil {
		t.Error("protobuf: a cut answer was read")
	}
	text, err := protojson.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	if n := createdInJSON(text); n != 3 {
		t.Errorf("JSON: %d created, want 3", n)
	}
	packed, err := proto.Marshal(&ledgerv1.CreateTransfersPackedResponse{Results: records, Position: response.GetPosition()})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := createdInPacked(packed); n != 3 || err != nil {
		t.Errorf("packed: %d created, %v; want 3", n, err)
	}
}
