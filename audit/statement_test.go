package audit_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/rfc6962"

	"github.com/sterlingrun/sterling/audit"
)

// vector is an entry, byte by byte: docs/formats.md. Its key is that of test 1 of RFC 8032, section 7.1.
type vector struct {
	Seed        string          `json:"seed"`
	VerifierKey string          `json:"verifier_key"`
	Fields      audit.Statement `json:"-"`
	Statement   string          `json:"statement"`
	Signature   string          `json:"signature"` // hexadecimal
	Entry       string          `json:"entry"`
	LeafHash    string          `json:"leaf_hash"` // hexadecimal
}

func vectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/checkpoint-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []vector
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	list[0].Fields, list[1].Fields = audit.Statement{Cell: 1}, stated(7)
	return list
}

func TestVectors(t *testing.T) {
	for i, v := range vectors(t) {
		seed, err := hex.DecodeString(v.Seed)
		if err != nil {
			t.Fatal(err)
		}
		key := audit.NewTestKey(seed)
		if got := trust(key).String(); got != v.VerifierKey {
			t.Errorf("vector %d: verifier key %s, want %s", i, got, v.VerifierKey)
		}
		text, err := v.Fields.Encode()
		if err != nil {
			t.Fatal(err)
		}
		e := audit.Entry{Statement: text, Signature: key.Sign(text)}
		sealed := audit.Seal(&e)
		got := vector{v.Seed, v.VerifierKey, v.Fields, string(text), hex.EncodeToString(e.Signature), string(sealed), hex.EncodeToString(rfc6962.DefaultHasher.HashLeaf(sealed))}
		if diff := cmp.Diff(v, got); diff != "" {
			t.Errorf("vector %d:\n%s", i, diff)
		}
		read, err := audit.ParseEntry(0, []byte(v.Entry))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := read.Open(key.Public()); err != nil || cmp.Diff(v.Fields, s) != "" {
			t.Errorf("vector %d reads as %+v, %v", i, s, err)
		}
	}
}

func TestStatementsAreBounded(t *testing.T) {
	for name, change := range map[string]func(*audit.Statement){
		"assets descend": func(s *audit.Statement) { s.Totals[0], s.Totals[1] = s.Totals[1], s.Totals[0] },
		"asset twice":    func(s *audit.Statement) { s.Totals[1] = s.Totals[0] },
		"no asset":       func(s *audit.Statement) { s.Totals[0].Asset = "" },
		"asset in words": func(s *audit.Statement) { s.Totals[0].Asset = "CNY/2 posted" },
		"source twice":   func(s *audit.Statement) { s.Sources[1] = s.Sources[0] },
		"no source":      func(s *audit.Statement) { s.Sources[0].Name = "" },
		"source's line":  func(s *audit.Statement) { s.Sources[0].Name = "a\nb" },
		"long name":      func(s *audit.Statement) { s.Sources[1].Name = strings.Repeat("x", 65) },
		"too many": func(s *audit.Statement) {
			s.Sources = nil
			for i := range 900 {
				s.Sources = append(s.Sources, audit.Source{Name: "source-" + strings.Repeat("0", 3-len(itoa(i))) + itoa(i)})
			}
		},
	} {
		s := stated(1)
		change(&s)
		if _, err := s.Encode(); !errors.Is(err, audit.ErrStatement) {
			t.Errorf("%s: %v, want ErrStatement", name, err)
		}
	}
}

func itoa(i int) string {
	b, _ := json.Marshal(i) //nolint:errchkjson // a number
	return string(b)
}

func TestStatementsAreReadInOneWayOnly(t *testing.T) {
	s := stated(1)
	text, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"v1", "v2"},
		{"cell 1", "cell 01"},
		{"cell 1", "cell  1"},
		{"seq 1", "seq +1"},
		{"time", "Time"},
		{"hash ", "hash A"},
		{"posted 100", "posted 0100"},
		{"source orders", "source orders "},
		{"transfers 1", "transfers 1 1"},
		{"events 2\n", "events 2\nevents 2\n"},
		{"total CNY/2", "total cny/2"},
		{"\nsource bank", "\n\nsource bank"},
		{"safe-through 900\nmade 1001", "made 1001\nsafe-through 900"},
		{"340282366920938463463374607431768211455 3402", "340282366920938463463374607431768211456 3402"},
	} {
		bad := strings.Replace(string(text), change[0], change[1], 1)
		if bad == string(text) {
			t.Fatalf("%q changes nothing", change)
		}
		if _, err := audit.ParseStatement([]byte(bad)); !errors.Is(err, audit.ErrStatement) {
			t.Errorf("%q: %v, want ErrStatement", change, err)
		}
	}
}

