package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/clock"
)

const (
	maxToken   = 16 << 10 // bytes
	maxSubject = 256      // bytes
	maxCached  = 1 << 16  // tokens
)

// ErrNoKeys refuses a JWT because its issuer's keys could not be had, or not for
// too long.
var ErrNoKeys = errors.New("the issuer's keys can't be had: use a token of this ledger, or try again when the issuer answers")

// Verifier verifies the tokens of some issuers. It is safe for concurrent use.
// Close it after use.
type Verifier struct {
	issuers map[string]*issuer

	ctx    context.Context //nolint:containedctx // of the fetches, which outlive the call that began them
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.RWMutex
	cached map[[sha256.Size]byte]verified
}

// verified is a token whose signature was checked.
type verified struct {
	principal          auth.Principal
	issuer             *issuer
	keys               *keySet // that it was checked with
	notBefore, expires time.Time
}

// New returns a verifier. It asks no issuer before the first token comes.
func New(list []Options, c clock.Clock, logger *slog.Logger) (*Verifier, error) {
	if err := Check(list); err != nil {
		return nil, err
	}
	v := &Verifier{issuers: map[string]*issuer{}, cached: map[[sha256.Size]byte]verified{}}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	client := &http.Client{
		Timeout: fetchTime,
		// An issuer is where its name says it is.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, o := range list {
		v.issuers[o.Issuer] = &issuer{options: o, client: client, clock: c, logger: logger}
	}
	return v, nil
}

// Close ends fetches under way and waits for them.
func (v *Verifier) Close() {
	v.cancel()
	v.group.Wait()
}

// IsJWT reports whether a bearer token has the shape of a JWT.
func IsJWT(token string) bool { return strings.Count(token, ".") == 2 }

// Verify returns the principal of a JWT. Its signature is checked once; from then
// on only its times are, as long as the issuer's keys stay the same.
func (v *Verifier) Verify(token string, now time.Time) (auth.Principal, error) {
	if len(token) > maxToken || !IsJWT(token) {
		return auth.Principal{}, auth.ErrUnknownToken
	}
	hash := sha256.Sum256([]byte(token))
	v.mu.RLock()
	known, ok := v.cached[hash]
	v.mu.RUnlock()
	if !ok || known.issuer.set(now) != known.keys {
		var err error
		if known, err = v.check(token, now); err != nil {
			return auth.Principal{}, err
		}
		v.remember(hash, known, now)
	}
	if now.UnixNano()-known.issuer.fetched.Load() > int64(RefreshAfter) {
		known.issuer.refresh(v.ctx, &v.group) // nobody waits for it
	}
	switch skew := known.issuer.options.ClockSkew; {
	case !now.Before(known.expires.Add(skew)):
		return auth.Principal{}, auth.ErrExpiredToken
	case now.Add(skew).Before(known.notBefore):
		return auth.Principal{}, errors.New("token is not valid yet: is a clock wrong?")
	}
	return known.principal, nil
}

func (v *Verifier) remember(hash [sha256.Size]byte, known verified, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.cached) >= maxCached {
		for h, old := range v.cached {
			if now.After(old.expires.Add(maxSkew)) {
				delete(v.cached, h)
			}
		}
		if len(v.cached) >= maxCached {
			clear(v.cached)
		}
	}
	v.cached[hash] = known
}

// check verifies the signature of a token and reads its claims.
func (v *Verifier) check(token string, now time.Time) (verified, error) {
	parsed, err := jwt.ParseSigned(token, algorithms())
	if err != nil || len(parsed.Headers) != 1 {
		return verified{}, auth.ErrUnknownToken
	}
	var unproven jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&unproven); err != nil {
		return verified{}, auth.ErrUnknownToken
	}
	i, ok := v.issuers[unproven.Issuer]
	if !ok {
		return verified{}, auth.ErrUnknownToken
	}
	header := parsed.Headers[0]
	candidates, set, err := v.keys(i, header.KeyID, jose.SignatureAlgorithm(header.Algorithm), now)
	if err != nil {
		return verified{}, err
	}
	for _, key := range candidates {
		var claims jwt.Claims
		var all map[string]any
		if parsed.Claims(key, &claims, &all) != nil {
			continue
		}
		known, err := i.options.read(&claims, all)
		known.issuer, known.keys = i, set
		return known, err
	}
	return verified{}, auth.ErrUnknownToken
}

