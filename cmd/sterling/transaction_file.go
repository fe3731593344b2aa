package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// maxInput bounds a file that is read whole, in bytes.
const maxInput = 16 << 20

// readInput reads a file, or standard input for "-".
func readInput(c *cobra.Command, path string) (data []byte, err error) {
	in := c.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, usage("%w", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		in = file
	}
	data, err = io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, usage("read %s: %w", path, err)
	}
	if len(data) > maxInput {
		return nil, usage("%s has more than %d MB", path, maxInput>>20)
	}
	return data, nil
}

// transactionFile is a transaction as a person writes it, in YAML or JSON.
type transactionFile struct {
	ID          string               `yaml:"id"`
	Code        uint16               `yaml:"code"`
	Asset       string               `yaml:"asset"`
	ControlSum  string               `yaml:"control_sum"`
	BookingDate string               `yaml:"booking_date"`
	AllowCycles bool                 `yaml:"allow_cycles"`
	UserData128 string               `yaml:"user_data_128"`
	UserData64  uint64               `yaml:"user_data_64"`
	UserData32  uint32               `yaml:"user_data_32"`
	Meta        map[string]yaml.Node `yaml:"meta"`
	Legs        []legFile            `yaml:"legs"`
}

// legFile is a leg: it moves money, reserves it, or posts or voids what was reserved.
type legFile struct {
	From          string               `yaml:"from"`
	To            string               `yaml:"to"`
	Amount        string               `yaml:"amount"`
	Asset         string               `yaml:"asset"`
	Code          uint16               `yaml:"code"`
	Pending       bool                 `yaml:"pending"`
	Timeout       string               `yaml:"timeout"`
	Post          string               `yaml:"post"`
	KeepRemainder bool                 `yaml:"keep_remainder"`
	Void          string               `yaml:"void"`
	Flags         []string             `yaml:"flags"`
	BookingDate   string               `yaml:"booking_date"`
	UserData128   string               `yaml:"user_data_128"`
	UserData64    uint64               `yaml:"user_data_64"`
	UserData32    uint32               `yaml:"user_data_32"`
	Meta          map[string]yaml.Node `yaml:"meta"`
}

// parseTransaction reads a file. What it does not know is an error.
func parseTransaction(data []byte) (*transactionFile, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	var f transactionFile
	if err := d.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, plainYAML(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it has more than one document: one transaction a file")
	}
	if len(f.Legs) == 0 {
		return nil, errors.New("it has no legs")
	}
	return &f, nil
}

// plainYAML writes an error of YAML on one line, without the names of our types.
func plainYAML(err error) error {
	var list *yaml.TypeError
	if !errors.As(err, &list) {
		return err
	}
	var lines []string
	for _, line := range list.Errors {
		line, _, _ = strings.Cut(line, " in type ")
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "; "))
}

// fileMeta reads metadata of a file. Keys may have types, as with --meta; without one the value's own type counts.
func fileMeta(nodes map[string]yaml.Node) (map[string]*ledgerv1.MetadataValue, error) {
	if len(nodes) == 0 {
		return nil, nil
	}
	m := make(map[string]*ledgerv1.MetadataValue, len(nodes))
	for name, node := range nodes {
		if node.Kind != yaml.ScalarNode {
			return nil, fmt.Errorf("metadata %s is no single value", name)
		}
		if !strings.Contains(name, ":") {
			switch node.ShortTag() {
			case "!!int":
				name += ":int"
			case "!!bool":
				name += ":bool"
			case "!!float", "!!null":
				return nil, fmt.Errorf("metadata %s: put %q in quotes to keep it as a text", name, node.Value)
			}
		}
		key, v, err := metaEntry(name, node.Value)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			return nil, fmt.Errorf("metadata %s is given twice", key)
		}
		m[key] = v
	}
	return m, nil
}

// transactionRequest makes the call of a file. Its accounts are ids, its amounts minor units.
func (s *session) transactionRequest(ctx context.Context, name string, f *transactionFile) (*ledgerv1.CreateTransactionRequest, error) {
	r := &ledgerv1.CreateTransactionRequest{
		Code: uint32(f.Code), UserData_128: f.UserData128, UserData_64: f.UserData64, UserData_32: f.UserData32,
		BookingDate: f.BookingDate, AllowCycles: f.AllowCycles,
	}
	var err error
	if r.Metadata, err = fileMeta(f.Meta); err != nil {
		return nil, usage("%s: %w", name, err)
	}
	for i := range f.Legs {
		leg, err := s.leg(ctx, f, &f.Legs[i])
		if err != nil {
			return nil, usage("%s: legs[%d]: %w", name, i, err)
		}
		r.Legs = append(r.Legs, leg)
	}
	if r.ControlSum, err = s.controlSum(ctx, f, r.GetLegs()); err != nil {
		return nil, err
	}
	if err := s.settleAccounts(ctx, r.GetLegs()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, s.explain(err))
	}
	return r, nil
}

