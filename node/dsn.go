package node

import (
	"errors"
	"net/url"
	"strings"
)

// errDSN never has the text: what can't be read may be a password, or a part of one.
var errDSN = errors.New("it can't be read as a URL: percent-encode what is special in the user and the password (@ is %40, / is %2F, : is %3A, % is %25)")

// checkURL refuses a DSN that is read otherwise than it was meant: a driver would take a part of the password for a host's
// name, and tell it to the log.
func checkURL(dsn string) error {
	_, rest, isURL := strings.Cut(dsn, "://")
	if !isURL {
		return nil // a file's name
	}
	authority, _, _ := strings.Cut(rest, "/")
	user, hosts, named := cutLast(authority, "@")
	if !named {
		return nil
	}
	if strings.ContainsAny(user, "@?#") || strings.ContainsAny(hosts, "%") {
		return errDSN
	}
	if _, err := url.PathUnescape(user); err != nil {
		return errDSN
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}
