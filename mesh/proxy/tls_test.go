package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// behindMTLS is the proxy beside a service that wants mTLS from its callers.
const behindMTLS = `
listeners: [{name: in, address: "127.0.0.1:0", mtls: true%s}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: app}]%s}]
`

// towards is the proxy beside a caller, which reaches the service by mTLS.
const towards = `
listeners: [{name: in, address: "127.0.0.1:0", caller: "` + idShop + `"}]
clusters: [{name: pay, mtls: true, peers: ["%s"], endpoints: [{address: "%s"}]}]
routes: [{name: all, backends: [{cluster: pay}]}]
`

func sawPeer(w http.ResponseWriter, r *http.Request) {
	_, _ = fmt.Fprint(w, r.Header["X-Sterling-Peer"])
}

func TestTwoProxiesSpeakMTLS(t *testing.T) {
	ca := newAuthority(t)
	app := backend(t, sawPeer)
	inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, behindMTLS, "", app, "").Addr("in").String()
	outer := start(t, proxy.Options{Identity: ca.issue(hour(), idShop)}, towards, idPay, inner)
	c := dialProxy(t, outer)
	for range 3 {
		// What a caller says of itself doesn't count.
		resp, body := c.send(get("/", "X-Sterling-Peer: spiffe://bank/cell/1/svc/root")).answer("GET")
		if resp.StatusCode != 200 || body != "["+idShop+"]" {
			t.Fatalf("status %d, the endpoint saw the caller as %s", resp.StatusCode, body)
		}
	}
}

func TestIdentitiesAreChecked(t *testing.T) {
	ca, foreign := newAuthority(t), newAuthority(t)
	app := backend(t, sawPeer)
	pay := ca.issue(hour(), idPay)
	for _, tt := range []struct {
		name     string
		caller   *identity
		listener string // more of the listener
		route    string // more of the route
		peers    string
		want     int // 503: we refused the endpoint; 502: it refused us, which a caller learns after it has sent
	}{
		{"all right", ca.issue(hour(), idShop), "", "", idPay, 200},
		{"below a path", ca.issue(hour(), idShop), `, allow: ["spiffe://bank/cell/1/*"]`, "", "spiffe://bank/*", 200},
		{"the endpoint is another", ca.issue(hour(), idShop), "", "", "spiffe://bank/cell/1/svc/ledger", 503},
		{"the caller is not allowed to connect", ca.issue(hour(), idShop), `, allow: ["spiffe://bank/cell/2/*"]`, "", idPay, 502},
		{"the caller is not allowed on the route", ca.issue(hour(), idShop), "", `, allow: ["spiffe://bank/cell/1/svc/shopping"]`, idPay, 403},
		{"a foreign authority", foreign.issue(hour(), idShop), "", "", idPay, 503},
		{"expired", ca.issue(time.Now().Add(-time.Minute), idShop), "", "", idPay, 502},
		{"a foreign domain", ca.issue(hour(), "spiffe://other/svc/shop"), "", "", idPay, 502},
		{"two ids", ca.issue(hour(), idShop, idPay), "", "", idPay, 502},
		{"no id", ca.issue(hour()), "", "", idPay, 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inner := start(t, proxy.Options{Identity: pay}, behindMTLS, tt.listener, app, tt.route).Addr("in").String()
			outer := start(t, proxy.Options{Identity: tt.caller}, towards, tt.peers, inner)
			resp, body := dialProxy(t, outer).send(get("/")).answer("GET")
			if resp.StatusCode != tt.want {
				t.Errorf("status %d (%s), want %d", resp.StatusCode, body, tt.want)
			}
		})
	}
}

func TestPassthrough(t *testing.T) {
	ca := newAuthority(t)
	echo := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) {
		b, _ := io.ReadAll(in) // to the client's end: half-closing works
		_, _ = c.Write(append([]byte("echo "), b...))
	})
	inner := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: tcp, mtls: true, allow: ["`+idShop+`"], cluster: app}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
`, echo).Addr("in").String()
	const passing = `
listeners: [{name: in, address: "127.0.0.1:0", protocol: tcp, cluster: pay%s}]
clusters: [{name: pay, kind: database%s, endpoints: [{address: "%s"}]}]
`
	secure := `, mtls: true, peers: ["` + idPay + `"]`
	for _, tt := range []struct {
		name       string
		caller     *identity
		more, tls  string
		to         string
		want, from string
	}{
		{"plain", nil, "", "", echo, "echo hello", ""},
		{"mTLS between two proxies", ca.issue(hour(), idShop), "", secure, inner, "echo hello", ""},
		{"a caller that is not allowed", ca.issue(hour(), "spiffe://bank/cell/1/svc/other"), "", secure, inner, "", ""},
		{"shadow traffic to a database", nil, ", shadow: true", "", echo, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := proxy.Options{}
			if tt.caller != nil {
				o.Identity = tt.caller
			}
			c := dialProxy(t, start(t, o, passing, tt.more, tt.tls, tt.to))
			_, _ = io.WriteString(c, "hello")
			_ = c.Conn.(*net.TCPConn).CloseWrite()
			b, err := io.ReadAll(c)
			if string(b) != tt.want || isTimeout(err) {
				t.Errorf("got %q, %v, want %q", b, err, tt.want)
			}
		})
	}
}

func TestPassthroughAgreesOnAnyProtocol(t *testing.T) {
	ca := newAuthority(t)
	echo := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) { _, _ = io.Copy(c, in) })
	p := start(t, proxy.Options{Identity: ca.issue(hour(), idPay)}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: tcp, mtls: true, cluster: app}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
`, echo)
	shop := ca.issue(hour(), idShop)
	for _, protocol := range []string{"h2", "postgresql"} {
		c, err := tls.Dial("tcp", p.Addr("in").String(), &tls.Config{
			InsecureSkipVerify: true, NextProtos: []string{protocol}, GetClientCertificate: shop.GetClientCertificate,
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != protocol {
			t.Errorf("agreed on %q, want %q", got, protocol)
		}
		c.Close()
	}
}

func TestPassthroughEndsWhatIsSilent(t *testing.T) {
	echo := scripted(t, func(_ int, c net.Conn, in *bufio.Reader) { _, _ = io.Copy(c, in) })
	p := start(t, proxy.Options{}, `
listeners: [{name: in, address: "127.0.0.1:0", protocol: tcp, cluster: app, idle: 50ms}]
clusters: [{name: app, endpoints: [{address: "%s"}]}]
`, echo)
	c := dialProxy(t, p).send("x")
	if b, _ := c.in.ReadByte(); b != 'x' {
		t.Fatal("no echo")
	}
	c.ended()
}
