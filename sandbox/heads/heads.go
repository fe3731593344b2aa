// Package heads puts heads of sandboxes' records into a transparency log, and verifies a record against what such a log
// says of it: the ledger's, which a running `sterling up` keeps, or one of this host where there is none.
//
// It writes no record and starts no sandbox. A log on the same host holds its root to nothing: who has root there can
// replace both. Start reading at Keeper and Verify.
package heads

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/clock"
)

// Keeper logs heads with a ledger, and in the host's own log where there is no ledger, or where it does not answer.
type Keeper struct {
	Ledger *Ledger // nil: there is none
	Own    Own
}

// LogHead logs a head, and says where it is: "" where no log has it. The error may also say that it is not where it
// should be.
func (k *Keeper) LogHead(ctx context.Context, h audit.Head) (where string, entry uint64, err error) {
	if k.Ledger != nil {
		if entry, err = k.Ledger.LogHead(ctx, h); err == nil {
			return k.Ledger.Base.String(), entry, nil
		}
		err = fmt.Errorf("tell %s the head: %w", k.Ledger.Base.Host, err)
	}
	entry, own := k.Own.LogHead(ctx, h)
	if own != nil {
		return "", 0, errors.Join(err, own)
	}
	return k.Own.Dir, entry, err
}

// Own is a log of records alone, in a folder of this host. Any number of processes may log there, one after the other.
type Own struct {
	Dir   string // made where it is not there; holds the key, too
	Clock clock.Clock
}

// Log is the folder of the log itself.
func (o *Own) Log() audit.Folder { return audit.Folder{Dir: filepath.Join(o.Dir, audit.LogDir)} }

// Trusted is the log's own key: what tells that it is this log, and nothing more.
func (o *Own) Trusted() (audit.Trusted, error) {
	key, err := audit.OpenKey(o.Dir)
	if err != nil {
		return audit.Trusted{}, err
	}
	return audit.Trusted{Key: key.Public(), Cell: audit.RecordsOnly}, nil
}

// LogHead opens the log, appends an entry, and closes it.
func (o *Own) LogHead(ctx context.Context, h audit.Head) (entry uint64, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return 0, fmt.Errorf("make the folder of the log: %w", err)
	}
	lock, err := o.lock(ctx)
	if err != nil {
		return 0, fmt.Errorf("wait for the log: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	key, err := audit.OpenKey(o.Dir)
	if err != nil {
		return 0, err
	}
	log, err := audit.OpenLog(ctx, key, audit.LogOptions{Dir: o.Log().Dir, Cell: audit.RecordsOnly, Clock: o.Clock})
	if err != nil {
		return 0, err
	}
	entry, err = log.AppendHeads(ctx, audit.Heads{Cell: audit.RecordsOnly, Made: o.Clock.Wall(), Heads: []audit.Head{h}})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	return entry, errors.Join(err, log.Close(closing))
}

const (
	closeWithin = 5 * time.Second
	lockEvery   = 10 * time.Millisecond
	maxAnswer   = 4 << 10
	maxToken    = 16 << 10
)

func (o *Own) lock(ctx context.Context) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(o.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = clock.Sleep(ctx, o.Clock, lockEvery)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
}

// Ledger is a ledger's server, reached over HTTP.
type Ledger struct {
	Base      *url.URL
	client    *http.Client
	tokenFile string
}

// ErrLedger is wrapped by errors about how a ledger is named.
var ErrLedger = errors.New("ledger's server")

// NewLedger is for a server such as https://ledger:7600, with a file that holds the token of an auditor, and one with the
// certificates of its authority ("": the system's). A token goes over http to this machine only.
func NewLedger(base, tokenFile, authority string) (*Ledger, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: %.200q is no URL such as https://ledger:7600", ErrLedger, base)
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "http" && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%w: %s is not encrypted, and beyond this machine: use https", ErrLedger, u.Host)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if authority != "" {
		text, err := os.ReadFile(authority)
		if err != nil {
			return nil, fmt.Errorf("%w: read its authority: %w", ErrLedger, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%w: %s has no certificate in PEM", ErrLedger, authority)
		}
	}
	l := &Ledger{Base: u, tokenFile: tokenFile, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: config},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	l.client.Transport = bearer{l, l.client.Transport}
	return l, nil
}

// Log is the ledger's log, to verify.
func (l *Ledger) Log() audit.Files { return audit.Remote{Client: l.client, Base: l.Base} }

// bearer adds the token, which is read anew each time: it may be replaced.
type bearer struct {
	ledger *Ledger
	next   http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.ledger.tokenFile == "" {
		return b.next.RoundTrip(r)
	}
	f, err := os.Open(b.ledger.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(text)))
	return b.next.RoundTrip(r)
}

// LogHead tells the ledger a head, and returns once a signed checkpoint covers it.
func (l *Ledger) LogHead(ctx context.Context, h audit.Head) (entry uint64, err error) {
	text, err := h.Text()
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.Base.JoinPath("audit", "heads").String(), strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "text/plain")
	response, err := l.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(answer)))
	}
	var said struct {
		Entry *uint64 `json:"entry"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Entry == nil {
		return 0, fmt.Errorf("%w: the answer names no entry: %.200q", ErrLedger, answer)
	}
	return *said.Entry, nil
}
