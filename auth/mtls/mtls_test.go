package mtls_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/mtls"
	"github.com/sterlingrun/sterling/clock"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newKey(t testing.TB) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, _ := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t, cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(c *x509.Certificate) (cert, key []byte) {
	a.t.Helper()
	private, keyPEM := newKey(a.t)
	c.SerialNumber, c.NotBefore = big.NewInt(2), time.Now().Add(-time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, private.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

type server struct {
	*mtls.Source
	clock     *clock.Fake
	authority *authority
	options   mtls.Options
	log       bytes.Buffer
}

func start(t *testing.T, change func(*mtls.Options)) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{clock: clock.NewFake(uint64(time.Now().UnixNano())), authority: newAuthority(t)}
	s.options = mtls.Options{Cert: filepath.Join(dir, "c"), Key: filepath.Join(dir, "k"), ClientCA: filepath.Join(dir, "ca")}
	if change != nil {
		change(&s.options)
	}
	cert, key := s.authority.issue(&x509.Certificate{DNSNames: []string{"first.example"}})
	write(t, s.options.Cert, cert)
	write(t, s.options.Key, key)
	write(t, filepath.Join(dir, "ca"), s.authority.pem)
	var err error
	if s.Source, err = mtls.Open(s.options, s.clock, slog.New(slog.NewTextHandler(&s.log, nil))); err != nil {
		t.Fatal(err)
	}
	return s
}

// shake does a handshake and returns the server's view of it and its certificate's name.
func (s *server) shake(t *testing.T, client *tls.Config) (state tls.ConnectionState, name string, err error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	conn := tls.Server(far, s.TLS())
	done := make(chan error, 1)
	go func() { done <- conn.Handshake() }()
	client.InsecureSkipVerify = true // the name is looked at below
	c := tls.Client(near, client)
	clientErr := c.Handshake()
	if clientErr != nil {
		near.Close()
	} else if len(c.ConnectionState().PeerCertificates[0].DNSNames) > 0 {
		name = c.ConnectionState().PeerCertificates[0].DNSNames[0]
		go func() { _, _ = c.Read(make([]byte, 1)) }() // takes the alert, if there is one
	}
	if err = <-done; err == nil {
		err = clientErr
	}
	return conn.ConnectionState(), name, err
}

func clientWith(t *testing.T, a *authority, c *x509.Certificate) *tls.Config {
	t.Helper()
	cert, key := a.issue(c)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }}
}

func spiffe(t *testing.T, text string) []*url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return []*url.URL{u}
}

