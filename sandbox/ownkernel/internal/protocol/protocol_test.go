package protocol_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	if err := protocol.WriteAsk(&b, protocol.Order{Run: &protocol.Run{Argv: []string{"/x", "y"}, Main: true}}); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("z", 100_000)
	if n, err := (protocol.Frames{To: &b, Kind: protocol.Stdout}).Write([]byte(text)); n != len(text) || err != nil {
		t.Fatal(n, err)
	}
	if err := protocol.Write(&b, protocol.Exit, []byte{7}); err != nil {
		t.Fatal(err)
	}
	b.WriteString("what follows")
	var o protocol.Order
	if err := protocol.ReadAsk(&b, protocol.MaxFrame, &o); err != nil || o.Run == nil || len(o.Run.Argv) != 2 || !o.Run.Main || o.Boot != nil {
		t.Fatalf("%+v %v", o, err)
	}
	got, frames := "", 0
	for {
		k, payload, err := protocol.Read(&b, protocol.MaxFrame)
		if err != nil {
			t.Fatal(err)
		}
		if k == protocol.Exit {
			if len(payload) != 1 || payload[0] != 7 {
				t.Errorf("exit: %v", payload)
			}
			break
		}
		frames++
		got += string(payload)
	}
	if got != text || frames != 4 {
		t.Errorf("%d bytes in %d frames", len(got), frames)
	}
	if b.String() != "what follows" {
		t.Errorf("read beyond the last frame: %q is left", b.String())
	}
}

func TestFaults(t *testing.T) {
	for name, text := range map[string]string{
		"kind 0":           "\x00\x00\x00\x00\x00",
		"kind 10":          "\x0a\x00\x00\x00\x00",
		"too large":        "\x04\x00\x04\x00\x01",
		"largest size":     "\x04\xff\xff\xff\xff",
		"no head":          "\x04\x00",
		"ends early":       "\x04\x00\x00\x00\x05abc",
		"no first frame":   "\x04\x00\x00\x00\x02{}",
		"no JSON":          "\x01\x00\x00\x00\x02{x",
		"of another shape": "\x01\x00\x00\x00\x02[]",
	} {
		var o protocol.Order
		if err := protocol.ReadAsk(strings.NewReader(text), protocol.MaxFrame, &o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := protocol.Write(io.Discard, protocol.Stdin, make([]byte, protocol.MaxOrder+1)); err == nil {
		t.Error("a frame that nobody reads was written")
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_ = protocol.WriteAsk(&b, protocol.Call{Socket: "s"}) // a buffer takes it
	f.Add(b.Bytes())
	f.Add([]byte("\x04\x00\x00\x00\x03abc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		const most = 64
		r := bytes.NewReader(text)
		k, payload, err := protocol.Read(r, most)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := protocol.Write(&again, k, payload); err != nil {
			t.Fatal(err)
		}
		if len(payload) > most || !bytes.HasPrefix(text, again.Bytes()) || r.Len() != len(text)-again.Len() {
			t.Errorf("%q is read as %d %q", text, k, payload)
		}
		var c protocol.Call
		if err := protocol.ReadAsk(bytes.NewReader(text), most, &c); err == nil && k != protocol.Ask {
			t.Errorf("%q begins no stream", text)
		}
	})
}

// TestConfig: a machine may be frozen for longer than any default of the multiplexer.
func TestConfig(t *testing.T) {
	c := protocol.Config()
	if c.EnableKeepAlive || c.ConnectionWriteTimeout.Hours() < 720 || c.StreamCloseTimeout != 0 {
		t.Errorf("%+v", c)
	}
}
