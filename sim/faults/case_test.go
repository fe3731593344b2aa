package faults_test

import (
	"testing"
	"testing/fstest"

	"github.com/sterlingrun/sterling/sim/faults"
)

// FuzzCase: whatever a case says, it is run or refused, and nothing breaks.
func FuzzCase(f *testing.F) {
	for _, seed := range []string{
		`{"at": "2027-01-15T08:00:00Z", "account": {"id": "1", "asset": "CNY/2", "code": 1}}` + "\n" + `{"account": {"id": "2", "asset": "CNY/2", "code": 1}}` + "\n" +
			`{"transfer": {"id": "1", "debit": "1", "credit": "2", "amount": "5", "asset": "CNY/2", "code": 5, "recorded": {"credit": "9", "created": true, "amount": "7"}}}` + "\n" + `{"block": {}}`,
		`{"at": "2027-01-15T08:00:00Z", "promise": ["orders", "bank"]}` + "\n" + `{"at": "2027-01-15T08:00:03Z", "raw_block": "AAAA"}` + "\n" + `{"restart": {}}`,
		`{"at": "2027-01-15T08:00:00Z", "observation": {"source": "orders", "kind": "instruction", "key": "a", "amount": "1", "asset": "CNY/2", "terms": {"b": 1, "a": 2}}}`,
		`{"at": "2027-01-15T08:00:00Z", "transfer": {"id": "1", "post": "2", "linked": true}}`,
	} {
		f.Add(seed)
	}
	o := builtIn(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4_000 {
			return
		}
		list, err := faults.Cases(fstest.MapFS{"one.jsonl": {Data: []byte(text)}, "one.expected.json": {Data: []byte(`{"breaks": []}`)}})
		if err != nil || len(list) != 1 {
			t.Fatal(err)
		}
		if trial, err := list[0].Run(o); (trial == nil) == (err == nil) {
			t.Fatalf("%v, %v", trial, err)
		}
	})
}
