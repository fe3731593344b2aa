package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// agree decodes data both ways and compares.
func agree(t *testing.T, d decoding, data []byte) {
	t.Helper()
	var got codec.Batch
	err := d.codec(&got, data)
	want, wantErr := d.oracle(data)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s %q:\ncodec:  %v\noracle: %v", d.name, data, err, wantErr)
	}
	if fault := (*codec.Error)(nil); err != nil && !errors.As(err, &fault) {
		t.Fatalf("%s %q: error of type %T", d.name, data, err)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(codec.Batch{}), protocmp.Transform()); diff != "" {
		t.Fatalf("%s %q: oracle -, codec +\n%s", d.name, data, diff)
	}
}

// jsonCases are texts on which a decoder by hand is likely to differ. §A, §T and
// §I stand for the beginning of a request with one element.
func jsonCases() []string {
	return []string{
		``, ` `, `{}`, `null`, `[]`, `{`, `}`, `{}{}`, `{} x`, ` { } `, "\ufeff{}", `{"accounts":null}`, `{"transfers":null}`, `{"ids":null}`,
		`{"accounts":[]}`, `{"transfers":[ ]}`, `{"ids":[]}`, `{"ids":[]},`, `{"ids":[],}`, `{"ids":["1",]}`, `{"ids":[,"1"]}`, `{"ids":["1" "2"]}`,
		`{"ids":["1","2",""]}`, `{"ids":[null]}`, `{"ids":[1]}`, `{"ids":["x"]}`, `{"ids":["-1"]}`, `{"ids":["1"],"ids":["2"]}`, `{"ids":["\u0031"]}`,
		`{"ids":["340282366920938463463374607431768211455"]}`, `{"ids":["340282366920938463463374607431768211456"]}`, `{"ids":["000000000000000000000000000000000000000000001"]}`,
		`{"\u0069ds":["1"]}`, `{"IDS":["1"]}`, `{"ids":"1"}`, `{"ids":{}}`, `{ids:["1"]}`, `{"ids":nul}`, `{"ids":nullx}`, `{"ids":null_}`, `{"ids":null1}`, `{"ids":["1"]`, `{"ids":["1"}`,
		"{\"ids\":[\"1\x00\"]}", "{\"ids\":[\"1\xff\"]}", `{"ids":["1\"]}`, `{"ids":["\ud83d\ude00"]}`, `{"ids":["\ud83d"]}`, `{"ids":["\ude00\ud83d"]}`, `{"ids":["\x"]}`, `{"ids":["\u00g0"]}`,
		`{"accounts":[{}]}`, `{"accounts":[null]}`, `{"accounts":[[]]}`, `{"accounts":[{"id":"1"},{"id":"2"}]}`, `{"accounts":{"id":"1"}}`, `{"accounts":[{}],"more":1}`,
		`{"accounts":[{"id":"1","asset":"CNY/2","code":1,"flags":["ACCOUNT_FLAG_HISTORY"]}]}`,
		`{"accounts":[{"asset":"BTC/8"},{"asset":"JPY/0"},{"asset":"XAU/3"}]}`, `{"accounts":[{"asset":"cny"}]}`, `{"accounts":[{"asset":""}]}`, `{"accounts":[{"asset":null}]}`,
		`{"accounts":[{"id":"1","id":"2"}]}`, `{"accounts":[{"userData128":"1","user_data_128":"1"}]}`, `{"accounts":[{"id":null,"id":"2"}]}`,
		`{"accounts":[{"debits_pending":"1","debits_posted":"2","credits_pending":"3","credits_posted":"4","user_data_128":"5","user_data_64":"6","user_data_32":7}]}`,
		`{"accounts":[{"debitsPending":"1","debitsPosted":"2","creditsPending":"3","creditsPosted":"4","userData128":"5","userData64":"6","userData32":7,"timestamp":"8"}]}`,
		`{"accounts":[{"reserved":1}]}`, `{"accounts":[{"@type":"x"}]}`, `{"accounts":[{"[x]":1}]}`, `{"accounts":[{"":1}]}`,
		`{"transfers":[{"id":"10","debitAccountId":"1","creditAccountId":"2","amount":"100","asset":"CNY/2","code":1,"flags":["TRANSFER_FLAG_PENDING"],"timeout":60}]}`,
		`{"transfers":[{"id":"10","debit_account_id":"1","credit_account_id":"2","amount":"100","pending_id":"9"}]}`,
		`{"transfers":[{"amount":"1","bookingDate":"2026-01-31","metadata":{"a":{"text":"b"},"n":{"integer":"-3"},"p":{"personal":{"subject":"c:1","value":{"truth":true}}}}},{"amount":"2"},{"amount":"3","metadata":{}}]}`,
		`{"transfers":[{"amount":"1","metadata":{"a":{"text":"}]\"}},"code":7}]}`, `{"transfers":[{"amount":"1","metadata":{"a":{"text":"b","integer":1}}}]}`, `{"transfers":[{"amount":"1","metadata":{"a":1}}]}`,
		`{"transfers":[{"amount":"1","metadata":[]}]}`, `{"transfers":[{"amount":"1","metadata":"x"}]}`, `{"transfers":[{"amount":"1","metadata":{"a":{"text":"b"}}`, `{"transfers":[{"amount":"1","metadata":}]}`,
		`{"transfers":[{"amount":"1","metadata":{},"metadata":{}}]}`, `{"transfers":[{"amount":"1","metadata":{"a":{"text":"b"},"a":{"text":"c"}}}]}`, `{"transfers":[{"amount":"1","booking_date":"x","metadata":null}]}`,
		`{"accounts":[{"address":"a:b"},{"metadata":{"k":{"data":"AAE="}}}]}`, `{"accounts":[{"address":"\u0061"}]}`, `{"accounts":[{"address":7}]}`, `{"accounts":[{"address":"a" "code":1}]}`, `{"accounts":[{"address":tru}]}`,
		`{"transfers":[{}]}`, `{"transfers":[{"amount":null}]}`, `{"transfers":[{"amount":""}]}`, `{"transfers":[{"amount":"0"}]}`, `{"transfers":[{"amount":0}]}`, `{"transfers":[{"amount":"1.5"}]}`,
		`{"transfers":[{"flags":["TRANSFER_FLAG_POST_PENDING_TRANSFER"],"pendingId":"1"}]}`, `{"transfers":[{"flags":["TRANSFER_FLAG_VOID_PENDING_TRANSFER"],"amount":null}]}`,
		`{"transfers":[{"amount":"1","flags":null}]}`, `{"transfers":[{"amount":"1","flags":[]}]}`, `{"transfers":[{"amount":"1","flags":[null]}]}`, `{"transfers":[{"amount":"1","flags":["x"]}]}`,
		`{"transfers":[{"amount":"1","flags":["TRANSFER_FLAG_LINKED","TRANSFER_FLAG_LINKED","TRANSFER_FLAG_FENCE"]}]}`, `{"transfers":[{"amount":"1","flags":"TRANSFER_FLAG_LINKED"}]}`,
		`{"transfers":[{"amount":"1","flags":[1,2,4096]}]}`, `{"transfers":[{"amount":"1","flags":[65536]}]}`, `{"transfers":[{"amount":"1","flags":[-1]}]}`, `{"transfers":[{"amount":"1","flags":["1"]}]}`,
		`{"transfers":[{"amount":"1","flags":[1.0]}]}`, `{"transfers":[{"amount":"1","flags":[1.5]}]}`, `{"transfers":[{"amount":"1","flags":[true]}]}`, `{"transfers":[{"amount":"1","flags":["TRANSFER\u005fFLAG_LINKED"]}]}`,
		`{"transfers":[{"amount":"1","unknown":{"a":[1,2,{}]}}]}`, `{"transfers":[{"amount":"1"}],}`, `{"transfers":[{"amount":"1",}]}`, `{"transfers":[{"amount" "1"}]}`, `{"transfers":[{"amount":"1" "code":1}]}`,
	}
}

