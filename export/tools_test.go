package export_test

import (
	"context"
	"encoding/csv"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/export"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// need skips a test whose tool is not on this machine.
func need(t *testing.T, command, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(command); err != nil {
		t.Skipf("%s is not on this machine: apt-get install %s (tools/setup.sh test does it)", command, debianPackage)
	}
}

// tool runs a command and returns its standard output.
func tool(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), append(env, "LC_ALL=C.UTF-8", "BEANCOUNT_DISABLE_LOAD_CACHE=1")...)
	var out, complaints strings.Builder
	c.Stdout, c.Stderr = &out, &complaints
	err := c.Run()
	if err == nil && complaints.Len() > 0 {
		err = fmt.Errorf("%s complains", name)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s%.2000s", err, out.String(), complaints.String())
	}
	return out.String(), err
}

// journalOf exports a journal into a file.
func journalOf(t *testing.T, c export.Ledger, o export.Options) (string, export.Summary) {
	t.Helper()
	o.What, o.Now = export.Journal, uint64(time.Now().UnixNano())
	var b strings.Builder
	s, err := export.Run(t.Context(), c, &b, o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "books."+string(o.Format))
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, s
}

// balance is what a tool says of an account, or the ledger.
type balance struct{ amount, commodity string }

func (b balance) same(other balance) bool {
	x, ok := new(big.Rat).SetString(b.amount)
	y, ok2 := new(big.Rat).SetString(other.amount)
	return ok && ok2 && x.Cmp(y) == 0 && (b.commodity == other.commodity || x.Sign() == 0)
}

// agree compares a tool's balances with the ledger's, account by account; what the tool leaves out is zero.
func agree(t *testing.T, said map[string]balance, accounts []*ledgerv1.Account, name func(*ledgerv1.Account) (string, string)) {
	t.Helper()
	seen := 0
	for _, a := range accounts {
		account, commodity := name(a)
		want := balance{net(t, a), commodity}
		got, ok := said[account]
		if ok {
			seen++
		} else {
			got = balance{"0", commodity}
		}
		if !got.same(want) {
			t.Errorf("%s: the tool says %v, the ledger %v", account, got, want)
		}
	}
	if seen != len(said) || seen == 0 {
		t.Errorf("the tool knows %d accounts, %d of them are the ledger's", len(said), seen)
	}
}

// wholeWorld has an asset of every scale, two assets of one code, and codes that the tools would not take.
func wholeWorld(t *testing.T, digits int) *world {
	t.Helper()
	w := newWorld(t, 7)
	for scale := range 19 {
		w.live(fmt.Sprintf("S%c/%d", 'A'+scale, scale), digits)
	}
	for _, asset := range []string{"CNY/2", "CNY/4", "TRUE/2", "X/3", "E.1-_/18"} {
		w.live(asset, digits)
	}
	w.settle()
	return w
}

// named is how the default names an account of wholeWorld, and its commodity.
func named(a *ledgerv1.Account) (string, string) {
	root := map[uint32]string{1: "Assets", 999: "Assets", 1001: "Assets", 2001: "Liabilities", 3001: "Equity", 4001: "Income", 5001: "Expenses", 60001: "Expenses"}[a.GetCode()]
	commodity, ok := map[string]string{"CNY/4": "CNY-4", "TRUE/2": "TRUE-2", "X/3": "X-3", "E.1-_/18": "E.1-18"}[a.GetAsset()]
	if !ok {
		commodity, _, _ = strings.Cut(a.GetAsset(), "/")
	}
	return fmt.Sprintf("%s:%d:Id-%s", root, a.GetCode(), a.GetId()), commodity
}

// ofHledger are the balances that hledger counts.
func ofHledger(t *testing.T, path string) map[string]balance {
	t.Helper()
	if _, err := tool(t, nil, "hledger", "-f", path, "check", "--strict"); err != nil {
		t.Fatal(err)
	}
	out, err := tool(t, nil, "hledger", "-f", path, "balance", "--flat", "--no-total", "--empty", "--layout", "bare", "--output-format", "csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]balance{}
	for _, r := range rows[1:] {
		if _, twice := said[r[0]]; twice {
			t.Errorf("%s has more than one commodity", r[0])
		}
		said[r[0]] = balance{r[2], r[1]}
	}
	return said
}

// ofBeancount are the balances that beancount counts. The sums are fetched as texts, because bean-query 2.3 can't print
// numbers of a thousand million and more in columns.
func ofBeancount(t *testing.T, path string, env ...string) map[string]balance {
	t.Helper()
	if _, err := tool(t, env, "bean-check", path); err != nil {
		t.Fatal(err)
	}
	out, err := tool(t, env, "bean-query", "-f", "csv", path, "SELECT account, currency, str(sum(number)) GROUP BY account, currency")
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]balance{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
		f := strings.Split(line, ",")
		if len(f) != 3 {
			t.Fatalf("bean-query answers\n%s", out)
		}
		account, number := strings.TrimSpace(f[0]), strings.TrimSpace(f[2])
		if _, twice := said[account]; twice {
			t.Errorf("%s has more than one commodity", account)
		}
		said[account] = balance{strings.TrimSuffix(strings.TrimPrefix(number, "Decimal('"), "')"), strings.TrimSpace(f[1])}
	}
	return said
}

