package tpcc

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// random draws as clause 4.3.2 and 2.1.6 say. It is not safe for concurrent use.
type random struct {
	*rand.Rand
	constants
}

// constants are the C of the non-uniform draws: one set for loading, one for the load, whose last names differ by as
// much as clause 2.1.6.1 asks.
type constants struct{ last, customer, item int }

func newRandom(seed, stream uint64, c constants) *random {
	return &random{rand.New(rand.NewPCG(seed, stream)), c} //nolint:gosec // data of a benchmark, the same for the same seed
}

// bothConstants draws the sets for loading and for the load.
func bothConstants(seed uint64) (load, run constants) {
	r := newRandom(seed, 0, constants{})
	load = constants{r.IntN(256), r.IntN(1024), r.IntN(8192)}
	run = constants{0, r.IntN(1024), r.IntN(8192)}
	for {
		run.last = r.IntN(256)
		d := max(run.last-load.last, load.last-run.last)
		if d >= 65 && d <= 119 && d != 96 && d != 112 {
			return load, run
		}
	}
}

// between draws evenly from x to y, both included.
func (r *random) between(x, y int) int { return x + r.IntN(y-x+1) }

// nonUniform is NURand(a, x, y).
func (r *random) nonUniform(a, c, x, y int) int {
	return ((r.between(0, a)|r.between(x, y))+c)%(y-x+1) + x
}

func (r *random) customerOf(s Scale) int { return r.nonUniform(1023, r.customer, 1, s.Customers) }
func (r *random) itemOf(s Scale) int     { return r.nonUniform(8191, r.item, 1, s.Items) }
func (r *random) lastOf(s Scale) string {
	return lastName(r.nonUniform(255, r.last, 0, s.lastNames()-1))
}

var syllables = [10]string{"BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"}

// lastName is the name with a number from 0 to 999.
func lastName(n int) string { return syllables[n/100] + syllables[n/10%10] + syllables[n%10] }

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	digits  = "0123456789"
)

func (r *random) draw(alphabet string, least, most int) string {
	b := make([]byte, r.between(least, most))
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func (r *random) text(least, most int) string { return r.draw(letters, least, most) }
func (r *random) number(n int) string         { return r.draw(digits, n, n) }
func (r *random) zip() string                 { return r.number(4) + "11111" }

// data is a text that says "ORIGINAL" somewhere in a tenth of all cases.
func (r *random) data() string {
	s := r.text(26, 50)
	if r.IntN(10) != 0 {
		return s
	}
	at := r.IntN(len(s) - 8)
	return s[:at] + "ORIGINAL" + s[at+8:]
}

// tax is a rate from 0 to 0.2000, discount one from 0 to 0.5000.
func (r *random) tax() string      { return fmt.Sprintf("0.%04d", r.between(0, 2000)) }
func (r *random) discount() string { return fmt.Sprintf("0.%04d", r.between(0, 5000)) }

// cents is an amount of money. It is written and read as a decimal number with two digits, never as a float.
type cents int64

func (c cents) String() string {
	sign := ""
	if c < 0 {
		sign, c = "-", -c
	}
	return fmt.Sprintf("%s%d.%02d", sign, c/100, c%100)
}

// parseCents reads what a DECIMAL column with two digits holds.
func parseCents(s string) (cents, error) {
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	var n, f int64
	if _, err := fmt.Sscanf(whole, "%d", &n); err != nil || len(fraction) > 2 {
		return 0, fmt.Errorf("read the amount %q: want a number with at most two decimals", s)
	}
	for i := range 2 {
		f *= 10
		if i < len(fraction) {
			f += int64(fraction[i] - '0')
		}
	}
	c := cents(n*100 + f)
	if strings.HasPrefix(s, "-") {
		c = -c
	}
	return c, nil
}