// leg makes one leg; its accounts are not looked up yet.
func (s *session) leg(ctx context.Context, f *transactionFile, l *legFile) (*ledgerv1.Transfer, error) {
	t := &ledgerv1.Transfer{
		DebitAccountId: l.From, CreditAccountId: l.To, Code: uint32(l.Code), BookingDate: l.BookingDate,
		UserData_128: l.UserData128, UserData_64: l.UserData64, UserData_32: l.UserData32,
	}
	settles, err := l.kind(t)
	if err != nil {
		return nil, err
	}
	if !settles && (l.From == "" || l.To == "" || l.Amount == "") {
		return nil, errors.New("want from, to and amount (or post or void, with a pending id)")
	}
	for _, side := range []string{l.From, l.To} {
		if side != "" {
			if err := checkAccount("account", side); err != nil {
				return nil, err
			}
		}
	}
	asset := l.Asset
	if !settles {
		if t.Code == 0 {
			t.Code = uint32(f.Code)
		}
		if asset == "" {
			asset = f.Asset
		}
	}
	if t.Asset, err = assetName("asset", asset); err != nil {
		return nil, err
	}
	if l.Amount != "" {
		var amount string
		if amount, t.Asset, err = s.parseAmount(ctx, "amount", l.Amount, asset); err != nil {
			return nil, err
		}
		t.Amount = &amount
	}
	if t.GetAsset() == "" && !settles {
		return nil, fmt.Errorf(`amount %s: say of what, such as "12.34 CNY", or with asset: CNY for minor units`, l.Amount)
	}
	t.Metadata, err = fileMeta(l.Meta)
	return t, err
}

// kind sets flags, timeout and pending id; settles tells whether the leg posts or voids.
func (l *legFile) kind(t *ledgerv1.Transfer) (settles bool, err error) {
	given := 0
	if l.Pending {
		given++
		t.Flags = append(t.Flags, ledgerv1.TransferFlag_TRANSFER_FLAG_PENDING)
	}
	for _, one := range []struct {
		id   string
		flag ledgerv1.TransferFlag
	}{{l.Post, ledgerv1.TransferFlag_TRANSFER_FLAG_POST_PENDING_TRANSFER}, {l.Void, ledgerv1.TransferFlag_TRANSFER_FLAG_VOID_PENDING_TRANSFER}} {
		if one.id == "" {
			continue
		}
		given++
		settles = true
		t.Flags = append(t.Flags, one.flag)
		if t.PendingId, err = parseID("pending id", one.id); err != nil {
			return false, err
		}
	}
	if given > 1 {
		return false, errors.New("want at most one of pending, post and void")
	}
	if l.KeepRemainder {
		t.Flags = append(t.Flags, ledgerv1.TransferFlag_TRANSFER_FLAG_KEEP_REMAINDER)
	}
	if l.Timeout != "" {
		d, err := time.ParseDuration(l.Timeout)
		if err != nil || d < 0 || d%time.Second != 0 || d/time.Second > math.MaxUint32 {
			return false, fmt.Errorf("timeout %q: want whole seconds, such as 10m", l.Timeout)
		}
		t.Timeout = uint32(d / time.Second)
	}
	for _, name := range l.Flags {
		v, err := enumValue(ledgerv1.TransferFlag_value, "TRANSFER_FLAG_", name, "flag")
		if err != nil {
			return false, err
		}
		t.Flags = append(t.Flags, ledgerv1.TransferFlag(v))
	}
	return settles, nil
}

// controlSum reads the sum that the legs must have. One with an asset is of legs of that asset only.
func (s *session) controlSum(ctx context.Context, f *transactionFile, legs []*ledgerv1.Transfer) (string, error) {
	if f.ControlSum == "" {
		return "", nil
	}
	amount, asset, err := s.parseAmount(ctx, "control-sum", f.ControlSum, f.Asset)
	if err != nil {
		return "", err
	}
	other := slices.IndexFunc(legs, func(t *ledgerv1.Transfer) bool { return asset != "" && t.GetAsset() != "" && t.GetAsset() != asset })
	if other >= 0 {
		return "", usage("the control sum is in %s, legs[%d] in %s: with several assets, write the sum of all minor units as a number", asset, other, legs[other].GetAsset())
	}
	return amount, nil
}