func TestClientsAreKnownByTheirNames(t *testing.T) {
	const id = "spiffe://bank.example/till"
	s := start(t, func(o *mtls.Options) {
		o.Clients = []mtls.Client{
			{SAN: id, Role: auth.RoleTeller, Scope: auth.Scope{Assets: []string{"CNY/2"}}},
			{SAN: "till.bank.example", Role: auth.RoleReader},
			{SAN: "CN=olga", Role: auth.RoleOperator},
		}
	})
	sum := sha256.Sum256([]byte(id))
	for name, c := range map[string]struct {
		cert *x509.Certificate
		want string
	}{
		"uri": {&x509.Certificate{URIs: spiffe(t, id)}, id}, "dns": {&x509.Certificate{DNSNames: []string{"x", "Till.bank.example"}}, "till.bank.example"},
		"common name":      {&x509.Certificate{Subject: pkix.Name{CommonName: "olga"}}, "CN=olga"},
		"dns as cn":        {&x509.Certificate{Subject: pkix.Name{CommonName: "till.bank.example"}}, ""},
		"cn as dns":        {&x509.Certificate{DNSNames: []string{"olga"}}, ""},
		"uri of another":   {&x509.Certificate{URIs: spiffe(t, id+"2")}, ""},
		"no name whatever": {&x509.Certificate{}, ""},
	} {
		state, _, err := s.shake(t, clientWith(t, s.authority, c.cert))
		if err != nil || len(state.PeerCertificates) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p, ok := s.Principal(state.PeerCertificates[0])
		if ok != (c.want != "") || p.Name != c.want || ok && p.Via != auth.ViaCertificate {
			t.Errorf("%s: %+v, %v, want %q", name, p, ok, c.want)
		}
		if c.want == id && (p.ID != [16]byte(sum[:16]) || p.Role != auth.RoleTeller || p.Scope == nil) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestHandshakes(t *testing.T) {
	open := start(t, nil)
	closed := start(t, func(o *mtls.Options) { o.RequireClientCert = true })
	stranger := newAuthority(t)
	for name, c := range map[string]struct {
		server *server
		client *tls.Config
		ok     bool
	}{
		"no certificate where none is needed": {open, &tls.Config{}, true},
		"no certificate where one is needed":  {closed, &tls.Config{}, false},
		"a good one":                          {closed, clientWith(t, closed.authority, &x509.Certificate{}), true},
		"another authority's":                 {closed, clientWith(t, stranger, &x509.Certificate{}), false},
		"another authority's, not needed":     {open, clientWith(t, stranger, &x509.Certificate{}), false},
		"expired":                             {closed, clientWith(t, closed.authority, &x509.Certificate{NotAfter: time.Now().Add(-time.Minute)}), false},
		"TLS 1.2":                             {open, &tls.Config{MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.1":                             {open, &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
	} {
		if _, _, err := c.server.shake(t, c.client); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for offered, want := range map[string]string{"h2": "h2", "h2,http/1.1": "http/1.1", "http/1.1": "http/1.1", "": ""} {
		state, _, err := open.shake(t, &tls.Config{NextProtos: strings.FieldsFunc(offered, func(r rune) bool { return r == ',' })})
		if err != nil || state.NegotiatedProtocol != want {
			t.Errorf("%q: %q, %v, want %q", offered, state.NegotiatedProtocol, err, want)
		}
	}
}

func TestRenewedCertificatesAreUsed(t *testing.T) {
	s := start(t, nil)
	expect := func(want string) {
		t.Helper()
		s.clock.Advance(2 * time.Second)
		if _, name, err := s.shake(t, &tls.Config{}); err != nil || name != want {
			t.Errorf("served %q, %v, want %q", name, err, want)
		}
	}
	expect("first.example")
	cert, key := s.authority.issue(&x509.Certificate{DNSNames: []string{"second.example"}})
	write(t, s.options.Cert, cert)
	expect("first.example") // the key does not fit yet
	write(t, s.options.Key, key)
	expect("second.example")
	if err := os.Remove(s.options.Cert); err != nil {
		t.Fatal(err)
	}
	expect("second.example")
	if !strings.Contains(s.log.String(), "can't be read again") {
		t.Errorf("nothing was logged: %s", s.log.String())
	}
	// Another authority: clients of the old one are refused from then on.
	write(t, s.options.Cert, cert)
	other := newAuthority(t)
	write(t, s.options.ClientCA, other.pem)
	s.clock.Advance(2 * time.Second)
	if _, _, err := s.shake(t, clientWith(t, s.authority, &x509.Certificate{})); err == nil {
		t.Error("a client of the authority from before was let in")
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	good := mtls.Options{Cert: "c", Key: "k", ClientCA: "a", Clients: []mtls.Client{{SAN: "x", Role: auth.RoleReader}}}
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*mtls.Options){
		"both cert and key": func(o *mtls.Options) { o.Key = "" }, "client_ca": func(o *mtls.Options) { o.ClientCA = "" },
		"clients[0].san":  func(o *mtls.Options) { o.Clients = []mtls.Client{{SAN: "CN=", Role: auth.RoleReader}} },
		"clients[1].san":  func(o *mtls.Options) { o.Clients = append(o.Clients, o.Clients[0]) },
		"clients[0].role": func(o *mtls.Options) { o.Clients = []mtls.Client{{SAN: "x"}} },
		"clients[0]: scope": func(o *mtls.Options) {
			o.Clients = []mtls.Client{{SAN: "x", Role: auth.RoleReader, Scope: auth.Scope{Assets: []string{"x"}}}}
		},
	} {
		bad := good
		change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	missing := mtls.Options{Cert: filepath.Join(t.TempDir(), "c"), Key: "k"}
	if _, err := mtls.Open(missing, clock.NewSystem(), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("files that aren't there: opened")
	}
}
