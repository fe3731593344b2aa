package bolt_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/bolt"
)

// vectors are messages as sofa-bolt-node writes them.
func vectors(t testing.TB) map[string][]byte {
	text, err := os.ReadFile("../../testdata/rpc/bolt.txt")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for line := range strings.Lines(string(text)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), " ")
		b, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	return all
}

func parse(b []byte) (bolt.Message, error) {
	n, err := bolt.HeaderLen(b)
	if err != nil || len(b) < n {
		return bolt.Message{}, bolt.ErrMalformed
	}
	m, err := bolt.Parse(b[:n])
	if err != nil {
		return m, err
	}
	return m, m.SetBody(b[:n], b[n:])
}

func TestMessagesOfAnotherProgram(t *testing.T) {
	for name, b := range vectors(t) {
		m, err := parse(b)
		if name == "ambiguous" { // a checksum in a version that Java does not write one in
			if err == nil {
				t.Errorf("%s: %+v", name, m)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if two := strings.HasSuffix(name, "2"); m.CRC != two || (m.Protocol == 2) != two {
			t.Errorf("%s: protocol %d, checksum %v", name, m.Protocol, m.CRC)
		}
		if again, err := m.Append(nil); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: written as %x, %v", name, again, err)
		}
		switch strings.TrimSuffix(name, "2") {
		case "call", "oneway":
			service, method, err := bolt.Target(m.Content)
			if want := map[bool]string{true: "transfer", false: "note"}[m.Kind == bolt.Request]; string(service) != "com.bank.Pay:1.0" || string(method) != want || err != nil {
				t.Errorf("%s: calls %q %q, %v", name, service, method, err)
			}
			headers, err := bolt.ParseHeaders(nil, m.Headers, 8)
			if err != nil || len(headers) != 1 || string(headers[0].Name) != "service" || m.Timeout != 3000 || m.Command != bolt.RPCRequest {
				t.Errorf("%s: %q, %v, timeout %d", name, headers, err, m.Timeout)
			}
		case "ping":
			pong := m.Reply(bolt.Success)
			if b, err := pong.Append(nil); err != nil || !bytes.Equal(b, vectors(t)["pong"+strings.TrimPrefix(name, "ping")]) {
				t.Errorf("the answer to a %s: %x, %v", name, b, err)
			}
		}
	}
}

func TestDamagedMessages(t *testing.T) {
	v := vectors(t)
	for name, change := range map[string]func(b []byte) []byte{
		"another protocol":      func(b []byte) []byte { b[0] = 3; return b },
		"another version":       func(b []byte) []byte { b[1] = 3; return b },
		"another type":          func(b []byte) []byte { b[2] = 3; return b },
		"a byte changed":        func(b []byte) []byte { b[60] ^= 1; return b },
		"the sum changed":       func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"the id changed":        func(b []byte) []byte { b[9] ^= 1; return b },
		"cut":                   func(b []byte) []byte { return b[:len(b)-1] },
		"more than it says":     func(b []byte) []byte { return append(b, 0) },
		"a class of 40 kB":      func(b []byte) []byte { b[16] = 0x90; return b },
		"a content of 2^31":     func(b []byte) []byte { b[20] = 0x80; return b },
		"a head that is cut":    func(b []byte) []byte { return b[:10] },
		"nothing":               func([]byte) []byte { return nil },
		"the sum not announced": func(b []byte) []byte { b[11] = 0; return b },
	} {
		if m, err := parse(change(bytes.Clone(v["call2"]))); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.MapOfN(rapid.StringN(1, 20, -1), rapid.String(), 0, 10).Draw(t, "headers")
		var b []byte
		for name, value := range want {
			b = bolt.AppendHeader(b, []byte(name), []byte(value))
		}
		got, err := bolt.ParseHeaders(nil, b, 10)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q: %v", got, err)
		}
		for _, h := range got {
			if want[string(h.Name)] != string(h.Value) {
				t.Fatalf("%q: %q", h.Name, h.Value)
			}
		}
	})
	one := bolt.AppendHeader(nil, []byte("a"), []byte("b"))
	for name, b := range map[string][]byte{
		"twice": append(bytes.Clone(one), one...), "no name": bolt.AppendHeader(nil, nil, []byte("b")), "cut": one[:len(one)-1],
		"a name of null": {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, "a negative length": {0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xfe},
		"too many": bolt.AppendHeader(bolt.AppendHeader(bytes.Clone(one), []byte("c"), nil), []byte("d"), nil),
	} {
		if got, err := bolt.ParseHeaders(nil, b, 2); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, err := bolt.ParseHeaders(nil, []byte{0, 0, 0, 1, 'a', 0xff, 0xff, 0xff, 0xff}, 2); err != nil || len(got) != 0 {
		t.Errorf("null: %q, %v", got, err)
	}
}

// TestContentsAsJavaWritesThem: SOFARPC's own serializer sorts the fields so that texts come first, and gives long names
// a length of two bytes.
func TestContentsAsJavaWritesThem(t *testing.T) {
	const class = "O\xbccom.alipay.sofa.rpc.core.request.SofaRequest\x95" +
		"\rtargetAppName\nmethodName\x17targetServiceUniqueName\frequestProps\rmethodArgSigso\x90"
	long := "com.bank.settlement.facade.PaymentFacade:1.0"
	for content, want := range map[string]string{
		class + "N\x08transfer\x10com.bank.Pay:1.0M\x08protocol\x04boltzV":        "com.bank.Pay:1.0 transfer",
		class + "\x03app\x08transferS\x00" + string(rune(len(long))) + long + "N": long + " transfer",
	} {
		service, method, err := bolt.Target([]byte(content))
		if got := string(service) + " " + string(method); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
}

func TestContentsThatDoNotSayWhatIsCalled(t *testing.T) {
	m, err := parse(vectors(t)["call"])
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, by string) []byte {
		if !bytes.Contains(m.Content, []byte(old)) {
			t.Fatalf("no %q in the content", old)
		}
		return bytes.Replace(m.Content, []byte(old), []byte(by), 1)
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "another class": replace("SofaRequest", "SofaRequesu"),
		"no method": replace("\nmethodName", "\nmethodNamf"), "no service": replace("\x17targetServiceUniqueName", "\x17targetServiceUniqueNamf"),
		"the same name twice": replace("\rmethodArgSigs", "\nmethodName"), "a map before": replace("\x08transfer", "Mz\x08transfer"),
		"null for a method": replace("\x08transfer", "N"), "no object": replace("o\x90\x08", "o\x91\x08"),
	} {
		if service, method, err := bolt.Target(content); err == nil {
			t.Errorf("%s: %q %q", name, service, method)
		}
	}
}

// FuzzParse: what can be read is written the same, and nothing makes it panic.
func FuzzParse(f *testing.F) {
	for _, b := range vectors(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		if again, err := m.Append(nil); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is written as %x, %v", b, again, err)
		}
		if service, method, err := bolt.Target(m.Content); err == nil && (len(service) == 0 || len(method) == 0) {
			t.Fatal("a target without a name")
		}
		headers, err := bolt.ParseHeaders(nil, m.Headers, 100)
		if err != nil {
			return
		}
		var out []byte
		for _, h := range headers {
			out = bolt.AppendHeader(out, h.Name, h.Value)
		}
		if again, err := bolt.ParseHeaders(nil, out, 100); err != nil || len(again) != len(headers) {
			t.Fatalf("%q, then %q, %v", headers, again, err)
		}
	})
}
