package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

// theStatement is that of docs/formats.md, with the rows that it needs to balance.
const theStatement = `sterling trial balance 1
cell 1
block 14
hash 88a10d231a77ab9614e717aa0712bf949fbe9427ab5d29364f2c945e1643f439
close 1
through 2026-11-21
actor 08a1a8892cbce4fb6a1133e4f7522f55
timestamp 1795338788061932190
row CNY/2 1001 opening 100 0 late 5 0 period 20000 0 closing 20100 0
row CNY/2 2001 opening 0 100 late 0 5 period 0 20000 closing 0 20100
`

func signer(seed byte) (ed25519.PrivateKey, ed25519.PublicKey) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	return private, private.Public().(ed25519.PublicKey)
}

// TestSavedStatement: any bit that is turned around anywhere in the file is noticed.
func TestSavedStatement(t *testing.T) {
	t.Parallel()
	private, public := signer(1)
	file := saveStatement([]byte(theStatement), ed25519.Sign(private, []byte(theStatement)), public)
	prove := func(file []byte) error {
		text, signature, key, err := splitStatement(file)
		if err != nil {
			return err
		}
		if !public.Equal(key) {
			return errStatement
		}
		_, err = proveStatement(text, signature, key)
		return err
	}
	if err := prove(file); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for bit := range 8 {
			altered := bytes.Clone(file)
			altered[i] ^= 1 << bit
			if bytes.EqualFold(altered, file) && i > len(theStatement) {
				continue // a digit of the key or the signature in capitals is the same digit
			}
			if err := prove(altered); !errors.Is(err, errStatement) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
		if err := prove(file[:i]); !errors.Is(err, errStatement) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

// TestSignedNonsense: a signature alone does not make a statement right.
func TestSignedNonsense(t *testing.T) {
	t.Parallel()
	private, public := signer(2)
	for name, change := range map[string][2]string{
		"another version": {"balance 1\n", "balance 2\n"},
		"a sum":           {"closing 20100 0", "closing 20101 0"},
		"out of balance":  {"period 0 20000 closing 0 20100", "period 0 19999 closing 0 20099"},
		"late alone":      {"late 5 0", "late 6 0"},
		"leading zero":    {"block 14", "block 014"},
		"no day":          {"through 2026-11-21", "through 2026-11-31"},
		"two spaces":      {"late 5 0", "late  5 0"},
		"no asset":        {"row CNY/2 1001", "row CNY 1001"},
		"code":            {"CNY/2 1001", "CNY/2 70000"},
		"no end of line":  {"closing 0 20100\n", "closing 0 20100"},
	} {
		text := []byte(strings.Replace(theStatement, change[0], change[1], 1))
		if _, err := proveStatement(text, ed25519.Sign(private, text), public); !errors.Is(err, errStatement) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzStatement: what is read is written again byte for byte, and nothing panics.
func FuzzStatement(f *testing.F) {
	private, public := signer(3)
	f.Add(saveStatement([]byte(theStatement), ed25519.Sign(private, []byte(theStatement)), public))
	f.Add([]byte(theStatement))
	f.Add([]byte("key \nsignature \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if text, signature, key, err := splitStatement(data); err == nil && !bytes.EqualFold(saveStatement(text, signature, key), data) {
			t.Errorf("split and saved again, %q became something else", data)
		}
		st, err := parseStatement(data)
		if err != nil {
			return
		}
		if !bytes.Equal(st.bytes(), data) {
			t.Errorf("%q was read as %q", data, st.bytes())
		}
		_ = st.check()
	})
}

// FuzzTransactionFile: no file makes the parser panic, and what it takes has legs.
func FuzzTransactionFile(f *testing.F) {
	f.Add([]byte(transactionExample))
	f.Add([]byte("legs: [{from: 1, to: 2, amount: 5}]"))
	f.Add([]byte(`{"legs":[{"post":"7"}],"meta":{"a":1,"b":true,"c:time":"2026-01-31"}}`))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parseTransaction(data)
		if err != nil {
			return
		}
		if len(file.Legs) == 0 {
			t.Error("no legs")
		}
		_, _ = fileMeta(file.Meta)
	})
}

// FuzzMeta: what --meta takes is shown as it takes it, for texts that need no quotes.
func FuzzMeta(f *testing.F) {
	for _, text := range []string{"tier=gold", "n:int=-5", "b:bool=true", "a:amount=12", "d:data=c0ffee", "name:personal(c=1)=Wang", ":=", "x:personal(=)="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMeta([]string{text})
		if err != nil {
			return
		}
		shown := metaText(m)
		if strings.ContainsAny(shown, "\n\t") && !strings.ContainsAny(text, "\n\t") {
			t.Errorf("%q is shown as %q", text, shown)
		}
	})
}