// numberCases go into every field that is a number.
func numberCases() []string {
	return []string{
		`0`, `-0`, `1`, `"1"`, `"0"`, `""`, `" 1"`, `"1 "`, `01`, `"01"`, `1.0`, `1.5`, `"1.0"`, `1e2`, `"1e2"`, `1E+2`, `10e-1`, `1e-1`, `1e999999999`, `"1e99999999999"`, `-1`, `"-1"`, `+1`, `.5`, `1.`, `1e`,
		`65535`, `65536`, `4294967295`, `4294967296`, `"4294967296"`, `18446744073709551615`, `"18446744073709551615"`, `18446744073709551616`, `9999999999999999999`, `99999999999999999999`,
		`"\u0031"`, `"1\n"`, `true`, `null`, `"null"`, `{}`, `[1]`, `1x`, `0x1`, `1_000`, `NaN`, `Infinity`, `"NaN"`, `1 2`, `1"`, `'1'`, `1/**/`,
	}
}

func TestJSONAgreesWithProtojson(t *testing.T) {
	ways := jsonDecodings(codec.New())
	cases := jsonCases()
	for _, field := range []string{"userData64", "userData32", "code", "timestamp", "timeout", "id", "flags"} {
		for _, n := range numberCases() {
			cases = append(cases, `{"accounts":[{"`+field+`":`+n+`}]}`, `{"transfers":[{"amount":"1","`+field+`":`+n+`}]}`)
		}
	}
	for _, text := range cases {
		for _, d := range ways {
			agree(t, d, []byte(text))
			agree(t, d, []byte(" \t\r\n"+strings.NewReplacer(":", " : ", ",", "\n,\t", "{", "{ ").Replace(text)+"\n"))
		}
	}
}

