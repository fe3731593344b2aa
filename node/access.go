package node

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/accesslog"
	"github.com/sterlingrun/sterling/auth/mtls"
	"github.com/sterlingrun/sterling/auth/oidc"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// Auth configures who is known besides the holders of this ledger's own tokens.
type Auth struct {
	OIDC []oidc.Options `yaml:"oidc"` // issuers of JSON Web Tokens
}

// AccessLog configures what is written down of calls.
type AccessLog struct {
	Calls   string `yaml:"calls"`    // all, controls (with refusals) or off
	Dir     string `yaml:"dir"`      // folder; empty: access in the data folder
	MaxSize int64  `yaml:"max_size"` // bytes of a file before another is begun; one is also begun each day (UTC)
	Keep    int    `yaml:"keep"`     // full files kept, of calls and of controls each
}

const (
	logOff    = "off"
	accessDir = "access"
)

func defaultAccessLog() AccessLog {
	return AccessLog{Calls: string(accesslog.All), MaxSize: 64 << 20, Keep: 100}
}

func (l *AccessLog) check() error {
	var faults []error
	switch l.Calls {
	case string(accesslog.All), string(accesslog.Controls), logOff:
	default:
		faults = append(faults, fmt.Errorf("access_log.calls: want all, controls or off, not %q", l.Calls))
	}
	if l.MaxSize < 1<<20 || l.MaxSize > 1<<40 {
		faults = append(faults, fmt.Errorf("access_log.max_size: want 1,048,576 bytes or more, not %d", l.MaxSize))
	}
	if l.Keep < 1 || l.Keep > 100_000 {
		faults = append(faults, fmt.Errorf("access_log.keep: want 1 to 100,000 files, not %d", l.Keep))
	}
	return errors.Join(faults...)
}

// checkAccess says what is wrong with the parts that say who may call.
func (c *Config) checkAccess() error {
	faults := []error{c.AccessLog.check()}
	if c.TLS != nil {
		faults = append(faults, c.TLS.Check())
	}
	if c.Auth != nil {
		faults = append(faults, oidc.Check(c.Auth.OIDC))
	}
	return errors.Join(faults...)
}

// access is who may call, and what is written down of it.
type access struct {
	tokens       *auth.Store
	issuers      *oidc.Verifier // nil: none
	certificates *mtls.Source   // nil: plain text
	log          *accesslog.Log // nil: off
}

// openAccess opens what the configuration asks for. What it has opened is closed by close, also after an error.
func (n *Node) openAccess() (err error) {
	a := &n.access
	if a.tokens, err = auth.Open(n.config.tokens(), time.Unix(0, int64(n.clock.Wall())), n.logger); err != nil { //nolint:gosec // until 2262
		return err
	}
	if n.config.Auth != nil && len(n.config.Auth.OIDC) > 0 {
		if a.issuers, err = oidc.New(n.config.Auth.OIDC, n.clock, n.logger); err != nil {
			return err
		}
	}
	if n.config.TLS != nil {
		if a.certificates, err = mtls.Open(*n.config.TLS, n.clock, n.logger); err != nil {
			return err
		}
		n.gauge("tls_certificate_expiry_seconds", "When the server's certificate expires, in seconds since 1970.", func() float64 { return float64(a.certificates.NotAfter().Unix()) })
	}
	n.gauge("token_file_failing", "1 while tokens.json can't be read after a change; the entries read before stay in force.", func() float64 { return one(a.tokens.Err() != nil) })
	if n.config.AccessLog.Calls == logOff {
		return nil
	}
	dir := n.config.AccessLog.Dir
	if dir == "" {
		dir = filepath.Join(n.config.Data, accessDir)
	}
	a.log, err = accesslog.Open(accesslog.Options{
		Dir: dir, Calls: accesslog.Calls(n.config.AccessLog.Calls), MaxSize: n.config.AccessLog.MaxSize, Keep: n.config.AccessLog.Keep,
		Clock: n.clock, Logger: n.logger, Random: rand.Reader,
	})
	if err != nil {
		return err
	}
	n.gauge("access_log_failing", "1 while the access log can't be written: controls are refused, payments go on unrecorded.", func() float64 { return one(a.log.Stats().Failing) })
	n.gauge("access_log_lost_lines", "Lines of the access log that never reached the disk, since the start.", func() float64 { return float64(a.log.Stats().Lost) })
	n.gauge("access_log_suppressed_lines", "Refused calls beyond the rate at which they are written, since the start.", func() float64 { return float64(a.log.Stats().Suppressed) })
	return nil
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (n *Node) gauge(name, help string, value func() float64) {
	n.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sterling_" + name, Help: help}, value))
}

// install hands access to the API.
func (a *access) install(c *api.Config) {
	c.Tokens, c.Revoked, c.AccessLog, c.Principals = a, a.tokens.Revoked, a.log, a.setPrincipals
	if a.certificates != nil {
		c.Certificates = a.certificates
	}
}

// setPrincipals takes over the rights that the journal gives to tokens.
func (a *access) setPrincipals(list []ledger.Principal) error {
	tokens := make([]auth.Token, 0, len(list))
	for i := range list {
		p := &list[i]
		d, err := journal.DecodeDetails(p.Scope)
		if err != nil {
			return fmt.Errorf("scope of token %x: %w", p.Token, err)
		}
		at := time.Unix(0, int64(p.Timestamp)) //nolint:gosec // until 2262
		t := auth.Token{
			ID: hex.EncodeToString(p.Token[:]), Name: string(bytes.TrimRight(p.Name[:], "\x00")), Role: auth.Role(p.Role), Created: at,
			Scope: auth.Scope{Assets: d.Assets, AddressPrefixes: d.Prefixes}, EventsPerSecond: float64(d.Rate),
		}
		if p.Secret != (journal.Hash{}) {
			t.Hash = hex.EncodeToString(p.Secret[:])
		}
		if p.Expires != 0 {
			t.Expires = time.Unix(0, int64(p.Expires)) //nolint:gosec // until 2262
		}
		if p.Role == 0 {
			t.Role, t.Revoked = auth.RoleReader, at
		}
		tokens = append(tokens, t)
	}
	return a.tokens.SetJournaled(tokens)
}

// Verify implements api.Tokens. Whoever is revoked here is refused, whatever an issuer says.
func (a *access) Verify(token string, now time.Time) (auth.Principal, error) {
	if a.issuers == nil || !oidc.IsJWT(token) {
		return a.tokens.Verify(token, now)
	}
	p, err := a.issuers.Verify(token, now)
	if err == nil && a.tokens.Revoked(p.ID, now) {
		return auth.Principal{}, auth.ErrUnknownToken
	}
	return p, err
}

func (a *access) close() error {
	if a.issuers != nil {
		a.issuers.Close()
	}
	if a.log != nil {
		return a.log.Close()
	}
	return nil
}
