package proxy

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// conditions are what a match wants beyond names and prefixes, ready to use. The zero value wants nothing.
type conditions struct {
	path   *regexp.Regexp
	fields []condition
}

// condition is one of a field: a regular expression, or a range of numbers where there is none.
type condition struct {
	name   string
	regex  *regexp.Regexp
	number Number
}

// whole is a regular expression that has to fit all of a text.
func whole(text string) (*regexp.Regexp, error) { return regexp.Compile("^(?s:" + text + ")$") }

func (f *faults) regex(key, text string) {
	if _, err := whole(text); err != nil || len(text) > 1024 {
		f.add("%s: want a regular expression (RE2) of at most 1,024 bytes, not %.100q", key, text)
	}
}

// compileConditions expects texts that the configuration's check has passed.
func compileConditions(m *Match) (c conditions) {
	if m.Regex != "" {
		c.path, _ = whole(m.Regex)
	}
	for _, h := range m.Headers {
		if h.Regex != "" {
			regex, _ := whole(h.Regex)
			c.fields = append(c.fields, condition{name: h.Name, regex: regex})
		}
		if h.Number != nil {
			c.fields = append(c.fields, condition{name: h.Name, number: *h.Number})
		}
	}
	return c
}

func (c *conditions) match(req *h1.Request) bool {
	if c.path != nil && !c.path.Match(req.Path) {
		return false
	}
	for i := range c.fields {
		if !c.fields[i].match(req) {
			return false
		}
	}
	return true
}

// match wants a field that decides something, such as where an account is, to be there once: two could be read
// differently by two parties.
func (c *condition) match(req *h1.Request) bool {
	value, ok := only(req, c.name)
	if !ok || c.regex != nil {
		return ok && c.regex.MatchString(value)
	}
	n, err := strconv.ParseUint(value, 10, 32)
	return err == nil && uint32(n) >= c.number.From && uint32(n) <= c.number.To
}

// only is the value of a field that is there once and passed on.
func only(req *h1.Request, name string) (value string, ok bool) {
	for i := range req.Fields {
		f := &req.Fields[i]
		if len(f.Name) != len(name) || !strings.EqualFold(string(f.Name), name) {
			continue
		}
		if ok || !f.Forwarded() {
			return "", false
		}
		value, ok = string(f.Value), true
	}
	return value, ok
}

// hasOwnKey tells whether the request has the key that the receiver knows operations by.
func (x *exchange) hasOwnKey() bool {
	value, ok := only(x.req, x.route.Key)
	return ok && value != "" && len(value) <= 255
}

// checkKey wants the key to reach the endpoint as it came.
func (r *Route) checkKey(f *faults, key string) {
	if r.Key == "" {
		return
	}
	if !r.Money {
		f.add("%s.key: for money routes only", key)
	}
	if !isToken(r.Key) || h1.Lookup([]byte(r.Key)) != h1.Other {
		f.add("%s.key: want the name of a field that the proxy has no other use for, not %q", key, r.Key)
	}
	names := append([]string{}, r.Request.Remove...)
	for _, values := range []map[string]string{r.Request.Set, r.Request.Add} {
		for n := range values {
			names = append(names, n)
		}
	}
	for _, n := range names {
		if strings.EqualFold(n, r.Key) {
			f.add("%s.request: %s names the operation and is carried unchanged", key, n)
		}
	}
}

// backOff waits before a further attempt, at random so that those who failed together do not come back together.
func (x *exchange) backOff() {
	most := x.route.Retry.Backoff << min(x.attempts-1, 5)
	if most <= 0 {
		return
	}
	fired, stop := x.c.p.clock.After(min(rand.N(most)+1, time.Until(x.deadline))) //nolint:gosec // balance, not secrecy
	defer stop()
	select {
	case <-fired:
	case <-x.c.p.stop:
	}
}
