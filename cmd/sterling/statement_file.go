package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// A saved statement is the bytes that were signed, as docs/formats.md has them ("Signed trial balance"), followed by two
// lines: "key " and "signature ", each with hexadecimal digits.

// statementHead begins every statement.
const statementHead = "sterling trial balance 1"

// statement is a signed trial balance as it was read from its bytes.
type statement struct {
	cell, block, timestamp uint64
	hash, actor            string // hexadecimal digits
	close, through         string
	rows                   []*ledgerv1.TrialRow
}

// errStatement is wrapped by every error of a statement that can't be relied on.
var errStatement = errors.New("NOT PROVEN")

// saveStatement makes the contents of a file.
func saveStatement(text, signature, key []byte) []byte {
	return fmt.Appendf(bytes.Clone(text), "key %x\nsignature %x\n", key, signature)
}

// splitStatement parts a saved statement.
func splitStatement(file []byte) (text, signature []byte, key ed25519.PublicKey, err error) {
	rest, ok := bytes.CutSuffix(file, []byte("\n"))
	if !ok {
		return nil, nil, nil, fmt.Errorf("%w: the file does not end with a line", errStatement)
	}
	line := func(name string, size int) (value []byte) {
		at := bytes.LastIndexByte(rest, '\n')
		digits, found := bytes.CutPrefix(rest[at+1:], []byte(name+" "))
		value = make([]byte, hex.DecodedLen(len(digits)))
		if _, bad := hex.Decode(value, digits); !found || bad != nil || len(value) != size || at < 0 {
			err = fmt.Errorf("%w: the file does not end with the lines key and signature", errStatement)
			return nil
		}
		rest = rest[:at]
		return value
	}
	if signature = line("signature", ed25519.SignatureSize); err != nil {
		return nil, nil, nil, err
	}
	if key = line("key", ed25519.PublicKeySize); err != nil {
		return nil, nil, nil, err
	}
	return file[:len(rest)+1], signature, key, nil
}

// proveStatement checks a statement: its signature by the key, and that its sums agree with each other.
func proveStatement(text, signature []byte, key ed25519.PublicKey) (*statement, error) {
	if !audit.Verify(key, text, signature) {
		return nil, fmt.Errorf("%w: the signature is not of these bytes by this key: the statement was changed, or another ledger made it", errStatement)
	}
	st, err := parseStatement(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStatement, err)
	}
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errStatement, err)
	}
	return st, nil
}

// parseStatement reads a statement. Other bytes than a ledger writes are an error.
func parseStatement(text []byte) (*statement, error) {
	lines := strings.Split(string(text), "\n")
	if len(lines) < 9 || lines[0] != statementHead || lines[len(lines)-1] != "" {
		return nil, errors.New("no statement of this version")
	}
	st := &statement{}
	for i, field := range []struct {
		name   string
		number *uint64
		text   *string
	}{
		{"cell", &st.cell, nil},
		{"block", &st.block, nil},
		{"hash", nil, &st.hash},
		{"close", nil, &st.close},
		{"through", nil, &st.through},
		{"actor", nil, &st.actor},
		{"timestamp", &st.timestamp, nil},
	} {
		value, ok := strings.CutPrefix(lines[i+1], field.name+" ")
		if !ok {
			return nil, fmt.Errorf("line %d is not %q", i+2, field.name)
		}
		if field.text != nil {
			*field.text = value
			continue
		}
		var err error
		if *field.number, err = strconv.ParseUint(value, 10, 64); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
	}
	for i, line := range lines[8 : len(lines)-1] {
		row, err := parseTrialRow(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+9, err)
		}
		st.rows = append(st.rows, row)
	}
	if _, err := journal.ParseDate(st.through); err != nil {
		return nil, err
	}
	if string(st.bytes()) != string(text) {
		return nil, errors.New("it is not written as a ledger writes it")
	}
	return st, nil
}

func parseTrialRow(line string) (*ledgerv1.TrialRow, error) {
	words := strings.Split(line, " ")
	if len(words) != 15 || words[0] != "row" || words[3] != "opening" || words[6] != "late" || words[9] != "period" || words[12] != "closing" {
		return nil, errors.New("no row of a trial balance")
	}
	code, err := strconv.ParseUint(words[2], 10, 16)
	if err != nil {
		return nil, fmt.Errorf("code: %w", err)
	}
	if _, err := money.ParseAsset(words[1]); err != nil {
		return nil, err
	}
	r := &ledgerv1.TrialRow{Asset: words[1], Code: uint32(code)}
	for _, sum := range []struct {
		at  int
		dst *string
	}{
		{4, &r.OpeningDebits},
		{5, &r.OpeningCredits},
		{7, &r.LateDebits},
		{8, &r.LateCredits},
		{10, &r.Debits},
		{11, &r.Credits},
		{13, &r.ClosingDebits},
		{14, &r.ClosingCredits},
	} {
		if *sum.dst = words[sum.at]; !isSum(words[sum.at]) {
			return nil, fmt.Errorf("%.60q is no sum", words[sum.at])
		}
	}
	return r, nil
}

