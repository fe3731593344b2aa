package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"

	"github.com/spf13/pflag"
)

func (f *ledgerFlags) registerTLS(flags *pflag.FlagSet) {
	flags.BoolVar(&f.tls, "tls", false, "encrypt; the server's certificate must be one this machine trusts")
	flags.StringVar(&f.ca, "ca", "", "file with the authority that signed the server's certificate, instead of this machine's; implies --tls")
	flags.StringVar(&f.cert, "cert", "", "file with a client certificate, which may take the place of a token; implies --tls")
	flags.StringVar(&f.key, "key", "", "file with the key of --cert")
	flags.BoolVar(&f.plaintext, "plaintext", false, "send the token unencrypted beyond this machine")
}

// tlsConfig is how to encrypt, from the flags.
func (f *ledgerFlags) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, usage("--ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--ca: %s holds no certificate", f.ca)
		}
	}
	if (f.cert == "") != (f.key == "") {
		return nil, usage("--cert and --key: want both or none")
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, usage("--cert, --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
