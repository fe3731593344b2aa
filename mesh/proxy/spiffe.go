package proxy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// errID is an identity that is none.
var errID = errors.New("want a SPIFFE id such as spiffe://bank.example/cell/1/svc/pay")

// checkID wants a SPIFFE id: spiffe://DOMAIN/PATH, as the SPIFFE ID standard (2.1 to 2.4) spells it.
func checkID(id string) error {
	rest, ok := strings.CutPrefix(id, "spiffe://")
	domain, path, slash := strings.Cut(rest, "/")
	if !ok || !slash || len(id) > 2048 || domain == "" || len(domain) > 255 || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return fmt.Errorf("%w, not %q", errID, id)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, notInPath) {
			return fmt.Errorf("%w, not %q", errID, id)
		}
	}
	return nil
}

func notInPath(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
}

// trustDomain is the domain of a checked id.
func trustDomain(id string) string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	return domain
}

// pattern is one id, all below a path, or all that differ in one segment only.
type pattern struct {
	id    string // with a final slash where below is set; up to the segment where rest is set
	below bool
	rest  string // what follows the segment that may be any
}

func parsePattern(text string) (pattern, error) {
	if id, rest, any := strings.Cut(text, "/*/"); any {
		if err := checkID(id + "/any/" + rest); err != nil {
			return pattern{}, err
		}
		return pattern{id: id + "/", rest: "/" + rest}, nil
	}
	id, below := strings.CutSuffix(text, "/*")
	if below && strings.Count(id, "/") == 2 {
		id += "/any" // a whole trust domain: the id alone has no path
		if err := checkID(id); err != nil {
			return pattern{}, err
		}
		return pattern{id: strings.TrimSuffix(id, "any"), below: true}, nil
	}
	if err := checkID(id); err != nil {
		return pattern{}, err
	}
	if below {
		id += "/"
	}
	return pattern{id: id, below: below}, nil
}

// patterns are callers that may do something.
type patterns []pattern

// compilePatterns expects texts that the configuration's check has passed.
func compilePatterns(texts []string) patterns {
	list := make(patterns, 0, len(texts))
	for _, t := range texts {
		if p, err := parsePattern(t); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// has tells whether id is one of them. The empty id, nobody, never is.
func (l patterns) has(id string) bool {
	for i := range l {
		if p := &l[i]; id != "" && p.has(id) {
			return true
		}
	}
	return false
}

func (p *pattern) has(id string) bool {
	if p.rest == "" {
		return id == p.id || p.below && strings.HasPrefix(id, p.id)
	}
	id, starts := strings.CutPrefix(id, p.id)
	segment, ends := strings.CutSuffix(id, p.rest)
	return starts && ends && segment != "" && !strings.Contains(segment, "/")
}

// certificateID is the SPIFFE id of an X.509-SVID: its only URI name.
func certificateID(c *x509.Certificate) (string, error) {
	if len(c.URIs) != 1 {
		return "", fmt.Errorf("a certificate with %d URI names; an X.509-SVID has one", len(c.URIs))
	}
	if c.IsCA {
		return "", errors.New("a certificate authority's certificate; an X.509-SVID is a leaf")
	}
	id := c.URIs[0].String()
	return id, checkID(id)
}
