package proxy_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/bolt"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/dubbo"
	"github.com/sterlingrun/sterling/mesh/proxy/internal/hessian"
)

// message is a message of either protocol as the tests see it.
type message struct {
	kind    string // call, send, answer, ping, pong, event
	id      uint64
	fields  map[string]string // of a call
	timeout string
	status  string // of an answer: ok, busy, unknown, or others
	text    string // what a call is for, or an answer says
	raw     []byte
}

// tongue speaks one of the protocols. service is com.bank.Pay.
type tongue interface {
	name() string
	call(id uint64, method, text string, oneWay bool, fields map[string]string) []byte
	answer(to message, text string) []byte
	ping(id uint64) []byte
	read(in *bufio.Reader) (message, error)
	path(method string) string
}

var tongues = []tongue{boltTongue{}, dubboTongue{}}

// boltTongue calls with a codec whose contents nobody reads, so the headers name the method.
type boltTongue struct{}

const boltService = "com.bank.Pay:1.0"

func (boltTongue) name() string              { return proxy.ProtocolBolt }
func (boltTongue) path(method string) string { return "/" + boltService + "/" + method }

func (boltTongue) call(id uint64, method, text string, oneWay bool, fields map[string]string) []byte {
	m := bolt.Message{Protocol: 1, Kind: bolt.Request, Command: bolt.RPCRequest, ID: uint32(id), Codec: 11, Timeout: 10_000, Class: []byte(bolt.SofaRequest), Content: []byte(text)}
	if oneWay {
		m.Kind, m.Timeout = bolt.OneWay, -1
	}
	if s, ok := fields["timeout"]; ok {
		ms, _ := strconv.Atoi(s)
		m.Timeout = int32(ms)
	}
	add := func(name, value string) { m.Headers = bolt.AppendHeader(m.Headers, []byte(name), []byte(value)) }
	add("sofa_head_target_service", boltService)
	add("sofa_head_method_name", method)
	for name, value := range fields {
		if name != "timeout" {
			add(name, value)
		}
	}
	b, _ := m.Append(nil)
	return b
}

func (boltTongue) answer(to message, text string) []byte {
	asked, _ := bolt.Parse(to.raw)
	m := asked.Reply(bolt.Success)
	m.Content = []byte(text)
	b, _ := m.Append(nil)
	return b
}

func (boltTongue) ping(id uint64) []byte {
	m := bolt.Message{Protocol: 1, Kind: bolt.Request, Command: bolt.Heartbeat, ID: uint32(id), Codec: 1}
	b, _ := m.Append(nil)
	return b
}

func (boltTongue) read(in *bufio.Reader) (message, error) {
	lead, err := in.Peek(bolt.Lead)
	if err != nil {
		return message{}, err
	}
	n, err := bolt.HeaderLen(lead)
	if err != nil {
		return message{}, err
	}
	head := make([]byte, n)
	if _, err := io.ReadFull(in, head); err != nil {
		return message{}, err
	}
	m, err := bolt.Parse(head)
	if err != nil {
		return message{}, err
	}
	body := make([]byte, m.BodyLen())
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, err
	}
	if err := m.SetBody(head, body); err != nil {
		return message{}, err
	}
	headers, err := bolt.ParseHeaders(nil, m.Headers, 100)
	if err != nil {
		return message{}, err
	}
	out := message{
		id: uint64(m.ID), timeout: strconv.Itoa(int(m.Timeout)), text: string(m.Content), raw: append(head, body...), fields: map[string]string{},
		kind: map[bolt.Kind]string{bolt.Request: "call", bolt.OneWay: "send", bolt.Response: "answer"}[m.Kind],
	}
	for _, h := range headers {
		out.fields[string(h.Name)] = string(h.Value)
	}
	if m.Command == bolt.Heartbeat {
		out.kind = map[string]string{"call": "ping", "answer": "pong"}[out.kind]
	}
	out.status = map[uint16]string{bolt.Success: "ok", bolt.Busy: "busy", bolt.Unknown: "unknown"}[m.Status]
	if why := out.fields["x-sterling-failure"]; out.kind == "answer" && why != "" {
		out.text = "sterling: " + out.fields["x-sterling-outcome"] + ": " + why
	}
	return out, nil
}

