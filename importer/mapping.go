// Package importer turns rows of a file (CSV or JSON lines) into accounts and transfers, as a mapping says, and sends
// them through the public API. Ids are derived from the rows, so an import that is repeated changes nothing. It never
// guesses: a row that the mapping does not cover is reported with its place, and by default nothing is sent before
// every row was understood.
//
// Start reading at Mapping, then Run.
package importer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// ErrMapping is a mapping that can't be used; the text says which key, and what it wants.
var ErrMapping = errors.New("mapping")

// Mapping says what a row becomes. In its values, "$name" stands for a column of the row; any other text stands for
// itself. Values are trimmed of spaces at both ends.
type Mapping struct {
	// Delimiter between the fields of a CSV file, one character; "," if empty.
	Delimiter string `yaml:"delimiter"`
	// Columns names the columns of a CSV file that has no header line.
	Columns []string `yaml:"columns"`
	// Asset of accounts and transfers that don't say another: CODE/SCALE, or an ISO 4217 code alone.
	Asset string `yaml:"asset"`
	// Tables give texts their numbers: table → text → number. The text "" is that of blank values.
	Tables map[string]map[string]uint64 `yaml:"tables"`
	// Accounts that a row opens, by a name for use in Transfers.
	Accounts map[string]AccountMapping `yaml:"accounts"`
	// Transfers that a row makes. More than one succeed or fail together.
	Transfers []TransferMapping `yaml:"transfers"`
}

// AccountMapping says how a row names an account.
type AccountMapping struct {
	ID          ID       `yaml:"id"`
	Asset       string   `yaml:"asset"`
	Code        Number   `yaml:"code"`
	UserData128 ID       `yaml:"user_data_128"`
	UserData64  Number   `yaml:"user_data_64"`
	UserData32  Number   `yaml:"user_data_32"`
	Flags       []string `yaml:"flags"` // as in ACCOUNT_FLAG_…, in small letters
}

// TransferMapping says what a row moves.
type TransferMapping struct {
	ID          ID       `yaml:"id"`
	Debit       string   `yaml:"debit"`  // a name from Accounts
	Credit      string   `yaml:"credit"` // a name from Accounts
	Amount      string   `yaml:"amount"` // decimal, in the asset's major unit
	Asset       string   `yaml:"asset"`
	Code        Number   `yaml:"code"`
	UserData128 ID       `yaml:"user_data_128"`
	UserData64  Number   `yaml:"user_data_64"`
	UserData32  Number   `yaml:"user_data_32"`
	Flags       []string `yaml:"flags"` // as in TRANSFER_FLAG_…, in small letters
}

// ID is a 128-bit number. Written as one text, it is that decimal number; as a list, it is derived from the texts:
// the first 16 bytes, big-endian, of SHA-256 over each text with its length (32 bits, big-endian) before it.
type ID struct {
	parts   []string
	derived bool
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *ID) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		d.derived = true
		if err := n.Decode(&d.parts); err != nil || len(d.parts) == 0 {
			return fmt.Errorf("line %d: an id is a list of texts such as [order, $order_id], or one decimal number", n.Line)
		}
		return nil
	}
	var text string
	if err := n.Decode(&text); err != nil {
		return fmt.Errorf("line %d: an id is a list of texts such as [order, $order_id], or one decimal number", n.Line)
	}
	d.parts = []string{text}
	return nil
}

// Number is a number, or a text that a table gives one.
type Number struct {
	Value string `yaml:"value"`
	Table string `yaml:"table"`
}

// UnmarshalYAML implements yaml.Unmarshaler: one text, or a value with a table.
func (v *Number) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return n.Decode(&v.Value)
	}
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			if key := n.Content[i].Value; key != "value" && key != "table" {
				return fmt.Errorf("line %d: field %s not found: want value and table", n.Content[i].Line, key)
			}
		}
	}
	type plain Number
	return n.Decode((*plain)(v))
}

// LoadMapping reads a mapping from a YAML file. Unknown keys are errors.
func LoadMapping(path string) (*Mapping, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	m, err := ParseMapping(b)
	if err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, path)
	}
	return m, nil
}

// ParseMapping is LoadMapping for the file's content.
func ParseMapping(b []byte) (*Mapping, error) {
	m := &Mapping{}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMapping, err)
	}
	return m, nil
}

// check finds what no row could be read with.
func (m *Mapping) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if m.Delimiter != "" && (utf8.RuneCountInString(m.Delimiter) != 1 || strings.ContainsAny(m.Delimiter, "\"\r\n")) {
		fault("delimiter: want one character, not %q", m.Delimiter)
	}
	if len(m.Accounts) == 0 && len(m.Transfers) == 0 {
		fault("accounts, transfers: want at least one")
	}
	if m.Asset != "" && m.assetFault(m.Asset) != nil {
		fault("asset: %w", m.assetFault(m.Asset))
	}
	for name, a := range m.Accounts {
		path := "accounts." + name
		m.checkCommon(path, a.ID, a.Asset, []Number{a.Code, a.UserData64, a.UserData32}, fault)
		for _, f := range a.Flags {
			if ledgerv1.AccountFlag_value["ACCOUNT_FLAG_"+strings.ToUpper(f)] == 0 {
				fault("%s.flags: %q is unknown", path, f)
			}
		}
	}
	for i, t := range m.Transfers {
		path := fmt.Sprintf("transfers[%d]", i)
		m.checkCommon(path, t.ID, t.Asset, []Number{t.Code, t.UserData64, t.UserData32}, fault)
		for side, name := range map[string]string{"debit": t.Debit, "credit": t.Credit} {
			if _, ok := m.Accounts[name]; !ok {
				fault("%s.%s: accounts has no %q", path, side, name)
			}
		}
		if t.Amount == "" {
			fault("%s.amount is missing", path)
		}
		for _, f := range t.Flags {
			if ledgerv1.TransferFlag_value["TRANSFER_FLAG_"+strings.ToUpper(f)] == 0 || f == "linked" {
				fault("%s.flags: %q is unknown, or set by the importer", path, f)
			}
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}

func (m *Mapping) checkCommon(path string, id ID, asset string, numbers []Number, fault func(string, ...any)) {
	if len(id.parts) == 0 {
		fault("%s.id is missing", path)
	}
	if id.derived && !slices.ContainsFunc(id.parts, func(p string) bool { return strings.HasPrefix(p, "$") }) {
		fault("%s.id has no column: every row would have the same", path)
	}
	if asset == "" {
		asset = m.Asset
	}
	if err := m.assetFault(asset); err != nil {
		fault("%s.asset: %w", path, err)
	}
	for _, n := range numbers {
		if _, ok := m.Tables[n.Table]; n.Table != "" && !ok {
			fault("%s: tables has no %q", path, n.Table)
		}
	}
}

func (m *Mapping) assetFault(asset string) error {
	if strings.HasPrefix(asset, "$") {
		return nil
	}
	_, err := money.ResolveAsset(asset)
	return err
}
