package export

import (
	"regexp"
	"strings"
)

// hledger writes what `hledger check --strict` accepts (1.25 and later).
type hledger struct{}

// letters are commodities that need no quotes.
var letters = regexp.MustCompile(`^[A-Z]+$`)

func (hledger) head(j *journalWriter) {
	j.line("; %s", j.state())
	j.line("decimal-mark .")
	for i := range j.units {
		u := &j.units[i]
		if !letters.MatchString(u.name) {
			u.name = `"` + u.name + `"`
		}
		// The places of the sample are those that hledger shows.
		j.line("commodity 1000.%s %s", strings.Repeat("0", int(u.asset.Scale)), u.name)
	}
}

func (hledger) open(j *journalWriter, name string, _ *unit, opened uint64) {
	j.line("account %s  ; opened:%s", name, stamp(opened))
}

func (hledger) transaction(j *journalWriter, e *entry) {
	j.line("\n%s * (%s) transfer", day(e.time), e.id)
	for _, t := range e.tags {
		j.line("    ; %s:%s", t.key, t.value)
	}
	j.line("    %s  %s", e.debit, e.unit.amount(signed{abs: e.amount}))
	j.line("    %s  %s", e.credit, e.unit.amount(signed{abs: e.amount, negative: true}))
}

func (hledger) balance(j *journalWriter, name string, u *unit, net signed) {
	j.line("%s * balance\n    %s  %s = %s", day(j.run.moment.Time), name, u.amount(signed{}), u.amount(net))
}

func (hledger) tail(*journalWriter) {}
