package export

// beancount writes what `bean-check` accepts (2.3).
type beancount struct{}

const (
	// BeancountDigits is how many digits beancount counts with unless it is told to take more: what Python's decimals
	// keep.
	BeancountDigits = 28

	// epoch is before every account.
	epoch = "1970-01-01"
	// precision is the account of a transaction that balances only where 41 digits are kept.
	precision = "Equity:Sterling-Precision"
	ones      = "11111111111111111111111111111111111111111"
)

func (beancount) head(j *journalWriter) {
	j.line("; %s", j.state())
	// Without this, sums may be wrong by half a minor unit, and assertions by one.
	j.line(`option "inferred_tolerance_multiplier" "0"`)
	for _, u := range j.units {
		j.line("%s commodity %s\n  asset: \"%s\"", epoch, u.name, u.asset)
	}
}

func (beancount) open(j *journalWriter, name string, u *unit, opened uint64) {
	j.line("%s open %s %s", day(opened), name, u.name)
}

func (beancount) transaction(j *journalWriter, e *entry) {
	j.line("\n%s * \"transfer %s\"", day(e.time), e.id)
	for _, t := range e.tags {
		j.line("  %s: \"%s\"", t.key, t.value)
	}
	j.line("  %s  %s", e.debit, e.unit.amount(signed{abs: e.amount}))
	j.line("  %s  %s", e.credit, e.unit.amount(signed{abs: e.amount, negative: true}))
}

// balance asserts for the next morning: an assertion of beancount is of the beginning of its day.
func (beancount) balance(j *journalWriter, name string, u *unit, net signed) {
	const oneDay = 24 * 60 * 60 * 1e9
	j.line("%s balance %s  %s", day(j.run.moment.Time+oneDay), name, u.amount(net))
}

// tail makes sure that a journal with longer amounts than beancount can count is refused, and not counted wrong.
func (beancount) tail(j *journalWriter) {
	if j.run.summary.Digits <= BeancountDigits {
		return
	}
	today := day(j.run.moment.Time)
	j.line("\n; Amounts and sums have up to %d digits, and beancount keeps %d unless it is told to keep more: how is in", j.run.summary.Digits, BeancountDigits)
	j.line("; docs/guides/export.md. Where it does not, this transaction does not balance, and bean-check says so.")
	j.line("%s open %s", today, precision)
	j.line("%s * \"precision\"\n  %s  %s DIGITS\n  %s  -%s DIGITS", today, precision, ones, precision, ones)
}
