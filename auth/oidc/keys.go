package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sterlingrun/sterling/clock"
)

// How keys are kept.
const (
	RefreshAfter = 15 * time.Minute // keys older than this are fetched again, while the old ones go on
	StaleAfter   = 24 * time.Hour   // keys that could not be fetched again are good for so long
	RefetchAfter = 10 * time.Second // between two attempts: bounds what tokens with made-up keys can cause
	fetchTime    = 5 * time.Second  // for one attempt
)

const (
	maxDocument = 1 << 20 // bytes
	maxKeys     = 100
	minRSABits  = 2048
)

// issuer is one issuer with its keys.
type issuer struct {
	options Options
	client  *http.Client
	clock   clock.Clock
	logger  *slog.Logger

	keys    atomic.Pointer[keySet] // another pointer exactly when the keys are others
	fetched atomic.Int64           // UnixNano of the last success

	mu      sync.Mutex
	tried   uint64        // clock.Mono of the last attempt; 0: none
	running chan struct{} // closed when the attempt under way has ended; nil: none
	failure error         // of the last attempt
}

// keySet is what an issuer signs with.
type keySet struct {
	digest [sha256.Size]byte
	keys   []jose.JSONWebKey
}

// find returns the keys that a header can mean.
func (s *keySet) find(id string, algorithm jose.SignatureAlgorithm) (list []any) {
	for i := range s.keys {
		k := &s.keys[i]
		if (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == string(algorithm)) && fits(k.Key, algorithm) {
			list = append(list, k.Key)
		}
	}
	if id == "" && len(list) > 1 {
		return nil // a header that names no key is only clear where there is one
	}
	return list
}

func fits(key any, algorithm jose.SignatureAlgorithm) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return algorithm == jose.RS256 && k.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return algorithm == jose.ES256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	default:
		return false
	}
}

// set returns the keys that are good at now, nil if there are none.
func (i *issuer) set(now time.Time) *keySet {
	if now.UnixNano()-i.fetched.Load() > int64(StaleAfter) {
		return nil
	}
	return i.keys.Load()
}

// refresh begins to fetch the keys if they are due, or if someone must have them,
// but not more often than the interval. It returns what to wait for; nil if there
// is nothing under way.
func (i *issuer) refresh(ctx context.Context, group *sync.WaitGroup) <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.running != nil {
		return i.running
	}
	now := i.clock.Mono()
	if ctx.Err() != nil || i.tried != 0 && now-i.tried < uint64(RefetchAfter) {
		return nil
	}
	i.tried = max(1, now)
	running := make(chan struct{})
	i.running = running
	group.Go(func() {
		defer close(running)
		err := i.fetch(ctx)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.running = nil
		if err != nil && (i.failure == nil || i.failure.Error() != err.Error()) {
			i.logger.Warn("the keys of an issuer can't be fetched: those fetched before stay good for a while", "issuer", i.options.Issuer, "error", err, "good_for", StaleAfter)
		}
		if err == nil && i.failure != nil {
			i.logger.Info("the keys of an issuer were fetched again", "issuer", i.options.Issuer)
		}
		i.failure = err
	})
	return running
}

// fetch reads the issuer's configuration and its keys.
func (i *issuer) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	var config struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	b, err := i.get(ctx, strings.TrimSuffix(i.options.Issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &config); err != nil {
		return fmt.Errorf("read the configuration of %s: %w", i.options.Issuer, err)
	}
	if config.Issuer != i.options.Issuer {
		return fmt.Errorf("the configuration of %s is that of %.80q", i.options.Issuer, config.Issuer)
	}
	if err := checkURL(config.Keys); err != nil {
		return fmt.Errorf("read the configuration of %s: jwks_uri: %w", i.options.Issuer, err)
	}
	if b, err = i.get(ctx, config.Keys); err != nil {
		return err
	}
	next, err := parseKeys(b)
	if err != nil {
		return fmt.Errorf("read the keys of %s: %w", i.options.Issuer, err)
	}
	if old := i.keys.Load(); old == nil || old.digest != next.digest {
		i.keys.Store(next)
	}
	i.fetched.Store(int64(i.clock.Wall())) //nolint:gosec // until the year 2262
	return nil
}

func (i *issuer) get(ctx context.Context, url string) (body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := i.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: status %d", url, response.StatusCode)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", url, err)
	}
	if len(body) > maxDocument {
		return nil, fmt.Errorf("the answer of %s is larger than %d bytes", url, maxDocument)
	}
	return body, nil
}

// parseKeys reads a key set and leaves out what does not sign with the algorithms
// that are accepted. An issuer without any such key is an error: an outage that
// answers an empty set must not lock everybody out.
func parseKeys(data []byte) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	s := &keySet{digest: sha256.Sum256(data)}
	for _, raw := range document.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" {
			continue
		}
		for _, a := range algorithms() {
			if fits(k.Key, a) {
				s.keys = append(s.keys, k)
			}
		}
	}
	if len(s.keys) == 0 {
		return nil, errors.New("there is no key for RS256, ES256 or EdDSA")
	}
	return s, nil
}

// algorithms are all that is accepted: none with a shared secret, and not "none".
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}
