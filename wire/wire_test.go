package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	"github.com/sterlingrun/sterling/wire"
)

// TestFieldsAreProtos: the bytes are those that proto writes, for embedded messages of every length of a length.
func TestFieldsAreProtos(t *testing.T) {
	for _, n := range []int{0, 1, 100, 127, 128, 1000, 16_000, 16_383, 16_384, 100_000} {
		m := &ledgerv1.LookupAddressesResponse{Accounts: []*ledgerv1.Account{
			{Id: money.Max().String(), DebitsPending: "0", UserData_64: 7, Address: strings.Repeat("a", n)},
			{Id: "0", DebitsPending: "12"},
		}}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for i, a := range m.GetAccounts() {
			var at int
			got, at = wire.Begin(got, 1)
			got = wire.Decimal(got, 1, []money.U128{money.Max(), {}}[i])
			got = wire.Decimal(got, 2, money.From([]uint64{0, 12}[i]))
			got = wire.Varint(got, 7, a.GetUserData_64())
			got = wire.Text(got, 13, a.GetAddress())
			got = wire.Finish(got, at)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("an address of %d bytes: %d bytes are written, proto writes %d", n, len(got), len(want))
		}
	}
}
