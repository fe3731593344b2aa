// Package oidc verifies JSON Web Tokens of OpenID Connect issuers and says who
// their bearers are to this ledger.
//
// It fetches the issuers' keys, and nothing else, and never calls an issuer about
// a single token: a JWT is good until it expires, so issuers should give short
// ones. Start reading at [New] and [Verifier.Verify].
package oidc

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/sterlingrun/sterling/auth"
)

// Options are one issuer and what its claims mean here.
type Options struct {
	Issuer   string `yaml:"issuer"`   // URL, https, as it stands in the claim iss; http on loopback only
	Audience string `yaml:"audience"` // must be among the claim aud
	// RoleClaim is the claim with roles, a text or a list of texts; parts of nested
	// claims are joined by dots (realm_access.roles).
	RoleClaim string `yaml:"role_claim"`
	// Roles maps the claim's values. Of several the first counts in the order admin,
	// operator, teller, auditor, reader. None: the token is refused.
	Roles map[string]auth.Role `yaml:"roles"`
	// AssetClaim and PrefixClaim are claims with the scope, a text or a list of
	// texts. Where one is named, tokens without it are refused; the value "*" is
	// everything.
	AssetClaim  string `yaml:"asset_claim"`
	PrefixClaim string `yaml:"prefix_claim"`
	// ClockSkew is how far the issuer's clock may be off: 0 to 5 minutes.
	ClockSkew time.Duration `yaml:"clock_skew"`
}

const (
	maxIssuers = 16
	maxSkew    = 5 * time.Minute
)

// Check says what is wrong with the options of the issuers.
func Check(list []Options) error {
	var faults []error
	if len(list) > maxIssuers {
		faults = append(faults, fmt.Errorf("auth.oidc: more than %d issuers", maxIssuers))
	}
	seen := map[string]bool{}
	for i := range list {
		o := &list[i]
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("auth.oidc[%d].%w", i, fmt.Errorf(format, args...)))
		}
		if err := checkURL(o.Issuer); err != nil {
			fault("issuer: %w", err)
		}
		if seen[o.Issuer] {
			fault("issuer: %s occurs twice", o.Issuer)
		}
		seen[o.Issuer] = true
		if o.Audience == "" {
			fault("audience: is missing; without it tokens for other services would be taken")
		}
		if o.RoleClaim == "" || len(o.Roles) == 0 {
			fault("role_claim and roles: are missing; without them nobody has a role")
		}
		for value, role := range o.Roles {
			if !role.Allows(auth.Read) {
				fault("roles[%s]: want a role", value)
			}
		}
		if o.ClockSkew < 0 || o.ClockSkew > maxSkew {
			fault("clock_skew: want 0s to %v, not %v", maxSkew, o.ClockSkew)
		}
	}
	return errors.Join(faults...)
}

// checkURL accepts https, and http to this machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%.80q is not a plain URL such as https://login.bank.example", text)
	}
	host := u.Hostname()
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !local) {
		return fmt.Errorf("%.80s: want https: over anything else, keys could be replaced on the way", text)
	}
	return nil
}
