package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

type options struct {
	tls         *tls.Config
	first       *tls.Config // see WithTLSFirst
	files       *tlsFiles
	plaintext   bool
	connections int
	queue       int
	policy      retryPolicy
	token       TokenSource
	agent       string
	shadow      bool
}

// Option changes how [Dial] connects.
type Option func(*options)

// WithTLS encrypts the connection; Certificates in config authenticate this
// client, too (mTLS).
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// WithTLSFiles encrypts the connection: ca is a PEM file of the authorities that
// may sign the server's certificate, "" the system's; cert and key are PEM files
// that authenticate this client (mTLS), both "" for none. They are read again for
// every connection, so that a rotated certificate is used without a restart.
func WithTLSFiles(ca, cert, key string) Option {
	return func(o *options) { o.files = &tlsFiles{ca, cert, key} }
}

// WithPlaintext lets the token cross a network unencrypted. Without it, only
// loopback addresses are dialled without TLS.
func WithPlaintext() Option { return func(o *options) { o.plaintext = true } }

// WithConnections spreads calls over n connections; the default is one. More help
// where one core can't serve all that is sent.
func WithConnections(n int) Option { return func(o *options) { o.connections = n } }

// WithQueue bounds how many events of Transfer, Chain and Open wait or are under
// way at once, 1 or more; the default is 65,536, about 40 MB. Further callers wait
// until there is room.
func WithQueue(events int) Option { return func(o *options) { o.queue = events } }

// WithPatience bounds how long a call whose context has no deadline is repeated
// while the server is unavailable; the default is 30 s, zero repeats nothing.
func WithPatience(d time.Duration) Option { return func(o *options) { o.policy.patience = d } }

// TokenSource returns the token for a call. It is called for every attempt of
// every call, concurrently, and must be quick; an error fails the attempt before
// anything is sent.
type TokenSource func(ctx context.Context) (string, error)

// WithToken asks source for the token of each call, so that it can be rotated; the
// token given to Dial is then not used.
func WithToken(source TokenSource) Option { return func(o *options) { o.token = source } }

// WithTokenFile reads the token from a file, and again when the file changes; the
// token given to Dial is then not used.
func WithTokenFile(path string) Option {
	return func(o *options) { o.token = (&tokenFile{path: path}).token }
}

// WithUserAgent names the program that calls, such as "checkout/1.4", for the
// server's logs.
func WithUserAgent(name string) Option { return func(o *options) { o.agent = name } }

func (o *options) check(address string) error {
	addresses := splitAddresses(address)
	switch {
	case len(addresses) == 0:
		return fmt.Errorf("dial %q: want host:port, or several with commas in between", address)
	case o.connections < 1:
		return fmt.Errorf("dial %s: %d connections", address, o.connections)
	case o.queue < 1:
		return fmt.Errorf("dial %s: a queue of %d events", address, o.queue)
	case o.policy.patience < 0:
		return fmt.Errorf("dial %s: patience of %v", address, o.policy.patience)
	case o.tls != nil && o.files != nil:
		return fmt.Errorf("dial %s: WithTLS and WithTLSFiles exclude each other", address)
	case o.tls == nil && o.files == nil && !o.plaintext && slices.ContainsFunc(addresses, func(a string) bool { return !isLoopback(a) }):
		return fmt.Errorf("dial %s: the token would cross the network unencrypted: use WithTLS, or WithPlaintext if the network is trusted", address)
	}
	return nil
}

func (o *options) transport() (credentials.TransportCredentials, error) {
	switch {
	case o.files != nil:
		config, err := o.files.config()
		if err != nil {
			return nil, err
		}
		return credentials.NewTLS(config), nil
	case o.tls != nil:
		return credentials.NewTLS(o.tls), nil
	default:
		return insecure.NewCredentials(), nil
	}
}

func (o *options) dialOptions() ([]grpc.DialOption, error) {
	transport, err := o.transport()
	if err != nil {
		return nil, err
	}
	if o.first != nil {
		transport = either{credentials.NewTLS(o.first), transport}
	}
	agent := "sterling-go"
	if o.agent != "" {
		agent = o.agent + " " + agent
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithPerRPCCredentials(bearer{o.token, o.shadow}),
		grpc.WithUserAgent(agent),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDisableRetry(), // this package's own knows what is safe
	}, nil
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// tlsFiles are PEM files; see WithTLSFiles.
type tlsFiles struct{ ca, cert, key string }

// config reads the files once, so that a fault is told by Dial and not by the
// first call.
func (f *tlsFiles) config() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("read the authorities: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read the authorities: %s has no PEM certificate", f.ca)
		}
	}
	if f.cert == "" && f.key == "" {
		return config, nil
	}
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("read the client's certificate: %w", err)
		}
		return &c, nil
	}
	if _, err := load(); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }
	return config, nil
}

// bearer is the Authorization header, and the mark of shadow traffic.
type bearer struct {
	source TokenSource
	shadow bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the token: %w", err)
	}
	header := make(map[string]string, 2)
	if token != "" { // else the certificate tells who calls
		header["authorization"] = "Bearer " + token
	}
	if b.shadow {
		header[shadowHeader] = "1"
	}
	return header, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials; Dial has
// decided.
func (bearer) RequireTransportSecurity() bool { return false }

// tokenFile reads a token again when its file changes.
type tokenFile struct {
	path string

	mu      sync.Mutex
	value   string
	changed time.Time
	size    int64
}

// maxToken bounds what is read of a token file.
const maxToken = 64 << 10

func (f *tokenFile) token(context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err != nil {
		return "", err
	}
	if f.value != "" && info.ModTime().Equal(f.changed) && info.Size() == f.size {
		return f.value, nil
	}
	if info.Size() > maxToken {
		return "", fmt.Errorf("%s is no token file: it has %d bytes", f.path, info.Size())
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(b))
	if value == "" {
		return "", errors.New(f.path + " is empty")
	}
	f.value, f.changed, f.size = value, info.ModTime(), info.Size()
	return value, nil
}