func TestBoundsOnEvents(t *testing.T) {
	c := codec.New()
	for n, fits := range map[int]bool{codec.MaxEvents: true, codec.MaxEvents + 1: false} {
		accounts, transfers, ids := &ledgerv1.CreateAccountsRequest{}, &ledgerv1.CreateTransfersRequest{}, &ledgerv1.LookupAccountsRequest{}
		for range n {
			accounts.Accounts = append(accounts.Accounts, &ledgerv1.Account{Id: "1"})
			transfers.Transfers = append(transfers.Transfers, &ledgerv1.Transfer{Id: "1", Amount: proto.String("1")})
			ids.Ids = append(ids.Ids, "1")
		}
		for i, m := range []proto.Message{accounts, transfers, ids} {
			for _, decode := range []func() ([]byte, error){
				func() ([]byte, error) { return protojson.Marshal(m) },
				func() ([]byte, error) { return proto.Marshal(m) },
			} {
				data, err := decode()
				if err != nil {
					t.Fatal(err)
				}
				ways := jsonDecodings(c)
				if data[0] != '{' {
					ways = wireDecodings(c)
				}
				var b codec.Batch
				if err := ways[i].codec(&b, data); (err == nil) != fits {
					t.Errorf("%d %s: %v", n, ways[i].name, err)
				}
			}
		}
	}
}