// keys returns the keys that a header can mean, and waits for the issuer if it
// has to: without any keys, and for one that is not known.
func (v *Verifier) keys(i *issuer, id string, algorithm jose.SignatureAlgorithm, now time.Time) (list []any, set *keySet, err error) {
	if set = i.set(now); set != nil {
		if list = set.find(id, algorithm); len(list) > 0 {
			return list, set, nil
		}
	}
	if running := i.refresh(v.ctx, &v.group); running != nil {
		<-running // at most fetchTime
	}
	if set = i.set(now); set == nil {
		return nil, nil, ErrNoKeys
	}
	return set.find(id, algorithm), set, nil
}

// read says who the bearer of proven claims is. The times are the caller's to
// judge.
func (o *Options) read(claims *jwt.Claims, all map[string]any) (verified, error) {
	switch {
	case claims.Issuer != o.Issuer || !claims.Audience.Contains(o.Audience):
		return verified{}, errors.New("token is for another audience than this ledger")
	case claims.Expiry == nil:
		return verified{}, errors.New("token has no expiry (exp), which it must have")
	case claims.Subject == "" || len(claims.Subject) > maxSubject || !printable(claims.Subject):
		return verified{}, fmt.Errorf("token's subject (sub) must be 1 to %d bytes of printable text", maxSubject)
	}
	role, err := o.role(all)
	if err != nil {
		return verified{}, err
	}
	scope, err := o.scope(all)
	if err != nil {
		return verified{}, err
	}
	sum := sha256.Sum256([]byte(claims.Issuer + "\x00" + claims.Subject))
	known := verified{
		principal: auth.Principal{ID: [16]byte(sum[:16]), Name: claims.Subject, Role: role, Via: auth.ViaJWT, Scope: scope},
		expires:   claims.Expiry.Time(),
	}
	if claims.NotBefore != nil {
		known.notBefore = claims.NotBefore.Time()
	}
	return known, nil
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (o *Options) role(all map[string]any) (auth.Role, error) {
	values, err := texts(all, o.RoleClaim)
	if err != nil {
		return 0, err
	}
	var has []auth.Role
	for _, value := range values {
		has = append(has, o.Roles[value])
	}
	for _, role := range []auth.Role{auth.RoleAdmin, auth.RoleOperator, auth.RoleTeller, auth.RoleAuditor, auth.RoleReader} {
		if slices.Contains(has, role) {
			return role, nil
		}
	}
	return 0, fmt.Errorf("none of the values of the token's claim %s is a role here", o.RoleClaim)
}

func (o *Options) scope(all map[string]any) (*auth.Scope, error) {
	assets, err := restriction(all, o.AssetClaim)
	if err != nil {
		return nil, err
	}
	prefixes, err := restriction(all, o.PrefixClaim)
	if err != nil {
		return nil, err
	}
	scope, err := auth.NewScope(assets, prefixes)
	if err != nil {
		return nil, fmt.Errorf("token's %w", err)
	}
	return scope, nil
}

// everything is a scope claim's value that restricts nothing. A claim that is
// missing or empty is none: an issuer that forgets it must not give away all.
const everything = "*"

func restriction(all map[string]any, claim string) ([]string, error) {
	if claim == "" {
		return nil, nil
	}
	values, err := texts(all, claim)
	if err != nil {
		return nil, err
	}
	if slices.Contains(values, everything) {
		return nil, nil
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("token's claim %s is empty: want what it may see, or %q for everything", claim, everything)
	}
	return values, nil
}

// texts returns a claim that is a text or a list of texts. The claim's name is
// taken as it is first, then as a path.
func texts(all map[string]any, claim string) ([]string, error) {
	value, found := all[claim]
	if !found {
		value = any(all)
		for part := range strings.SplitSeq(claim, ".") {
			object, _ := value.(map[string]any)
			if value, found = object[part]; !found {
				return nil, fmt.Errorf("token has no claim %s", claim)
			}
		}
	}
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case []any:
		list := make([]string, len(v))
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return nil, fmt.Errorf("token's claim %s is not a list of texts", claim)
			}
			list[i] = text
		}
		return list, nil
	default:
		return nil, fmt.Errorf("token's claim %s is neither a text nor a list of texts", claim)
	}
}
