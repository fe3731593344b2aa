package client

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// Value is one typed entry of metadata. Make it with [Text], [Int], [Bool],
// [AmountValue], [Time], [Data] or [Personal].
type Value = ledgerv1.MetadataValue

// Metadata is entries by key: letters, digits, '.', '_' and '-', up to 64 bytes; up
// to 32 entries, all together up to 4 KiB.
type Metadata = map[string]*Value

// Text returns a value of up to 1,024 bytes of UTF-8.
func Text(s string) *Value { return &Value{Value: &ledgerv1.MetadataValue_Text{Text: s}} }

// Int returns an integer.
func Int(n int64) *Value { return &Value{Value: &ledgerv1.MetadataValue_Integer{Integer: n}} }

// Bool returns true or false.
func Bool(b bool) *Value { return &Value{Value: &ledgerv1.MetadataValue_Truth{Truth: b}} }

// AmountValue returns a number of minor units. Of which asset is for its key to say.
func AmountValue(minor money.U128) *Value {
	return &Value{Value: &ledgerv1.MetadataValue_Amount{Amount: minor.String()}}
}

// Time returns a moment, to the nanosecond, from 1970 to 2262.
func Time(t time.Time) *Value {
	return &Value{Value: &ledgerv1.MetadataValue_Time{Time: uint64(t.UnixNano())}}
}

// Data returns a value of up to 1,024 bytes, which it keeps.
func Data(b []byte) *Value { return &Value{Value: &ledgerv1.MetadataValue_Data{Data: b}} }

// Personal returns a value that is encrypted with the subject's key, and can't be
// read any more after [Client.Erase]. The subject is kept in clear for ever: a
// customer number, never a name.
func Personal(subject string, value *Value) *Value {
	return &Value{Value: &ledgerv1.MetadataValue_Personal{Personal: &ledgerv1.PersonalValue{Subject: subject, Value: value}}}
}

// sameMetadata tells whether got is what asked recorded. What was erased since can't
// be compared but by whose it was.
func sameMetadata(asked, got Metadata) bool {
	if len(asked) != len(got) {
		return false
	}
	for key, a := range asked {
		g, ok := got[key]
		if !ok {
			return false
		}
		if p := g.GetPersonal(); p.GetErased() && a.GetPersonal() != nil && a.GetPersonal().GetSubject() == p.GetSubject() {
			continue
		}
		if !proto.Equal(a, g) {
			return false
		}
	}
	return true
}

// checkDate wants a day such as "2026-01-31", or nothing. The server would refuse
// it, too, but with all that shares the request.
func checkDate(date string) error {
	if date == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return fmt.Errorf("%w: the booking date %.20q is not a day such as 2026-01-31", ErrEntry, date)
	}
	return nil
}