func TestErrorsNameTheField(t *testing.T) {
	c := codec.New()
	for text, want := range map[string]string{
		`{"transfers":[{"amount":"1"},{"amount":"1x"}]}`:                   `transfers[1].amount: want decimal digits, such as "100"`,
		`{"transfers":[{"amount":"1"},{}]}`:                                "transfers[1].amount: is missing: only a post or a void may leave it out",
		`{"transfers":[{"flags":["TRANSFER_FLAG_X"]}]}`:                    `transfers[0].flags: "TRANSFER_FLAG_X" is unknown`,
		`{"transfers":[{"code":65536}]}`:                                   "transfers[0].code: want a whole number from 0 to 65535",
		`{"transfers":[{"id":"340282366920938463463374607431768211456"}]}`: "transfers[0].id: larger than 2^128-1",
		`{"transfers":[{"asset":"yuan"}]}`:                                 `transfers[0].asset: "yuan" is not an asset: want CODE/SCALE, such as "CNY/2"`,
		`{"transfers":[{"quantity":"1"}]}`:                                 `transfers[0]: unknown field "quantity"`,
		`{"transfer":[]}`:                                                  `unknown field "transfer"`,
		`{"transfers":[{"id":"1","id":"1"}]}`:                              "transfers[0].id: given twice",
		`{"transfers":[}`:                                                  `invalid JSON at byte 14: found '}' where '{' should stand`,
		`{"transfers":[`:                                                   `invalid JSON: it ends where '{' should follow`,
	} {
		var b codec.Batch
		err := c.DecodeTransfersJSON(&b, []byte(text), assets())
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

func sample() codec.Reply {
	return codec.Reply{
		Sequence: 7, Cell: math.MaxUint64, Seq: math.MaxUint64,
		Results: []journal.Result{{Status: 1, Timestamp: 5}, {Status: 23, Timestamp: math.MaxUint64}, {Status: 27, Timestamp: 0}},
		Accounts: []journal.Account{{}, {
			ID: money.Max(), DebitsPending: money.From(1), DebitsPosted: money.Max(), CreditsPending: money.Max(), CreditsPosted: money.Max(),
			UserData128: money.Max(), UserData64: math.MaxUint64, UserData32: math.MaxUint32, Asset: 2, Code: 65535, Flags: journal.AccountFlagsKnown, Timestamp: math.MaxUint64,
		}},
		Transfers: []journal.Transfer{{}, {
			ID: money.Max(), Debit: money.Max(), Credit: money.From(2), Amount: money.Max(), PendingID: money.Max(), UserData128: money.Max(),
			UserData64: math.MaxUint64, UserData32: math.MaxUint32, Timeout: math.MaxUint32, Asset: 1, Code: 9, Flags: journal.TransferFlagsKnown, Timestamp: 1,
		}, {ID: money.From(1), Amount: money.From(5), Asset: 1, Code: 1, Flags: 2, Timeout: 60}},
		Details: []codec.Details{{Event: 1, Transit: &ledgerv1.Transit{TransferId: "340282366920938463463374607431768211455", Step: 6, Peer: 9, AccountId: "8"}, Address: "a:b", BookingDate: "2026-01-31", Metadata: map[string]*ledgerv1.MetadataValue{
			"who": {Value: &ledgerv1.MetadataValue_Personal{Personal: &ledgerv1.PersonalValue{Subject: "c"}}},
		}}},
	}
}

// TestRepliesAreWhatProtoWrites reads what the encoders write with proto and
// protojson, writes it again, and compares both the bytes and the meaning.
func TestRepliesAreWhatProtoWrites(t *testing.T) {
	c, full, empty := codec.New(), sample(), codec.Reply{}
	for name, r := range map[string]*codec.Reply{"full": &full, "empty": &empty} {
		for _, e := range []struct {
			name       string
			message    proto.Message
			wire, json []byte
		}{
			{"accounts created", &ledgerv1.CreateAccountsResponse{}, c.AppendResultsWire(nil, r), c.AppendAccountResultsJSON(nil, r)},
			{"transfers created", &ledgerv1.CreateTransfersResponse{}, c.AppendResultsWire(nil, r), c.AppendTransferResultsJSON(nil, r)},
			{"stream", &ledgerv1.CreateTransfersStreamResponse{}, c.AppendStreamWire(nil, r), nil},
			{"accounts", &ledgerv1.LookupAccountsResponse{}, c.AppendAccountsWire(nil, r, assets()), c.AppendAccountsJSON(nil, r, assets())},
			{"transfers", &ledgerv1.LookupTransfersResponse{}, c.AppendTransfersWire(nil, r, assets()), c.AppendTransfersJSON(nil, r, assets())},
			{"packed results", &ledgerv1.CreateTransfersPackedResponse{}, c.AppendResultsPacked(nil, r), nil},
			{"packed accounts", &ledgerv1.LookupAccountsPackedResponse{}, c.AppendAccountsPacked(nil, r), nil},
		} {
			if err := proto.Unmarshal(e.wire, e.message); err != nil {
				t.Fatalf("%s %s: %v", name, e.name, err)
			}
			again, err := proto.MarshalOptions{Deterministic: true}.Marshal(e.message)
			if err != nil || !bytes.Equal(again, e.wire) {
				t.Errorf("%s %s: %v\n got %x\nwant %x", name, e.name, err, e.wire, again)
			}
			if e.json == nil {
				continue
			}
			parsed := e.message.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal(e.json, parsed); err != nil {
				t.Fatalf("%s %s: %v in %s", name, e.name, err, e.json)
			}
			if diff := cmp.Diff(e.message, parsed, protocmp.Transform()); diff != "" {
				t.Errorf("%s %s: wire -, JSON +\n%s", name, e.name, diff)
			}
			text, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(e.message)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := canonical(t, e.json), canonical(t, text); got != want {
				t.Errorf("%s %s:\n got %s\nwant %s", name, e.name, got, want)
			}
		}
	}
}

// canonical removes the spaces that protojson puts in at random.
func canonical(t *testing.T, text []byte) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestReplyMatchesTheMessage(t *testing.T) {
	r := sample()
	var m ledgerv1.LookupTransfersResponse
	if err := proto.Unmarshal(codec.New().AppendTransfersWire(nil, &r, assets()), &m); err != nil {
		t.Fatal(err)
	}
	o := oracle{}
	back := o.transfers(m.GetTransfers())
	if diff := cmp.Diff(r.Transfers, back.Transfers); o.err != nil || diff != "" {
		t.Fatalf("%v\n%s", o.err, diff)
	}
	var accounts ledgerv1.LookupAccountsResponse
	if err := proto.Unmarshal(codec.New().AppendAccountsWire(nil, &r, assets()), &accounts); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Accounts, o.accounts(accounts.GetAccounts()).Accounts); o.err != nil || diff != "" {
		t.Fatalf("%v\n%s", o.err, diff)
	}
}

func TestPacked(t *testing.T) {
	c, r := codec.New(), sample()
	var b codec.Batch
	transfers, err := proto.Marshal(&ledgerv1.CreateTransfersPackedRequest{Records: journal.Bytes(r.Transfers)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DecodeTransfersPacked(&b, transfers); err != nil || !cmp.Equal(b.Transfers, r.Transfers) {
		t.Fatalf("transfers: %v, %v", b.Transfers, err)
	}
	accounts, err := proto.Marshal(&ledgerv1.CreateAccountsPackedRequest{Records: journal.Bytes(r.Accounts)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DecodeAccountsPacked(&b, accounts); err != nil || !cmp.Equal(b.Accounts, r.Accounts) {
		t.Fatalf("accounts: %v, %v", b.Accounts, err)
	}
	ids, err := proto.Marshal(&ledgerv1.LookupAccountsPackedRequest{Ids: []byte("\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00")})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DecodeIDsPacked(&b, ids); err != nil || !cmp.Equal(b.IDs, []money.U128{{Lo: 1, Hi: 2}}) {
		t.Fatalf("ids: %v, %v", b.IDs, err)
	}
	for name, records := range map[string][]byte{"a part of a record": make([]byte, 127), "too many": make([]byte, (codec.MaxEvents+1)*128)} {
		data, err := proto.Marshal(&ledgerv1.CreateTransfersPackedRequest{Records: records})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.DecodeTransfersPacked(&b, data); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonCases() {
		f.Add([]byte(text))
	}
	for _, n := range numberCases() {
		f.Add([]byte(`{"transfers":[{"amount":"1","userData64":` + n + `}]}`))
	}
	ways := jsonDecodings(codec.New())
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range ways {
			agree(t, d, data)
		}
	})
}

func FuzzWire(f *testing.F) {
	for _, text := range jsonCases() {
		for _, m := range []proto.Message{&ledgerv1.CreateAccountsRequest{}, &ledgerv1.CreateTransfersRequest{}, &ledgerv1.LookupAccountsRequest{}} {
			if protojson.Unmarshal([]byte(text), m) != nil {
				continue
			}
			data, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	ways := wireDecodings(codec.New())
	f.Fuzz(func(t *testing.T, data []byte) {
		for i, m := range []proto.Message{&ledgerv1.CreateAccountsRequest{}, &ledgerv1.CreateTransfersRequest{}, &ledgerv1.LookupAccountsRequest{}} {
			var b codec.Batch
			if ways[i].codec(&b, data) == nil {
				agree(t, ways[i], data)
			}
			if proto.Unmarshal(data, m) != nil {
				continue
			}
			// As proto writes it again: no field given twice. There the codec
			// refuses a malformed value even if a later one replaces it.
			plain, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, ways[i], plain)
		}
	})
}

func BenchmarkDecodeTransfers(b *testing.B) {
	m := &ledgerv1.CreateTransfersRequest{}
	for range 100 {
		m.Transfers = append(m.Transfers, &ledgerv1.Transfer{
			Id: "2345678901234567890123456789012345", DebitAccountId: "1000001", CreditAccountId: "1000002", Amount: proto.String("12345"),
			Asset: "CNY/2", Code: 1, Flags: []ledgerv1.TransferFlag{ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING}, Timeout: 60,
		})
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	c, table, batch := codec.New(), assets(), codec.Batch{}
	run := func(name string, decode func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				if err := decode(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/transfer")
		})
	}
	run("json", func() error { return c.DecodeTransfersJSON(&batch, text, table) })
	run("wire", func() error { return c.DecodeTransfersWire(&batch, wire, table) })
	run("protojson", func() error { return protojson.Unmarshal(text, &ledgerv1.CreateTransfersRequest{}) })
	run("proto", func() error { return proto.Unmarshal(wire, &ledgerv1.CreateTransfersRequest{}) })
}