// isSum tells whether a text is a sum as a ledger writes it: up to 192 bits, without leading zeros.
func isSum(text string) bool {
	const digits192 = 58
	if text == "" || len(text) > digits192 || len(text) > 1 && text[0] == '0' {
		return false
	}
	return strings.Trim(text, "0123456789") == ""
}

// bytes writes the statement as a ledger does.
func (st *statement) bytes() []byte {
	b := fmt.Appendf(nil, "%s\ncell %d\nblock %d\nhash %s\nclose %s\nthrough %s\nactor %s\ntimestamp %d\n",
		statementHead, st.cell, st.block, st.hash, st.close, st.through, st.actor, st.timestamp)
	for _, r := range st.rows {
		b = fmt.Appendf(b, "row %s %d opening %s %s late %s %s period %s %s closing %s %s\n", r.GetAsset(), r.GetCode(),
			r.GetOpeningDebits(), r.GetOpeningCredits(), r.GetLateDebits(), r.GetLateCredits(),
			r.GetDebits(), r.GetCredits(), r.GetClosingDebits(), r.GetClosingCredits())
	}
	return b
}

// check adds up: each row's opening and period make its closing, and each asset's debits are its credits.
func (st *statement) check() error {
	for _, r := range st.rows {
		for _, side := range [][3]string{
			{r.GetOpeningDebits(), r.GetDebits(), r.GetClosingDebits()},
			{r.GetOpeningCredits(), r.GetCredits(), r.GetClosingCredits()},
		} {
			if sum := new(big.Int).Add(bigSum(side[0]), bigSum(side[1])); sum.Cmp(bigSum(side[2])) != 0 {
				return fmt.Errorf("%s, code %d: %s and %s don't make %s", r.GetAsset(), r.GetCode(), side[0], side[1], side[2])
			}
		}
	}
	for _, t := range totals(st.rows) {
		for _, pair := range [][2]string{
			{t.GetOpeningDebits(), t.GetOpeningCredits()},
			{t.GetLateDebits(), t.GetLateCredits()},
			{t.GetDebits(), t.GetCredits()},
			{t.GetClosingDebits(), t.GetClosingCredits()},
		} {
			if pair[0] != pair[1] {
				return fmt.Errorf("%s does not balance: debits %s, credits %s", t.GetAsset(), pair[0], pair[1])
			}
		}
	}
	return nil
}

// totals adds the rows of each asset up, in the order in which the assets come; their code is 0.
func totals(rows []*ledgerv1.TrialRow) (list []*ledgerv1.TrialRow) {
	at := map[string]*ledgerv1.TrialRow{}
	for _, r := range rows {
		t, ok := at[r.GetAsset()]
		if !ok {
			t = &ledgerv1.TrialRow{Asset: r.GetAsset()}
			at[r.GetAsset()] = t
			list = append(list, t)
		}
		for _, pair := range []struct {
			sum *string
			add string
		}{
			{&t.OpeningDebits, r.GetOpeningDebits()},
			{&t.OpeningCredits, r.GetOpeningCredits()},
			{&t.LateDebits, r.GetLateDebits()},
			{&t.LateCredits, r.GetLateCredits()},
			{&t.Debits, r.GetDebits()},
			{&t.Credits, r.GetCredits()},
			{&t.ClosingDebits, r.GetClosingDebits()},
			{&t.ClosingCredits, r.GetClosingCredits()},
		} {
			*pair.sum = new(big.Int).Add(bigSum(*pair.sum), bigSum(pair.add)).String()
		}
	}
	return list
}

// bigSum reads digits; "" is zero.
func bigSum(digits string) *big.Int {
	v, _ := new(big.Int).SetString(digits, 10)
	if v == nil {
		return new(big.Int)
	}
	return v
}

const trialHead = "ASSET CODE OPENING-DEBITS OPENING-CREDITS LATE-DEBITS LATE-CREDITS DEBITS CREDITS CLOSING-DEBITS CLOSING-CREDITS"

// trialRows makes rows of a table, with the totals of each asset at the end.
func trialRows(rows []*ledgerv1.TrialRow) (list [][]string) {
	line := func(r *ledgerv1.TrialRow, code string) []string {
		in := func(digits string) string { return decimalSum(digits, r.GetAsset()) }
		return []string{
			r.GetAsset(), code, in(r.GetOpeningDebits()), in(r.GetOpeningCredits()), in(r.GetLateDebits()), in(r.GetLateCredits()),
			in(r.GetDebits()), in(r.GetCredits()), in(r.GetClosingDebits()), in(r.GetClosingCredits()),
		}
	}
	for _, r := range rows {
		list = append(list, line(r, strconv.Itoa(int(r.GetCode()))))
	}
	for _, t := range totals(rows) {
		list = append(list, line(t, "all"))
	}
	return list
}

// decimalSum is decimal for sums of any size.
func decimalSum(digits, asset string) string {
	a, err := money.ParseAsset(asset)
	if err != nil {
		return digits
	}
	return a.FormatDigits(digits)
}
