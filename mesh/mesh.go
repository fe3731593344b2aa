// Package mesh is what the service mesh is to do, as pure data: identities, the desired state as people write it
// (YAML), and the snapshot that is compiled from it for the data planes. It decides everything that can be decided
// before a request is there: which routes may be retried without paying twice, where shadow traffic may go, which cell
// owns a bucket of accounts, who may call whom. It never opens a connection or a file and knows no time; mesh/control
// distributes snapshots, mesh/proxy and other data planes obey them. Start reading at Parse, then Compile.
package mesh

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Headers that requests in the mesh carry (metadata in gRPC).
const (
	// HeaderShadow marks a request as shadow traffic, whatever its value. See Shadow.
	HeaderShadow = "x-sterling-shadow"
	// HeaderBucket has the bucket of the account that a request is about, in decimal, for sharded services.
	HeaderBucket = "x-sterling-bucket"
	// HeaderKey has the idempotency key of a request that moves money, where a service names no other header.
	HeaderKey = "idempotency-key"
)

// ErrID is a text that is no identity of a mesh.
var ErrID = errors.New("mesh identity")

// ID is who a workload is: spiffe://DOMAIN/cell/CELL/svc/SERVICE. The zero ID is nobody.
type ID struct{ Domain, Cell, Service string }

// String returns the SPIFFE id.
func (id ID) String() string {
	return "spiffe://" + id.Domain + "/cell/" + id.Cell + "/svc/" + id.Service
}

var (
	names   = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	domains = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$`)
)

// ValidDomain tells whether s can be a trust domain: lower-case letters, digits, ".", "-" and "_", at most 255 bytes.
func ValidDomain(s string) bool { return domains.MatchString(s) }

// ValidName tells whether s can name a cell or a service: lower-case letters, digits and "-", at most 63 bytes.
func ValidName(s string) bool { return names.MatchString(s) }

// ParseID reads a SPIFFE id of the mesh's form. The error wraps ErrID. Only the canonical spelling is an id, so two
// ids are the same exactly if their texts are.
func ParseID(s string) (ID, error) {
	rest, ok := strings.CutPrefix(s, "spiffe://")
	parts := strings.Split(rest, "/")
	if !ok || len(s) > 2048 || len(parts) != 5 || parts[1] != "cell" || parts[3] != "svc" {
		return ID{}, fmt.Errorf("%w: %.100q: want spiffe://DOMAIN/cell/CELL/svc/NAME", ErrID, s)
	}
	id := ID{Domain: parts[0], Cell: parts[2], Service: parts[4]}
	return id, id.Check()
}

// Check tells whether every part of the id is what it has to be. The error wraps ErrID.
func (id ID) Check() error {
	switch {
	case !ValidDomain(id.Domain):
		return fmt.Errorf("%w: trust domain %.100q: want lower-case letters, digits, \".\", \"-\" and \"_\"", ErrID, id.Domain)
	case !ValidName(id.Cell):
		return fmt.Errorf("%w: cell %.100q: want lower-case letters, digits and \"-\"", ErrID, id.Cell)
	case !ValidName(id.Service):
		return fmt.Errorf("%w: service %.100q: want lower-case letters, digits and \"-\"", ErrID, id.Service)
	}
	return nil
}

// Peer is a caller as policies name it.
type Peer struct {
	Domain  string // empty in a State: the mesh's own
	Cell    string // empty: any cell
	Service string
}

// Matches tells whether id is meant.
func (p Peer) Matches(id ID) bool {
	return p.Domain == id.Domain && p.Service == id.Service && (p.Cell == "" || p.Cell == id.Cell)
}
