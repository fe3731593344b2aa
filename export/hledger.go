package export

import (
	"regexp"
	"strings"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
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

func (hledger) open(j *journalWriter, name string, _ *unit, a *ledgerv1.Account) {
	address := ""
	if a.GetAddress() != "" {
		address = ", address:" + a.GetAddress()
	}
	j.line("account %s  ; opened:%s%s", name, stamp(a.GetTimestamp()), address)
}

func (hledger) transaction(j *journalWriter, e *entry) {
	j.line("\n%s * (%s) transfer", e.day, e.id)
	for _, t := range e.tags {
		j.line("    ; %s:%s", t.key, strings.ReplaceAll(t.value, ",", ";")) // a comma ends a tag
	}
	j.line("    %s  %s", e.debit, e.unit.amount(signed{abs: e.amount}))
	j.line("    %s  %s", e.credit, e.unit.amount(signed{abs: e.amount, negative: true}))
}

func (hledger) balance(j *journalWriter, name string, u *unit, net signed) {
	j.line("%s * balance\n    %s  %s = %s", j.last, name, u.amount(signed{}), u.amount(net))
}

func (hledger) tail(*journalWriter) {}
