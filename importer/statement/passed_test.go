package statement_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/importer/statement"
)

// passed is what comes of statements that are passed on, as text.
func passed(t testing.TB, list []statement.Statement) string {
	t.Helper()
	var b bytes.Buffer
	if err := statement.Encode(&b, list); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPassedOn(t *testing.T) {
	list, err := statement.ReadCamt(strings.NewReader(read(t, "v08.xml")))
	if err != nil {
		t.Fatal(err)
	}
	text := passed(t, list)
	again, err := statement.Decode(strings.NewReader(text))
	if err != nil || len(again) != len(list) || passed(t, again) != text {
		t.Fatalf("%d of %d, %v", len(again), len(list), err)
	}
	for i := range list {
		if !again[i].Through().Equal(list[i].Through()) || len(again[i].Entries) != len(list[i].Entries) {
			t.Errorf("%+v", again[i])
		}
	}
	// Whoever passes statements on is not believed.
	minor := list[0].Closing.String()
	for what, change := range map[error][2]string{
		statement.ErrSums:      {`"closing":{"minor":"` + minor, `"closing":{"minor":"1` + minor},
		statement.ErrCurrency:  {`"asset":"` + list[0].Closing.Asset, `"asset":"XAX/2`},
		statement.ErrMalformed: {`"minor":"`, `"minor":"0`},
	} {
		bad := strings.Replace(text, change[0], change[1], 1)
		if _, err := statement.Decode(strings.NewReader(bad)); bad == text || !errors.Is(err, what) {
			t.Errorf("%s: %v", change[1], err)
		}
	}
	for _, bad := range []string{"{", "[]", `{"id":"` + strings.Repeat("x", statement.MaxText+1) + `"}`, `{"id":"a\u0007"}`, `{"more":1}`} {
		if _, err := statement.Decode(strings.NewReader(bad)); !errors.Is(err, statement.ErrMalformed) {
			t.Errorf("%.40s: %v", bad, err)
		}
	}
}

// FuzzDecode: no text crashes anything, and what is taken is written as it was meant.
func FuzzDecode(f *testing.F) {
	list, err := statement.ReadCamt(strings.NewReader(read(f, "v02.xml")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(passed(f, list))
	f.Add(`{"entries":[{"amount":{"minor":"-1","asset":"CNY/2"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := statement.Decode(strings.NewReader(text))
		if err != nil {
			return
		}
		once := passed(t, list)
		again, err := statement.Decode(strings.NewReader(once))
		if err != nil || passed(t, again) != once {
			t.Fatalf("%q: %v", once, err)
		}
	})
}