type dubboTongue struct{}

func (dubboTongue) name() string              { return proxy.ProtocolDubbo }
func (dubboTongue) path(method string) string { return "/com.bank.Pay/" + method }

func (dubboTongue) message(flag, status byte, id uint64, body []byte) []byte {
	h := dubbo.Header{Flag: flag | dubbo.Hessian2, Status: status, ID: id, Length: uint32(len(body))}
	return append(h.Append(nil), body...)
}

func (d dubboTongue) call(id uint64, method, text string, oneWay bool, fields map[string]string) []byte {
	var b []byte
	for _, s := range []string{"2.0.2", "com.bank.Pay", "1.0", method, "Ljava/lang/String;", text} {
		b = hessian.AppendText(b, []byte(s))
	}
	b = append(b, 'H')
	if _, ok := fields["timeout"]; !ok && !oneWay {
		b = dubbo.AppendAttachment(b, []byte("timeout"), []byte("10000"))
	}
	b = dubbo.AppendAttachment(b, []byte("path"), []byte("com.bank.Pay"))
	for name, value := range fields {
		b = dubbo.AppendAttachment(b, []byte(name), []byte(value))
	}
	flag := byte(dubbo.FlagRequest | dubbo.FlagTwoWay)
	if oneWay {
		flag = dubbo.FlagRequest
	}
	return d.message(flag, 0, id, dubbo.Close(b))
}

func (d dubboTongue) answer(to message, text string) []byte {
	return d.message(0, dubbo.OK, to.id, hessian.AppendText([]byte{0x91}, []byte(text)))
}

func (d dubboTongue) ping(id uint64) []byte {
	return d.message(dubbo.FlagRequest|dubbo.FlagTwoWay|dubbo.FlagEvent, 0, id, []byte("N"))
}

func (dubboTongue) read(in *bufio.Reader) (message, error) {
	head := make([]byte, dubbo.HeaderLen)
	if _, err := io.ReadFull(in, head); err != nil {
		return message{}, err
	}
	h, err := dubbo.Parse(head)
	if err != nil {
		return message{}, err
	}
	body := make([]byte, h.Length)
	if _, err := io.ReadFull(in, body); err != nil {
		return message{}, err
	}
	out := message{id: h.ID, raw: append(head, body...), fields: map[string]string{}, kind: "answer"}
	if h.Flag&dubbo.FlagEvent != 0 {
		out.text = string(body)
		out.kind = map[byte]string{0: "pong", dubbo.FlagRequest: "event", dubbo.FlagRequest | dubbo.FlagTwoWay: "ping"}[h.Flag&0xc0]
		return out, nil
	}
	if h.Flag&dubbo.FlagRequest != 0 {
		out.kind = map[bool]string{true: "call", false: "send"}[h.Flag&dubbo.FlagTwoWay != 0]
		c, err := dubbo.ParseCall(body, 100)
		if err != nil {
			return out, err
		}
		for _, a := range c.Texts {
			out.fields[string(a.Name)] = string(a.Value)
		}
		out.timeout = out.fields["timeout"]
		r := hessian.NewReader(body)
		for range 6 {
			text, _ := r.Text()
			out.text = string(text)
		}
		return out, nil
	}
	if i := bytes.Index(body, []byte("sterling: ")); i >= 0 {
		out.text = string(body[i:])
		out.status = map[byte]string{dubbo.Exhausted: "busy", dubbo.OK: "unknown"}[h.Status]
		return out, nil
	}
	r := hessian.NewReader(body)
	if h.Status == dubbo.OK {
		_, _ = r.Int()
	}
	text, err := r.Text()
	out.status, out.text = map[byte]string{dubbo.OK: "ok", dubbo.Exhausted: "busy"}[h.Status], string(text)
	return out, err
}

