package hessian_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

// vectors are values as hessian.js writes them.
func vectors(t testing.TB) (list [][]byte) {
	text, err := os.ReadFile("../../testdata/rpc/hessian.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b)
	}
	return list
}

func TestValuesOfAnotherProgramEndWhereTheyEnd(t *testing.T) {
	list := vectors(t)
	if len(list) < 35 {
		t.Fatalf("%d vectors", len(list))
	}
	for _, b := range list {
		r := hessian.NewReader(append(bytes.Clone(b), 'Z'))
		if err := r.SkipValue(); err != nil || r.At() != len(b) {
			t.Errorf("%.80x: %v after %d of %d bytes", b, err, r.At(), len(b))
		}
		// None of them is whole without its last byte.
		if err := hessian.NewReader(b[:len(b)-1]).SkipValue(); err == nil {
			t.Errorf("%.80x: whole without its last byte", b)
		}
	}
}

func TestTexts(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"\x00", ""},
		{"\x02ab", "ab"},
		{"\x30\x03abc", "abc"},
		{"S\x00\x01x", "x"},
		{"R\x00\x02ab\x01c", "abc"},
		{"R\x00\x01aR\x00\x01bS\x00\x00", "ab"},
		{"\x02\xc3\xa9\xe2\x82\xac", "é€"},
		{"\x02\xed\xa0\xbd\xed\xb8\x80", "\xed\xa0\xbd\xed\xb8\x80"}, // a pair of surrogates
	} {
		if got, err := hessian.NewReader([]byte(tt.in)).Text(); err != nil || string(got) != tt.want {
			t.Errorf("%q: %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{
		"", "\x02a", "S\x00", "N", "\x90", "R\x00\x01a", "R\x00\x01aN",
		"\x01\xc1\xb8",         // x in two bytes: Java reads it as x
		"\x01\xe0\x81\xb8",     // and in three
		"\x01\xc0\x80",         // Java's own zero
		"\x01\xf0\x9f\x98\x80", // four bytes: some count it as one character, some as two
		"\x01\xc3\x41", "\x01\x80",
	} {
		if got, err := hessian.NewReader([]byte(in)).Text(); !errors.Is(err, hessian.ErrMalformed) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int64
	}{
		{"\x90", 0},
		{"\xbf", 47},
		{"\xc7\xff", -1},
		{"\xd5\x11\x70", 70000},
		{"I\xff\xff\xff\xfe", -2},
		{"\xe5", 5},
		{"\xf9\x2c", 300},
		{"\x3d\x11\x70", 70000},
		{"\x59\x00\x00\x00\x07", 7},
		{"L\xff\xff\xff\xff\xff\xff\xff\xff", -1},
	} {
		if n, ok := hessian.NewReader([]byte(tt.in)).Number(); !ok || n != tt.want {
			t.Errorf("%q: %d, %v, want %d", tt.in, n, ok, tt.want)
		}
	}
	for _, in := range []string{"", "N", "\x5b", "L\x00", "\x01a", "T"} {
		r := hessian.NewReader([]byte(in))
		if n, ok := r.Number(); ok || r.At() != 0 {
			t.Errorf("%q: %d after %d bytes", in, n, r.At())
		}
	}
}

func TestWhatCanNotBeReadPast(t *testing.T) {
	deep := strings.Repeat("W", 100) + strings.Repeat("Z", 100)
	for _, in := range []string{
		"", "Z", "\x60", "O\x90", "C\x01A\x91\x01fO\x91N", "C\x01A\xc7\xff\x60", "H\x01aZ", "X\xc7\xff", "XI\x7f\xff\xff\xff", "V\x01a",
		"B\x00\x05abc", "A\x00\x01aN", "QN", "M", "\x40", "@", "G", deep,
		"C\x01AI\x7f\xff\xff\xff", // a class that claims two thousand million fields
	} {
		if err := hessian.NewReader([]byte(in)).SkipValue(); !errors.Is(err, hessian.ErrMalformed) {
			t.Errorf("%.40q: %v", in, err)
		}
	}
	for _, in := range []string{
		"A\x00\x01aB\x00\x01b", "A\x00\x01a\x21b", "A\x00\x01a\x34\x01b", "B\x00\x00", "M\x90Z", "U\x01aNZ", "Q\x90", "\x71\x01aN",
		"C\x01A\x91\x01fC\x01B\x90\x60\x61", // an object in an object
	} {
		if err := hessian.NewReader([]byte(in)).SkipValue(); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "text")
		b := hessian.AppendText(nil, []byte(s))
		r := hessian.NewReader(b)
		got, err := r.Text()
		if err != nil || r.At() != len(b) {
			t.Fatalf("%q: %v after %d of %d bytes", s, err, r.At(), len(b))
		}
		if again := hessian.AppendText(nil, got); !bytes.Equal(again, b) {
			t.Fatalf("%q is written as %x, and then as %x", s, b, again)
		}
	})
}

// FuzzSkip: whatever comes, reading ends within the bytes, and what was read past does not hang on what follows.
func FuzzSkip(f *testing.F) {
	for _, b := range vectors(f) {
		f.Add(b[:min(len(b), 256)])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := hessian.NewReader(b)
		if r.SkipValue() != nil {
			return
		}
		again := hessian.NewReader(append(bytes.Clone(b[:r.At()]), 'Z', 'Z'))
		if err := again.SkipValue(); err != nil || again.At() != r.At() {
			t.Fatalf("%d bytes, then %d, %v", r.At(), again.At(), err)
		}
	})
}
