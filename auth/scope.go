package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/money"
)

// Bounds of a scope: it is looked through for every event of a scoped caller.
const (
	MaxScopeEntries = 64  // of each kind
	MaxAddress      = 128 // bytes of one address prefix
)

// Scope narrows what a caller may see and move, beyond what the role allows. An
// account is in scope if both its asset and its address are. An empty list is no
// restriction; a nil *Scope is none at all.
type Scope struct {
	// Assets are names such as "CNY/2".
	Assets []string `json:"assets,omitempty" yaml:"assets"`
	// AddressPrefixes are beginnings of account addresses, such as
	// "merchant:1001:". See [Scope.HasAddress].
	AddressPrefixes []string `json:"address_prefixes,omitempty" yaml:"address_prefixes"`
}

// NewScope returns a scope, nil where it restricts nothing. The error names the
// entry that is wrong. The scope keeps the slices.
func NewScope(assets, prefixes []string) (*Scope, error) {
	s := &Scope{Assets: assets, AddressPrefixes: prefixes}
	if err := s.check(); err != nil {
		return nil, err
	}
	if len(assets) == 0 && len(prefixes) == 0 {
		return nil, nil //nolint:nilnil // nil is the scope that restricts nothing
	}
	return s, nil
}

func (s *Scope) check() error {
	if len(s.Assets) > MaxScopeEntries || len(s.AddressPrefixes) > MaxScopeEntries {
		return fmt.Errorf("scope: more than %d assets or address prefixes", MaxScopeEntries)
	}
	for i, name := range s.Assets {
		if a, err := money.ParseAsset(name); err != nil || a.String() != name {
			return fmt.Errorf("scope: assets[%d]: %.40q is not an asset: want CODE/SCALE, such as \"CNY/2\"", i, name)
		}
	}
	for i, prefix := range s.AddressPrefixes {
		if prefix == "" || len(prefix) > MaxAddress || strings.ContainsFunc(prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("scope: address_prefixes[%d]: %.40q: want 1 to %d printable ASCII characters", i, prefix, MaxAddress)
		}
	}
	return nil
}

// HasAsset reports whether accounts in this asset may be in scope.
func (s *Scope) HasAsset(name string) bool {
	return s == nil || len(s.Assets) == 0 || name != "" && slices.Contains(s.Assets, name)
}

// NamesAsset reports whether the scope lists the asset by name: only then may its
// holder bring the asset into the catalogue.
func (s *Scope) NamesAsset(name string) bool {
	return s == nil || slices.Contains(s.Assets, name)
}

// HasAddress reports whether an account with this address may be in scope. A
// prefix ends at a colon or at the end of the address: "merchant:1001" covers
// "merchant:1001" and "merchant:1001:fees" but not "merchant:10012".
func (s *Scope) HasAddress(address string) bool {
	if s == nil || len(s.AddressPrefixes) == 0 {
		return true
	}
	for _, prefix := range s.AddressPrefixes {
		rest, ok := strings.CutPrefix(address, prefix)
		if ok && (rest == "" || rest[0] == ':' || prefix[len(prefix)-1] == ':') {
			return true
		}
	}
	return false
}
