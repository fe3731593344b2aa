// Package auth says who calls and what they may do: bearer tokens, the roles,
// scopes and rates behind them, and the file in the data folder that keeps them.
//
// It stores only SHA-256 hashes of secrets, reads no clock (time is an argument)
// and speaks no network protocol. Start reading at [Store.Verify]; the functions
// [Bootstrap], [CreateToken], [Rotate], [Revoke] and [List] work on the file for
// the command line and may run while a server uses it. Below it are other ways to
// be known: oidc (tokens of an issuer) and mtls (client certificates).
package auth

import (
	"errors"
	"fmt"
)

// Role is what a token may do.
type Role uint8

// The roles. Each may do what its comment says and nothing else.
const (
	RoleReader   Role = iota + 1 // look up and query
	RoleTeller                   // reader, and create accounts and transfers
	RoleOperator                 // teller, and freeze, unfreeze, set limits, accept the clock
	RoleAuditor                  // reader, and verify and export
	RoleAdmin                    // everything
)

// Permission is one kind of action a role allows.
type Permission uint8

// The permissions.
const (
	Read    Permission = 1 << iota // look up and query
	Write                          // create accounts, transfers and assets
	Operate                        // freeze, unfreeze, set limits, accept the clock
	Audit                          // verify and export
)

type roleInfo struct {
	name    string
	allowed Permission
}

func (r Role) info() (roleInfo, bool) {
	switch r {
	case RoleReader:
		return roleInfo{"reader", Read}, true
	case RoleTeller:
		return roleInfo{"teller", Read | Write}, true
	case RoleOperator:
		return roleInfo{"operator", Read | Write | Operate}, true
	case RoleAuditor:
		return roleInfo{"auditor", Read | Audit}, true
	case RoleAdmin:
		return roleInfo{"admin", Read | Write | Operate | Audit}, true
	default:
		return roleInfo{}, false
	}
}

// Allows reports whether the role includes the permission. The zero role allows
// nothing.
func (r Role) Allows(p Permission) bool {
	info, ok := r.info()
	return ok && p != 0 && info.allowed&p == p
}

// String returns the role's name as it stands in the token file.
func (r Role) String() string {
	if info, ok := r.info(); ok {
		return info.name
	}
	return fmt.Sprintf("Role(%d)", uint8(r))
}

// ParseRole returns the role of a name.
func ParseRole(name string) (Role, error) {
	for r := RoleReader; r <= RoleAdmin; r++ {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("role %q is unknown: want reader, teller, operator, auditor or admin", name)
}

// MarshalText returns the role's name.
func (r Role) MarshalText() ([]byte, error) {
	info, ok := r.info()
	if !ok {
		return nil, fmt.Errorf("role %d is unknown", uint8(r))
	}
	return []byte(info.name), nil
}

// UnmarshalText sets the role from its name.
func (r *Role) UnmarshalText(text []byte) error {
	role, err := ParseRole(string(text))
	if err != nil {
		return err
	}
	*r = role
	return nil
}

// Principal is an authenticated caller.
type Principal struct {
	ID      [16]byte // of the token, subject or certificate; recorded in the journal as the actor
	Name    string   // given by the person who made the token, by the issuer, or by the certificate
	Role    Role
	Via     Via
	Scope   *Scope   // nil: everything
	Shadow  bool     // may make shadow traffic, and nothing else: see Token.Shadow
	Limiter *Limiter // nil: no bound
}

// Via is how a caller proved who it is.
type Via uint8

// The ways.
const (
	ViaToken       Via = iota + 1 // a token of this ledger
	ViaJWT                        // a token of an OpenID Connect issuer
	ViaCertificate                // a client certificate
)

// String returns the word that stands in the access log; "none" for the zero Via.
func (v Via) String() string {
	switch v {
	case ViaToken:
		return "token"
	case ViaJWT:
		return "jwt"
	case ViaCertificate:
		return "certificate"
	default:
		return "none"
	}
}

// Errors of [Store.Verify]. They never say which part of a token was wrong.
var (
	ErrUnknownToken = errors.New("token is malformed, unknown or revoked")
	ErrExpiredToken = errors.New("token has expired")
)
