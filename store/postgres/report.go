package postgres

import (
	"errors"
	"fmt"
)

// Report says whether an engine may hold a journal: what it is, and how it keeps each rule.
type Report struct {
	Engine  string // PostgreSQL, CockroachDB or YugabyteDB
	Version string // as the engine tells it
	Rules   []Rule
	// Failover: a commit is on other servers before it is acknowledged, so that one of them can take over. An engine
	// without it may be fit, on the one machine that it is on.
	Failover bool
}

// Rule is one thing that an engine has to have.
type Rule struct {
	Name   string
	Found  string
	Wanted string
	Fit    bool
	Change string // what to do where it is not fit
}

// Fit reports whether every rule is kept.
func (r Report) Fit() bool { return r.Err() == nil }

// Err is nil if every rule is kept; otherwise it says for each broken one what to change.
func (r Report) Err() error {
	var broken []error
	for _, rule := range r.Rules {
		if !rule.Fit {
			broken = append(broken, fmt.Errorf("%s is %s, want %s: %s", rule.Name, rule.Found, rule.Wanted, rule.Change))
		}
	}
	return errors.Join(broken...)
}

func (r *Report) add(fit bool, name, found, wanted, change string) {
	if fit {
		change = ""
	}
	r.Rules = append(r.Rules, Rule{Name: name, Found: found, Wanted: wanted, Fit: fit, Change: change})
}
