package control

import (
	"testing"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

// FuzzParseBundle: an endpoint may answer anything. Whatever is taken has roots to believe somebody by.
func FuzzParseBundle(f *testing.F) {
	domain := spiffeid.RequireTrustDomainFromString("other.example")
	for _, seed := range []string{
		"", "{}", `{"keys": null}`, `{"keys": [], "spiffe_refresh_hint": 1e300}`, `{"keys": [{"use": "x509-svid", "kty": "EC", "x5c": ["AAAA"]}]}`,
		`{"keys": [{"use": "jwt-svid", "kty": "EC", "crv": "P-256", "x": "", "y": "", "kid": "a"}], "spiffe_sequence": -1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBundle(domain, text)
		if (err == nil) != (b != nil) || b != nil && (len(b.X509Authorities()) == 0 || len(b.X509Authorities()) > maxRoots) {
			t.Errorf("%v, %v", b, err)
		}
	})
}
