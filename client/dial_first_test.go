package client_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/client"
)

// TestTLSFirst: the other way is taken where the server is of an older release, plain or with another TLS, and nowhere
// else.
func TestTLSFirst(t *testing.T) {
	a := &authority{dir: t.TempDir()}
	ca, _ := a.write(t, "authority", x509.ExtKeyUsageAny)
	serverCert, serverKey := a.write(t, "server", x509.ExtKeyUsageServerAuth)
	cert, key := a.write(t, "node", x509.ExtKeyUsageClientAuth)
	pair, err := tls.LoadX509KeyPair(serverCert, serverKey)
	if err != nil {
		t.Fatal(err)
	}
	s := &caller{}
	encrypted := serve(t, s, grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13})))
	first := func(verdict error) client.Option {
		return client.WithTLSFirst(&tls.Config{
			MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{pair},
			VerifyConnection: func(tls.ConnectionState) error { return verdict },
		})
	}
	if _, err := dial(t, encrypted, first(nil)).Assets(t.Context()); err != nil || s.certificate != "server" {
		t.Errorf("a server that knows it: %q, %v", s.certificate, err)
	}
	older := dial(t, encrypted, first(client.ErrOlder), client.WithTLSFiles(ca, cert, key))
	if _, err := older.Assets(t.Context()); err != nil || s.certificate != "node" {
		t.Errorf("an older one with TLS: %q, %v", s.certificate, err)
	}
	refused := dial(t, encrypted, first(errors.New("an impostor")), client.WithTLSFiles(ca, cert, key), client.WithPatience(0))
	if _, err := refused.Assets(t.Context()); status.Code(err) != codes.Unavailable {
		t.Errorf("one that is refused: %v", err)
	}
	plain, token := bank(t)
	c, err := client.Dial(plain, token, first(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Assets(t.Context()); err != nil {
		t.Errorf("an older one in plain text: %v", err)
	}
}
