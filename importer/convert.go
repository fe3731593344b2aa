package importer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// item is what a row becomes.
type item struct {
	line      int
	accounts  []*ledgerv1.Account
	transfers []*ledgerv1.Transfer
}

// converter turns rows into items.
type converter struct {
	m     *Mapping
	names []string // of accounts, in a fixed order
}

func newConverter(m *Mapping) *converter {
	return &converter{m, slices.Sorted(maps.Keys(m.Accounts))}
}

func (c *converter) convert(r *row) (*item, error) {
	x := &item{line: r.line}
	ids := map[string]*ledgerv1.Account{}
	for _, name := range c.names {
		a, err := c.account(r, c.m.Accounts[name])
		if err != nil {
			return nil, fmt.Errorf("accounts.%s.%w", name, err)
		}
		ids[name] = a
		x.accounts = append(x.accounts, a)
	}
	for i := range c.m.Transfers {
		t, err := c.transfer(r, &c.m.Transfers[i], ids)
		if err != nil {
			return nil, fmt.Errorf("transfers[%d].%w", i, err)
		}
		if i+1 < len(c.m.Transfers) {
			t.Flags = append(t.Flags, ledgerv1.TransferFlag_TRANSFER_FLAG_LINKED)
		}
		x.transfers = append(x.transfers, t)
	}
	return x, nil
}

func (c *converter) account(r *row, m AccountMapping) (*ledgerv1.Account, error) {
	a := &ledgerv1.Account{}
	err := fill([]target{
		{"id", func() (err error) { a.Id, err = derive(r, m.ID); return err }},
		{"asset", func() (err error) { a.Asset, err = c.asset(r, m.Asset); return err }},
		{"code", func() (err error) { a.Code, err = c.number32(r, m.Code, math.MaxUint16); return err }},
		{"user_data_128", func() (err error) { a.UserData_128, err = optional(r, m.UserData128); return err }},
		{"user_data_64", func() (err error) { a.UserData_64, err = c.number(r, m.UserData64, math.MaxUint64); return err }},
		{"user_data_32", func() (err error) { a.UserData_32, err = c.number32(r, m.UserData32, math.MaxUint32); return err }},
	})
	for _, f := range m.Flags {
		a.Flags = append(a.Flags, ledgerv1.AccountFlag(ledgerv1.AccountFlag_value["ACCOUNT_FLAG_"+strings.ToUpper(f)]))
	}
	return a, err
}

func (c *converter) transfer(r *row, m *TransferMapping, ids map[string]*ledgerv1.Account) (*ledgerv1.Transfer, error) {
	t := &ledgerv1.Transfer{DebitAccountId: ids[m.Debit].GetId(), CreditAccountId: ids[m.Credit].GetId()}
	err := fill([]target{
		{"id", func() (err error) { t.Id, err = derive(r, m.ID); return err }},
		{"asset", func() (err error) { t.Asset, err = c.asset(r, m.Asset); return err }},
		{"amount", func() error {
			amount, err := minorUnits(r, m.Amount, t.GetAsset())
			t.Amount = &amount
			return err
		}},
		{"code", func() (err error) { t.Code, err = c.number32(r, m.Code, math.MaxUint16); return err }},
		{"user_data_128", func() (err error) { t.UserData_128, err = optional(r, m.UserData128); return err }},
		{"user_data_64", func() (err error) { t.UserData_64, err = c.number(r, m.UserData64, math.MaxUint64); return err }},
		{"user_data_32", func() (err error) { t.UserData_32, err = c.number32(r, m.UserData32, math.MaxUint32); return err }},
	})
	for _, f := range m.Flags {
		t.Flags = append(t.Flags, ledgerv1.TransferFlag(ledgerv1.TransferFlag_value["TRANSFER_FLAG_"+strings.ToUpper(f)]))
	}
	return t, err
}

type target struct {
	field string
	set   func() error
}

func fill(targets []target) error {
	for _, t := range targets {
		if err := t.set(); err != nil {
			return fmt.Errorf("%s: %w", t.field, err)
		}
	}
	return nil
}

// text is a value of a mapping for a row.
func text(r *row, value string) (string, error) {
	if column, ok := strings.CutPrefix(value, "$"); ok {
		return r.get(column)
	}
	return value, nil
}

func derive(r *row, id ID) (string, error) {
	sum := sha256.New()
	for _, part := range id.parts {
		v, err := text(r, part)
		if err != nil {
			return "", err
		}
		if v == "" {
			return "", fmt.Errorf("%s is blank", part)
		}
		if !id.derived {
			n, err := money.Parse(v)
			return n.String(), err
		}
		sum.Write(binary.BigEndian.AppendUint32(nil, uint32(len(v)))) //nolint:gosec // ≤ maxRow
		sum.Write([]byte(v))
	}
	return money.BE(sum.Sum(nil)).String(), nil
}

// optional is derive for what may be left out, or blank.
func optional(r *row, id ID) (string, error) {
	if len(id.parts) == 0 {
		return "", nil
	}
	if !id.derived {
		if v, err := text(r, id.parts[0]); err != nil || v == "" {
			return "", err
		}
	}
	return derive(r, id)
}

func (c *converter) asset(r *row, value string) (string, error) {
	if value == "" {
		value = c.m.Asset
	}
	v, err := text(r, value)
	if err != nil {
		return "", err
	}
	a, err := money.ResolveAsset(v)
	return a.String(), err
}

// number reads a number up to largest. Left out or blank, it is zero, unless a table says another.
func (c *converter) number(r *row, n Number, largest uint64) (uint64, error) {
	v, err := text(r, n.Value)
	if err != nil {
		return 0, err
	}
	var number uint64
	switch {
	case n.Table != "":
		var ok bool
		if number, ok = c.m.Tables[n.Table][v]; !ok {
			return 0, fmt.Errorf("table %s has no %q", n.Table, v)
		}
	case v == "":
	default:
		if number, err = strconv.ParseUint(v, 10, 64); err != nil {
			return 0, fmt.Errorf("%q is no whole number from 0 to %d", v, largest)
		}
	}
	if number > largest {
		return 0, fmt.Errorf("%d is larger than %d", number, largest)
	}
	return number, nil
}

func (c *converter) number32(r *row, n Number, largest uint32) (uint32, error) {
	v, err := c.number(r, n, uint64(largest))
	return uint32(v), err //nolint:gosec // ≤ largest
}

// minorUnits reads a decimal number of the asset's major unit, exactly.
func minorUnits(r *row, value, asset string) (string, error) {
	v, err := text(r, value)
	if err != nil {
		return "", err
	}
	if v == "" {
		return "", errors.New("is blank")
	}
	a, err := money.ParseAsset(asset)
	if err != nil {
		return "", err
	}
	amount, err := a.ParseAmount(v)
	return amount.String(), err
}
