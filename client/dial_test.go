package client_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// caller answers ListAssets with who called.
type caller struct {
	ledgerv1.UnimplementedLedgerServiceServer
	token, agent, certificate string
}

func (s *caller) ListAssets(ctx context.Context, _ *ledgerv1.ListAssetsRequest) (*ledgerv1.ListAssetsResponse, error) {
	header, _ := metadata.FromIncomingContext(ctx)
	s.token, s.agent, s.certificate = header.Get("authorization")[0], header.Get("user-agent")[0], ""
	if p, ok := peer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			s.certificate = info.State.PeerCertificates[0].Subject.CommonName
		}
	}
	return &ledgerv1.ListAssetsResponse{}, nil
}

func TestTokensAreRotated(t *testing.T) {
	s := &caller{}
	address := serve(t, s)
	path := filepath.Join(t.TempDir(), "token")
	c := dial(t, address, client.WithTokenFile(path), client.WithUserAgent("checkout/1.4"), client.WithPatience(0))
	if _, err := c.Assets(t.Context()); err == nil {
		t.Error("a call without a token file")
	}
	for i, token := range []string{"first\n", "second, longer\n", ""} {
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := c.Assets(t.Context())
		switch {
		case token == "":
			if err == nil {
				t.Error("a call with an empty token file")
			}
		case err != nil || s.token+"\n" != "Bearer "+token:
			t.Errorf("call %d: %q, %v", i, s.token, err)
		case s.agent[:len("checkout/1.4 sterling-go")] != "checkout/1.4 sterling-go":
			t.Errorf("user agent %q", s.agent)
		}
	}
	next := "a"
	c = dial(t, address, client.WithPatience(0), client.WithToken(func(context.Context) (string, error) {
		if next == "" {
			return "", errors.New("the vault is sealed")
		}
		return next, nil
	}))
	for _, next = range []string{"a", "b", ""} {
		if _, err := c.Assets(t.Context()); (err == nil) != (next != "") || next != "" && s.token != "Bearer "+next {
			t.Errorf("%q: %q, %v", next, s.token, err)
		}
	}
}

// authority signs certificates for a test.
type authority struct {
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// write makes a certificate, signed by a (by itself if there is none yet).
func (a *authority) write(t *testing.T, name string, usage x509.ExtKeyUsage) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		IsCA: a.cert == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if a.cert == nil {
		a.cert, a.key = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestMutualTLS(t *testing.T) {
	a := &authority{dir: t.TempDir()}
	ca, _ := a.write(t, "authority", x509.ExtKeyUsageAny)
	serverCert, serverKey := a.write(t, "server", x509.ExtKeyUsageServerAuth)
	cert, key := a.write(t, "checkout", x509.ExtKeyUsageClientAuth)

	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(mustParse(t, ca))
	s := &caller{}
	address := serve(t, s, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	if _, err := dial(t, address, client.WithTLSFiles(ca, cert, key)).Assets(t.Context()); err != nil || s.certificate != "checkout" {
		t.Errorf("certificate %q, %v", s.certificate, err)
	}
	for name, files := range map[string][3]string{"no certificate": {ca, "", ""}, "an unknown authority": {"", cert, key}} {
		c := dial(t, address, client.WithTLSFiles(files[0], files[1], files[2]), client.WithPatience(0))
		if _, err := c.Assets(t.Context()); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, files := range map[string][3]string{"no such authority": {ca + "x", "", ""}, "not an authority": {key, "", ""}, "no key": {ca, cert, ""}} {
		if _, err := client.Dial(address, "t", client.WithTLSFiles(files[0], files[1], files[2])); err == nil {
			t.Errorf("%s: dialled", name)
		}
	}
	if _, err := client.Dial(address, "t", client.WithTLSFiles(ca, "", ""), client.WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})); err == nil {
		t.Error("two ways of TLS at once")
	}
}

func mustParse(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