func TestHledgerAgrees(t *testing.T) {
	t.Parallel()
	need(t, "hledger", "hledger")
	w := wholeWorld(t, 37)
	giant(w)
	path, s := journalOf(t, w.c, export.Options{Format: export.HLedger})
	if s.Digits != 39 {
		t.Errorf("%d digits", s.Digits)
	}
	agree(t, ofHledger(t, path), w.accounts(), namedMax)
	wrong(t, path, " = -", " = -1", func(path string) error {
		_, err := tool(t, nil, "hledger", "-f", path, "check")
		return err
	})
}

// giant moves the largest amount there is.
func giant(w *world) {
	for _, asset := range []string{"MAX/0", "MAX/18"} {
		ids := w.open(asset, 1, 2001)
		w.send(w.move(ids[0], ids[1], asset, "340282366920938463463374607431768211455", "", 0))
	}
	ids := w.open("MAX/7", 1, 2001)
	w.send(w.move(ids[0], ids[1], "MAX/7", "340282366920938463463374607431768211454", "", 0), w.move(ids[1], ids[0], "MAX/7", "1", "", 0))
}

// namedMax is named, for giant's assets too.
func namedMax(a *ledgerv1.Account) (string, string) {
	name, commodity := named(a)
	switch a.GetAsset() {
	case "MAX/18", "MAX/7":
		commodity = "MAX-" + a.GetAsset()[4:]
	}
	return name, commodity
}

// wrong checks that a tool refuses a journal in which one balance was altered.
func wrong(t *testing.T, path, text, altered string, check func(path string) error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := strings.LastIndex(string(b), text)
	if i < 0 {
		t.Fatalf("no %q in the journal", text)
	}
	other := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(other, []byte(string(b[:i])+altered+string(b[i+len(text):])), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(other); err == nil {
		t.Errorf("the tool takes a journal in which %q is %q", text, altered)
	}
}

func TestBeancountAgrees(t *testing.T) {
	t.Parallel()
	need(t, "bean-check", "beancount")
	w := wholeWorld(t, 24)
	path, s := journalOf(t, w.c, export.Options{Format: export.Beancount})
	if s.Digits > export.BeancountDigits {
		t.Fatalf("%d digits", s.Digits)
	}
	agree(t, ofBeancount(t, path), w.accounts(), named)

	// Beyond what beancount counts with by itself, it refuses the journal, also where it rounds both sides of a sum alike.
	ids := w.open("SUM/0", 1, 1, 1)
	const nines = "9999999999999999999999999999"
	w.send(w.move(ids[1], ids[0], "SUM/0", nines, "", 0), w.move(ids[2], ids[0], "SUM/0", nines, "", 0))
	path, s = journalOf(t, w.c, export.Options{Format: export.Beancount})
	if _, err := tool(t, nil, "bean-check", path); s.Digits != 29 || err == nil || !strings.Contains(err.Error(), "does not balance") {
		t.Errorf("28 digits for %d: %v", s.Digits, err)
	}

	// Until it is told to count with more.
	giant(w)
	path, s = journalOf(t, w.c, export.Options{Format: export.Beancount})
	if s.Digits != 39 {
		t.Errorf("%d digits", s.Digits)
	}
	if _, err := tool(t, nil, "bean-check", path); err == nil || !strings.Contains(err.Error(), "does not balance") {
		t.Errorf("28 digits for 39: %v", err)
	}
	more := t.TempDir()
	if err := os.WriteFile(filepath.Join(more, "sitecustomize.py"), []byte("import decimal\ndecimal.getcontext().prec = 80\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	said := ofBeancount(t, path, "PYTHONPATH="+more)
	delete(said, "Equity:Sterling-Precision")
	agree(t, said, w.accounts(), namedMax)
	wrong(t, path, "211455 MAX\n", "211454 MAX\n", func(path string) error {
		_, err := tool(t, []string{"PYTHONPATH=" + more}, "bean-check", path)
		return err
	})
}
