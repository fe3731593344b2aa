package control

import (
	"crypto/x509"
	"maps"
	"slices"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// secrets are a node's own certificate, and the roots by trust domain: a domain's root vouches for that domain only.
func (b *builder) secrets(svid *SVID, trust map[string][]*x509.Certificate) {
	key, err := encodeKey(svid.Key)
	if err != nil {
		b.err = err
		return
	}
	b.add(secretType, identityName, &tlsv3.Secret{Name: identityName, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(encodeCertificates(svid.Chain)), PrivateKey: inline(key)},
	}})
	validator := &tlsv3.SPIFFECertValidatorConfig{}
	for _, domain := range slices.Sorted(maps.Keys(trust)) {
		validator.TrustDomains = append(validator.TrustDomains, &tlsv3.SPIFFECertValidatorConfig_TrustDomain{
			Name: domain, TrustBundle: inline(encodeCertificates(trust[domain])),
		})
	}
	b.add(secretType, trustName, &tlsv3.Secret{Name: trustName, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{CustomValidatorConfig: &core.TypedExtensionConfig{
			Name: "envoy.tls.cert_validator.spiffe", TypedConfig: b.any(validator),
		}},
	}})
}

func inline(data []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: data}}
}
