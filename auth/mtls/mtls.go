// Package mtls gives a server its certificate and knows its clients by theirs.
//
// It follows the files: a renewed certificate is used from the next connection
// on. It opens no connection and never accepts a client certificate that the
// configured authority did not sign. Start reading at [Open], [Source.TLS] and
// [Source.Principal].
package mtls

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/clock"
)

// Options say where the certificates are and who the clients are.
type Options struct {
	Cert     string `yaml:"cert"`      // file, PEM: the server's certificate and what is between it and the root
	Key      string `yaml:"key"`       // file, PEM: its key
	ClientCA string `yaml:"client_ca"` // file, PEM: who signs the certificates of clients; empty: clients need none
	// RequireClientCert refuses connections without a client certificate: then a
	// token alone is not enough.
	RequireClientCert bool     `yaml:"require_client_cert"`
	Clients           []Client `yaml:"clients"` // the first that fits counts
}

// Client is a caller who is known by a certificate and needs no token.
type Client struct {
	// SAN is a URI ("spiffe://bank.example/till"), a DNS name ("till.bank.example"),
	// or the common name, as "CN=till". The actor id in the journal is the first 16
	// bytes of its SHA-256.
	SAN        string    `yaml:"san"`
	Role       auth.Role `yaml:"role"`
	auth.Scope `yaml:",inline"`
}

// Check says what is wrong with the options, without looking at the files.
func (o *Options) Check() error {
	var faults []error
	if o.Cert == "" || o.Key == "" {
		faults = append(faults, errors.New("tls: want both cert and key"))
	}
	if o.ClientCA == "" && (o.RequireClientCert || len(o.Clients) > 0) {
		faults = append(faults, errors.New("tls.client_ca: is needed to know clients by their certificates"))
	}
	seen := map[string]bool{}
	for i, c := range o.Clients {
		if c.SAN == "" || c.SAN == commonName || len(c.SAN) > 256 || seen[c.SAN] {
			faults = append(faults, fmt.Errorf("tls.clients[%d].san: want a URI, a DNS name or CN=NAME, each once, not %.80q", i, c.SAN))
		}
		seen[c.SAN] = true
		if !c.Role.Allows(auth.Read) {
			faults = append(faults, fmt.Errorf("tls.clients[%d].role: is missing", i))
		}
		if _, err := auth.NewScope(c.Assets, c.AddressPrefixes); err != nil {
			faults = append(faults, fmt.Errorf("tls.clients[%d]: %w", i, err))
		}
	}
	return errors.Join(faults...)
}

const (
	commonName   = "CN="
	lookInterval = time.Second // how often the files are looked at, while there are connections
	maxFile      = 1 << 20
)

// Source is a server's certificates. It is safe for concurrent use and has no
// goroutine of its own.
type Source struct {
	options Options
	clock   clock.Clock
	logger  *slog.Logger

	current atomic.Pointer[state]
	checked atomic.Uint64 // clock.Wall of the last look at the files
	mu      sync.Mutex    // one reload at a time
	told    string        // the last error that was logged
}

type state struct {
	config   *tls.Config
	files    []os.FileInfo
	notAfter time.Time
}

// Open reads the files.
func Open(options Options, c clock.Clock, logger *slog.Logger) (*Source, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	s := &Source{options: options, clock: c, logger: logger}
	next, err := s.load()
	if err != nil {
		return nil, err
	}
	s.current.Store(next)
	s.checked.Store(c.Wall())
	return s, nil
}

// TLS returns the configuration of the listener. Each handshake takes the files
// as they are by then.
func (s *Source) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s.follow()
			return s.current.Load().config, nil
		},
	}
}

// NotAfter is when the server's certificate expires.
func (s *Source) NotAfter() time.Time { return s.current.Load().notAfter }

// Principal returns who a verified client certificate is; false if nobody was
// configured for it.
func (s *Source) Principal(cert *x509.Certificate) (auth.Principal, bool) {
	for i := range s.options.Clients {
		c := &s.options.Clients[i]
		if !c.fits(cert) {
			continue
		}
		sum := sha256.Sum256([]byte(c.SAN))
		p := auth.Principal{ID: [16]byte(sum[:16]), Name: c.SAN, Role: c.Role, Via: auth.ViaCertificate}
		if len(c.Assets) > 0 || len(c.AddressPrefixes) > 0 {
			p.Scope = &c.Scope
		}
		return p, true
	}
	return auth.Principal{}, false
}

func (c *Client) fits(cert *x509.Certificate) bool {
	if name, ok := strings.CutPrefix(c.SAN, commonName); ok {
		return cert.Subject.CommonName == name
	}
	if strings.Contains(c.SAN, "://") {
		for _, u := range cert.URIs {
			if u.String() == c.SAN {
				return true
			}
		}
		return false
	}
	for _, name := range cert.DNSNames {
		if strings.EqualFold(name, c.SAN) {
			return true
		}
	}
	return false
}

// follow looks at the files once per interval.
func (s *Source) follow() {
	now := s.clock.Wall()
	if last := s.checked.Load(); now >= last && now-last < uint64(lookInterval) {
		return
	}
	if !s.mu.TryLock() {
		return // another handshake is at it
	}
	defer s.mu.Unlock()
	s.checked.Store(now)
	files, err := s.stat()
	if err == nil && sameFiles(files, s.current.Load().files) {
		return
	}
	next, err := s.load()
	if err != nil {
		if s.told != err.Error() {
			s.told = err.Error()
			s.logger.Error("certificates can't be read again: those read before stay in use", "error", err, "expires", s.NotAfter())
		}
		return
	}
	s.told = ""
	s.current.Store(next)
	s.logger.Info("certificates read again", "expires", next.notAfter)
}

func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() {
			return false
		}
	}
	return true
}

func (s *Source) paths() []string {
	if s.options.ClientCA == "" {
		return []string{s.options.Cert, s.options.Key}
	}
	return []string{s.options.Cert, s.options.Key, s.options.ClientCA}
}

func (s *Source) stat() ([]os.FileInfo, error) {
	var list []os.FileInfo
	for _, path := range s.paths() {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("inspect a certificate file: %w", err)
		}
		list = append(list, info)
	}
	return list, nil
}

func (s *Source) load() (*state, error) {
	// The versions are taken first: a change while reading is seen next time.
	files, err := s.stat()
	if err != nil {
		return nil, err
	}
	var data [3][]byte
	for i, path := range s.paths() {
		if data[i], err = read(path); err != nil {
			return nil, err
		}
	}
	pair, err := tls.X509KeyPair(data[0], data[1])
	if err != nil {
		return nil, fmt.Errorf("read the certificate %s and its key %s: %w", s.options.Cert, s.options.Key, err)
	}
	if mode := files[1].Mode().Perm(); mode&0o007 != 0 {
		s.logger.Warn("the key of the certificate can be read by others", "file", s.options.Key, "mode", mode)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair},
		// In the server's order: a client that knows both speaks JSON or gRPC-Web,
		// which HTTP/1.1 serves; gRPC clients offer h2 only.
		NextProtos: []string{"http/1.1", "h2"},
	}
	if s.options.ClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(data[2]) {
			return nil, fmt.Errorf("read the authority of clients: %s holds no certificate", s.options.ClientCA)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if s.options.RequireClientCert {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
		// A resumed session would not be checked against an authority that changed.
		config.SessionTicketsDisabled = true
	}
	return &state{config: config, files: files, notAfter: pair.Leaf.NotAfter}, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a certificate file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	err = errors.Join(err, f.Close())
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("larger than %d bytes", maxFile)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}
