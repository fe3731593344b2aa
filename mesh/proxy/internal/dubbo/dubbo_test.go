package dubbo_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/dubbo"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

// vectors are messages as dubbo-remoting writes them.
func vectors(t testing.TB) map[string][]byte {
	text, err := os.ReadFile("../../testdata/rpc/dubbo.txt")
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

func TestMessagesOfAnotherProgram(t *testing.T) {
	v := vectors(t)
	for name, b := range v {
		h, err := dubbo.Parse(b)
		if err != nil || int(h.Length) != len(b)-dubbo.HeaderLen || h.Serialization() != dubbo.Hessian2 || !bytes.Equal(h.Append(nil), b[:dubbo.HeaderLen]) {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	c, err := dubbo.ParseCall(v["call"][dubbo.HeaderLen:], 8)
	if err != nil {
		t.Fatal(err)
	}
	if string(c.Service) != "com.bank.Pay" || string(c.Version) != "1.0" || string(c.Method) != "transfer" || len(c.Opaque) != 0 {
		t.Errorf("%q %q %q %q", c.Service, c.Version, c.Method, c.Opaque)
	}
	var got []string
	for _, a := range c.Texts {
		got = append(got, string(a.Name)+"="+string(a.Value))
	}
	if want := "idempotency-key=k1 interface=com.bank.Pay path=com.bank.Pay timeout=3000 version=1.0"; strings.Join(got, " ") != want {
		t.Errorf("attachments %q, want %q", got, want)
	}
	// Written again as it was, it is the same.
	b := c.Open(nil, func(*dubbo.Attachment) bool { return false })
	for _, a := range c.Texts {
		b = dubbo.AppendAttachment(b, a.Name, a.Value)
	}
	if b = dubbo.Close(b); !bytes.Equal(b, v["call"][dubbo.HeaderLen:]) {
		t.Errorf("written as %x", b)
	}
}

// body writes a call of com.bank.Pay with what follows its first three texts.
func body(method, types, rest string) []byte {
	var b []byte
	for _, s := range []string{"2.0.2", "com.bank.Pay", "1.0", method, types} {
		b = hessian.AppendText(b, []byte(s))
	}
	return append(b, rest...)
}

const generic = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"

func TestCalls(t *testing.T) {
	for _, tt := range []struct{ name, method, types, rest, want string }{
		{"no arguments, no attachments", "list", "", "HZ", "list"},
		{"null for attachments", "list", "", "N", "list"},
		{"a typed map", "list", "", "M\x01tZ", "list"},
		{"arrays and primitives", "list", "[[I[Ljava/lang/String;ZJ", "NNTN" + "HZ", "list"},
		{"a generic call", "$invoke", generic, "\x08transferNN" + "HZ", "transfer"},
		{"a generic call that does not wait", "$invokeAsync", generic, "\x08transferNN" + "HZ", "transfer"},
		{"an echo", "$echo", "Ljava/lang/Object;", "N" + "HZ", "$echo"},
	} {
		c, err := dubbo.ParseCall(body(tt.method, tt.types, tt.rest), 8)
		if err != nil || string(c.Method) != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, c, err)
		}
	}
	for _, tt := range []struct{ name, method, types, rest string }{
		{"fewer arguments than types", "list", "IJ", "N" + "HZ"},
		{"more arguments than types", "list", "I", "NN" + "HZ"},
		{"something after the attachments", "list", "", "HZN"},
		{"no attachments", "list", "", ""},
		{"attachments without an end", "list", "", "H\x01a\x01b"},
		{"a name twice", "list", "", "H\x01a\x01b\x01a\x01cZ"},
		{"a name that is no text", "list", "", "H\x90\x01bZ"},
		{"a reference for attachments", "list", "", "Q\x90"},
		{"types that are none", "list", "I,J", "NN" + "HZ"},
		{"types after a void", "list", "VI", "NN" + "HZ"},
		{"an array of nothing", "list", "[", "N" + "HZ"},
		{"a class without an end", "list", "Ljava/lang/String", "N" + "HZ"},
		{"a class without a name", "list", "L;", "N" + "HZ"},
		{"a generic call of other types", "$invoke", "Ljava/lang/String;", "\x08transfer" + "HZ"},
		{"a generic call of null", "$invoke", generic, "NNN" + "HZ"},
		{"no method", "", "", "HZ"},
		{"too many attachments", "list", "", "H\x01a\x00\x01b\x00\x01c\x00\x01d\x00\x01e\x00\x01f\x00\x01g\x00\x01h\x00\x01i\x00Z"},
	} {
		if c, err := dubbo.ParseCall(body(tt.method, tt.types, tt.rest), 8); err == nil {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

func TestAttachmentsThatAreNoTextsStayAsTheyAre(t *testing.T) {
	// The second object is of the class that the first one defines.
	rest := "H\x01aC\x01A\x91\x01f\x60\x92\x02to\xd5\x11\x70\x01b\x60\x93\x04nullN\x01c\x01dZ"
	c, err := dubbo.ParseCall(body("list", "", rest), 8)
	if err != nil || len(c.Opaque) != 3 || len(c.Texts) != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	if n, ok := c.Opaque[1].Number(); !ok || n != 70000 {
		t.Errorf("%d, %v", n, ok)
	}
	if _, ok := c.Opaque[0].Number(); ok {
		t.Error("an object is taken for a number")
	}
	b := c.Open(nil, func(a *dubbo.Attachment) bool { return string(a.Name) == "to" })
	b = dubbo.Close(dubbo.AppendAttachment(b, []byte("to"), []byte("9")))
	again, err := dubbo.ParseCall(b, 8)
	if err != nil || len(again.Opaque) != 2 || len(again.Texts) != 1 || string(again.Texts[0].Value) != "9" {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestAnExceptionCanBeRead(t *testing.T) {
	r := hessian.NewReader(dubbo.AppendException(nil, "sterling: unknown"))
	if n, err := r.Int(); err != nil || n != 0 {
		t.Fatalf("%d, %v", n, err)
	}
	if err := r.SkipValue(); err != nil {
		t.Fatal(err)
	}
	if text, ok := dubbo.Thrown(dubbo.AppendException(nil, "sterling: unknown")); !ok || string(text) != "sterling: unknown" {
		t.Errorf("%q, %v", text, ok)
	}
	if text, ok := dubbo.Thrown(vectors(t)["answer"][dubbo.HeaderLen:]); ok {
		t.Errorf("%q", text)
	}
	// As hessian.js writes such an exception.
	want := "431a6a6176612e6c616e672e52756e74696d65457863657074696f6e910d64657461696c4d6573736167656008737465726c696e67"
	if got := hex.EncodeToString(dubbo.AppendException(nil, "sterling")[1:]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzParseCall: a call that can be read is written so that it says the same.
func FuzzParseCall(f *testing.F) {
	f.Add(vectors(f)["call"][dubbo.HeaderLen:])
	f.Add(body("$invoke", generic, "\x08transferNN"+"H\x01aC\x01A\x91\x01f\x60\x92\x02to\xd5\x11\x70\x01b\x60\x93Z"))
	f.Add(body("list", "[[IZ", "NT"+"M\x01tZ"))
	f.Add(body("list", "", "N"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := dubbo.ParseCall(b, 100)
		if err != nil {
			return
		}
		out := c.Open(nil, func(*dubbo.Attachment) bool { return false })
		for _, a := range c.Texts {
			out = dubbo.AppendAttachment(out, a.Name, a.Value)
		}
		again, err := dubbo.ParseCall(dubbo.Close(out), 100)
		if err != nil {
			t.Fatalf("%x becomes %x: %v", b, out, err)
		}
		if !bytes.Equal(c.Service, again.Service) || !bytes.Equal(c.Method, again.Method) || len(c.Texts) != len(again.Texts) || len(c.Opaque) != len(again.Opaque) {
			t.Fatalf("%+v becomes %+v", c, again)
		}
	})
}
