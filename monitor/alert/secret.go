package alert

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds a file with a secret, in bytes.
const maxSecret = 4 << 10

// BearerFile returns an Authorization of a token in a file, which is read for every request: it can be replaced at any
// time. Errors never have the token.
func BearerFile(path string) func() (string, error) {
	return func() (value string, err error) {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
		token := strings.TrimSpace(string(b))
		switch {
		case err != nil:
			return "", err
		case len(b) > maxSecret || token == "" || strings.ContainsAny(token, "\r\n\x00"):
			return "", fmt.Errorf("%s: want one line with a token, up to %d bytes", path, maxSecret)
		}
		return "Bearer " + token, nil
	}
}