func TestSameState(t *testing.T) {
	a, b := stated(1), stated(1)
	b.Made, b.SafeThrough = 5_000, 4_000
	if !a.SameState(&b) {
		t.Error("only the times differ, and they are taken for different")
	}
	if b.Events++; a.SameState(&b) {
		t.Error("the events differ")
	}
}

func TestTrustedKeys(t *testing.T) {
	key := newKey(t)
	raw := []byte(key.Public())
	for _, text := range []string{trust(key).String(), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), " " + trust(key).String() + "\n"} {
		got, err := audit.ParseTrusted(text)
		if err != nil || !got.Key.Equal(key.Public()) {
			t.Errorf("%q: %v", text, err)
		}
	}
	good := trust(key).String()
	for _, text := range []string{"", "x", good[:len(good)-4], strings.Replace(good, "/1+", "/2+", 1), strings.Replace(good, "sterling/1", "sterling/01", 1), strings.Replace(good, "sterling/", "other/", 1), hex.EncodeToString(raw[1:]), good + "=" + good} {
		if got, err := audit.ParseTrusted(text); !errors.Is(err, audit.ErrKey) {
			t.Errorf("%q reads as %v, %v", text, got, err)
		}
	}
}

func FuzzParseStatement(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Statement))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := audit.ParseStatement(b)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q is read, and written as %q, %v", b, again, err)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add([]byte(v.Entry))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := audit.ParseEntry(3, b)
		if err == nil && !bytes.Equal(audit.Seal(&e), b) {
			t.Errorf("%q is read, and written as %q", b, audit.Seal(&e))
		}
	})
}

func FuzzOpenCheckpoint(f *testing.F) {
	seed, err := hex.DecodeString(vectors(f)[0].Seed)
	if err != nil {
		f.Fatal(err)
	}
	key := audit.NewTestKey(seed)
	dir := f.TempDir()
	audit.MakeLog(f, key, dir, statements(3, nil))
	f.Add(read(f, dir, "checkpoint"))
	f.Add([]byte("sterling/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— sterling/1 AAAA\n"))
	good, err := trust(key).OpenCheckpoint(read(f, dir, "checkpoint"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := trust(key).OpenCheckpoint(b)
		if err == nil && (c.Size != good.Size || c.Root != good.Root) {
			t.Errorf("%q was never signed, and reads as %+v", b, c)
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte("\x00\x03abc\x00\x00"), uint64(2))
	f.Add([]byte("\x00\x03ab"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint64) {
		list, err := audit.ParseBundle(b, n)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range list {
			again = append(append(again, byte(len(e)>>8), byte(len(e))), e...)
		}
		if uint64(len(list)) != n || !bytes.Equal(again, b) {
			t.Errorf("%q has %d entries %q", b, n, list)
		}
	})
}

func FuzzPaths(f *testing.F) {
	for _, path := range []string{"checkpoint", "tile/0/000", "tile/entries/x001/x234/067.p/8", "tile/7/000.p/1", "tile/0/x001/../../000"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		again, needs, ok := audit.PathOf(path)
		if ok && (again != path || strings.Contains(path, "..") || path != "checkpoint" && needs == 0) {
			t.Errorf("%q is taken for %q of a log of %d", path, again, needs)
		}
	})
}

func FuzzReadState(f *testing.F) {
	f.Add([]byte(`{"format": 1, "checkpoint": "sterling/1\n0\n"}`))
	key := audit.NewTestKey(make([]byte, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := audit.ReadState(b, trust(key)); err == nil && s.Checkpoint().Size > 0 {
			t.Errorf("%q has a checkpoint that was never signed", b)
		}
	})
}