// talker is one side of a connection.
type talker struct {
	net.Conn
	tongue
	t  *testing.T
	in *bufio.Reader
}

func talk(t *testing.T, g tongue, address string) *talker {
	t.Helper()
	c := dialAddress(t, address)
	return &talker{c.Conn, g, t, c.in}
}

// talkOn talks on a connection that is there.
func talkOn(t *testing.T, g tongue, c net.Conn) *talker {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &talker{c, g, t, bufio.NewReader(c)}
}

func configOf(g tongue, endpoint string) []byte {
	return fmt.Appendf(nil, oneRPC, g.name(), "", g.name(), endpoint, "", "")
}

func (k *talker) say(b []byte) *talker {
	k.t.Helper()
	if _, err := k.Write(b); err != nil {
		k.t.Fatal(err)
	}
	return k
}

func (k *talker) hear() message {
	k.t.Helper()
	m, err := k.read(k.in)
	if err != nil {
		k.t.Fatalf("read a message: %v", err)
	}
	return m
}

// ask calls and wants the answer.
func (k *talker) ask(id uint64, method, text string, fields map[string]string) message {
	k.t.Helper()
	m := k.say(k.call(id, method, text, false, fields)).hear()
	if m.kind != "answer" || m.id != id {
		k.t.Fatalf("want the answer to %d, got %s %d", id, m.kind, m.id)
	}
	return m
}

func (k *talker) gone() {
	k.t.Helper()
	if b, err := io.ReadAll(k.in); len(b) > 0 || isTimeout(err) {
		k.t.Fatalf("want the end of the connection, got %x, %v", b, err)
	}
}

// peer is an endpoint. serve gets each message, and says what goes back; nil: nothing, and an empty one: the
// connection is closed.
type peer struct {
	address string
	mu      sync.Mutex
	got     []message
	conns   int
}

func serve(t *testing.T, g tongue, reply func(n int, m message) []byte) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &peer{address: ln.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			all.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(20 * time.Second))
				s.run(g, n, c, reply)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return s
}

func (s *peer) run(g tongue, n int, c net.Conn, reply func(n int, m message) []byte) {
	in := bufio.NewReader(c)
	for {
		m, err := g.read(in)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.got = append(s.got, m)
		s.mu.Unlock()
		b := reply(n, m)
		if b == nil {
			continue
		}
		if len(b) == 0 {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func (s *peer) messages() []message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]message(nil), s.got...)
}

func (s *peer) texts() string {
	var out []string
	for _, m := range s.messages() {
		out = append(out, m.text)
	}
	return strings.Join(out, " ")
}

func paid(g tongue) func(int, message) []byte {
	return func(_ int, m message) []byte { return g.answer(m, "paid "+m.text) }
}

// oneRPC is one listener whose calls all go to one endpoint. Its arguments: the protocol, more of the listener, the
// protocol, the endpoint's address, more of the cluster, and more of the route.
const oneRPC = `
shadow_callers: ["spiffe://bank/cell/1/svc/shop"]
listeners: [{name: in, address: "127.0.0.1:0", protocol: %s, caller: "spiffe://bank/cell/1/svc/shop"%s}]
clusters: [{name: app, protocol: %s, endpoints: [{address: "%s"}]%s}]
routes: [{name: all, listeners: [in], backends: [{cluster: app}]%s}]
`

// vector is a message that another program has written.
func vector(t *testing.T, g tongue, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/rpc/" + g.name() + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, digits, _ := strings.Cut(strings.TrimSpace(line), " "); n == name {
			b, err := hex.DecodeString(digits)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no vector %s", name)
	return nil
}

// each runs a test in both protocols.
func each(t *testing.T, test func(t *testing.T, g tongue)) {
	for _, g := range tongues {
		t.Run(g.name(), func(t *testing.T) { test(t, g) })
	}
}
