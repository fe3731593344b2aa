// Package webhook delivers the change feed by HTTP POST: a JSON batch, signed, to a URL.
//
// It follows no redirect, uses no proxy of the environment, and reaches private networks only where that is
// configured, so that whoever may set a URL can't make the ledger's machine call its neighbours. It keeps no state and
// retries nothing: feed.Runner does. Start reading at [New] and [Sink.Deliver]; [Verify] is for receivers.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// DeliveryHeader carries the delivery's id: the same for the same events, whenever they are sent again.
const DeliveryHeader = "Sterling-Delivery"

// Options of a webhook. URL, Keys and Clock are required.
type Options struct {
	URL   string
	Keys  []Key // one, or two while they are rotated
	Clock clock.Clock
	// PrivateNetwork allows targets on loopback, private and link-local addresses, and plain http.
	PrivateNetwork bool
	TLS            *tls.Config // nil: the system's roots
}

// MinSecret is how many bytes a key's secret has at least.
const MinSecret = 16

// Check says what is wrong with the options, or nil.
func (o *Options) Check() error {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("url: want https://HOST/PATH") // not the URL itself: it may hold a secret
	}
	if u.Scheme == "http" && !o.PrivateNetwork {
		return errors.New("url: plain http only with private_network: true")
	}
	if u.User != nil {
		return errors.New("url: want no user or password in it: receivers know us by the signature")
	}
	if len(o.Keys) < 1 || len(o.Keys) > 2 {
		return fmt.Errorf("keys: want one, or two while they are rotated, not %d", len(o.Keys))
	}
	for _, k := range o.Keys {
		if !feed.ValidSinkName(k.ID) {
			return fmt.Errorf("keys: id %.80q: want 1 to 64 of a-z, 0-9, '-' and '_'", k.ID)
		}
		if len(k.Secret) < MinSecret {
			return fmt.Errorf("keys: the secret of %s has %d bytes, want %d at least", k.ID, len(k.Secret), MinSecret)
		}
	}
	if len(o.Keys) == 2 && o.Keys[0].ID == o.Keys[1].ID {
		return fmt.Errorf("keys: two are called %s", o.Keys[0].ID)
	}
	return nil
}

// Sink posts to one URL.
type Sink struct {
	opts   Options
	client *http.Client
}

// New returns a sink; the error is Check's.
func New(o Options) (*Sink, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !o.PrivateNetwork {
		dialer.Control = refusePrivate // sees the address after the name was looked up: no name can hide it
	}
	return &Sink{o, &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: o.TLS, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10,
		},
	}}, nil
}

// ErrPrivate is a target that is not on the public network.
var ErrPrivate = errors.New("the target is on a private network: allow it with private_network: true")

func refusePrivate(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("look at the target's address: %w", err)
	}
	if !public(a.Addr().Unmap()) {
		return ErrPrivate
	}
	return nil
}

// public reports whether an address is reachable for everybody.
func public(a netip.Addr) bool {
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, reserved := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	} {
		if netip.MustParsePrefix(reserved).Contains(a) {
			return false
		}
	}
	return true
}

// Body returns what is posted: a SubscribeResponse as JSON.
func Body(d *feed.Delivery) ([]byte, error) {
	m := &ledgerv1.SubscribeResponse{Events: d.Events, ResumeAfter: d.Resume.Message()}
	if n := len(d.Events); n > 0 {
		m.BlockTime = d.Events[n-1].GetBlockTime()
	}
	return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
}

// Deliver implements feed.Sink: any answer of 2xx is an acknowledgement.
func (s *Sink) Deliver(ctx context.Context, d *feed.Delivery) (err error) {
	body, err := Body(d)
	if err != nil {
		return feed.Permanent(fmt.Errorf("encode the delivery: %w", err))
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.opts.URL, bytes.NewReader(body))
	if err != nil {
		return feed.Permanent(errors.New("make the request: the url can't be used"))
	}
	now := time.Unix(0, int64(s.opts.Clock.Wall())) //nolint:gosec // until 2262
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "sterling-webhook/1")
	r.Header.Set(DeliveryHeader, d.ID)
	r.Header.Set(SignatureHeader, Sign(s.opts.Keys, now, body))
	response, err := s.client.Do(r)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the URL: it may hold a secret
		}
		return fmt.Errorf("post: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	const enough = 64 << 10 // so that the connection can be used again
	_, _ = io.CopyN(io.Discard, response.Body, enough)
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("post: the receiver answered %s: redirects are not followed", response.Status)
	default:
		return fmt.Errorf("post: the receiver answered %s", response.Status)
	}
}

// Close implements feed.Sink.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
