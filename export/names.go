package export

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// ErrNames is a map of account names that can't be used; the text says which key, and what it wants.
var ErrNames = errors.New("map of account names")

// roots are the names that an account of both tools may begin with. Beancount accepts no others.
var roots = map[string]bool{"Assets": true, "Liabilities": true, "Equity": true, "Income": true, "Expenses": true}

// Names says under which name of a plain-text journal an account goes, by its code.
type Names struct {
	ranges   []nameRange
	fallback string // "" for the usual chart
}

type nameRange struct {
	first, last uint32
	prefix      string
}

// DefaultNames follow the usual chart of accounts by the first digit of codes from 1000 on: 1 assets, 2 liabilities,
// 3 equity, 4 income, 5 to 9 expenses. Smaller codes say nothing; they are assets.
func DefaultNames() *Names { return &Names{} }

// LoadNames reads names from a YAML file. Unknown keys are errors.
//
//	default: Assets            # codes that no line below has; without it, see DefaultNames
//	codes:
//	  1: Liabilities:Customers
//	  1000-1999: Assets:Banks
func LoadNames(path string) (*Names, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNames, err)
	}
	n, err := ParseNames(b)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return n, nil
}

// ParseNames is LoadNames for the file's content.
func ParseNames(b []byte) (*Names, error) {
	var file struct {
		Default string            `yaml:"default"`
		Codes   map[string]string `yaml:"codes"`
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNames, err)
	}
	n := &Names{fallback: file.Default}
	if n.fallback != "" {
		if err := checkPrefix(n.fallback); err != nil {
			return nil, fmt.Errorf("%w: default: %w", ErrNames, err)
		}
	}
	for codes, prefix := range file.Codes {
		r, err := parseRange(codes)
		if err == nil {
			err = checkPrefix(prefix)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: codes.%s: %w", ErrNames, codes, err)
		}
		r.prefix = prefix
		for _, other := range n.ranges {
			if r.first <= other.last && other.first <= r.last {
				return nil, fmt.Errorf("%w: codes.%s overlaps %d-%d", ErrNames, codes, other.first, other.last)
			}
		}
		n.ranges = append(n.ranges, r)
	}
	return n, nil
}

func parseRange(s string) (nameRange, error) {
	first, last, isRange := strings.Cut(s, "-")
	if !isRange {
		last = first
	}
	a, err := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	if err != nil || err2 != nil || a == 0 || b < a {
		return nameRange{}, errors.New("want a code from 1 to 65,535, or a range such as 1000-1999")
	}
	return nameRange{first: uint32(a), last: uint32(b)}, nil
}

// component is a part of a name that beancount accepts after the root.
var component = regexp.MustCompile(`^[A-Z0-9][A-Za-z0-9-]*$`)

func checkPrefix(prefix string) error {
	parts := strings.Split(prefix, ":")
	if !roots[parts[0]] {
		return fmt.Errorf("%q begins with none of Assets, Liabilities, Equity, Income and Expenses", prefix)
	}
	for _, p := range parts[1:] {
		if !component.MatchString(p) || strings.HasPrefix(p, idPart) {
			return fmt.Errorf("%q: a part is a capital letter or a digit, then letters, digits and -, and not "+idPart+"…", prefix)
		}
	}
	return nil
}

// prefix of the names of accounts with a code.
func (n *Names) prefix(code uint32) string {
	for _, r := range n.ranges {
		if r.first <= code && code <= r.last {
			return r.prefix
		}
	}
	if n.fallback != "" {
		return n.fallback + ":" + strconv.Itoa(int(code))
	}
	text := strconv.Itoa(int(code))
	root := "Assets"
	if len(text) >= 4 {
		switch text[0] {
		case '1':
		case '2':
			root = "Liabilities"
		case '3':
			root = "Equity"
		case '4':
			root = "Income"
		default:
			root = "Expenses"
		}
	}
	return root + ":" + text
}

// idPart begins the last part of an account's name. No other part begins so: a name is unique, and never the parent of
// another (beancount counts the balances of children with their parent's).
const idPart = "Id-"

// account is the name of an account.
func (n *Names) account(code uint32, id string) string { return n.prefix(code) + ":" + idPart + id }

// commodities names assets: by the code alone where it is free, in the order of the catalogue. An asset keeps its name
// for ever, as the catalogue only grows.
func commodities(list []*ledgerv1.Asset) map[string]string {
	names, taken := map[string]string{}, map[string]bool{}
	for _, a := range list {
		code, scale, _ := strings.Cut(a.GetName(), "/")
		name := code
		if !commodity.MatchString(name) || reserved[name] || taken[name] {
			name = strings.TrimRight(code, "._-") + "-" + scale
		}
		for n := 2; taken[name]; n++ {
			name = strings.TrimRight(code, "._-") + "-" + scale + "-" + strconv.Itoa(n)
		}
		names[a.GetName()], taken[name] = name, true
	}
	return names
}

// commodity is what beancount accepts: 2 to 24 characters, the last one a letter or a digit.
var commodity = regexp.MustCompile(`^[A-Z][A-Z0-9._-]{0,22}[A-Z0-9]$`)

// reserved words of beancount look like commodities.
var reserved = map[string]bool{"TRUE": true, "FALSE": true, "NULL": true}
