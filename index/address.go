package index

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/must"
)

// address is an account's address and number.
type address struct {
	text   string
	number uint32
}

func (b *buffer) addAddress(k *journal.Block, e *ledger.AccountEffect) {
	d, err := journal.DecodeDetails(k.Attachment(int(e.Event)))
	if err != nil {
		must.True(false, "the attachment of account %d in block %d: %v", e.Number, k.Header.Seq, err)
	}
	if d.Address != "" {
		b.addresses = append(b.addresses, address{d.Address, e.Number})
	}
}

// addressKey appends the key of an address. The zero behind it keeps "a:b" before "a:b:c" and apart from "a:bc".
func addressKey(dst []byte, text string) []byte {
	return append(append(append(dst, tagAddress), text...), 0)
}

func (r *run) writeAddresses() {
	list := slices.Clone(r.b.addresses)
	slices.SortFunc(list, func(a, b address) int { return cmp.Compare(a.text, b.text) })
	var key []byte
	for _, a := range list {
		key = addressKey(key[:0], a.text)
		r.set(key, be.AppendUint32(nil, a.number))
	}
}

// addresses returns up to n addresses that begin with a prefix and come after one, ascending.
func (v *view) addresses(prefix, after string, n int) ([]address, error) {
	memory := v.addressesInMemory(prefix, after)
	tables, err := v.addressesInTables(prefix, after, n)
	if err != nil {
		return nil, err
	}
	all := append(memory, tables...)
	slices.SortFunc(all, func(a, b address) int { return cmp.Compare(a.text, b.text) })
	all = slices.CompactFunc(all, func(a, b address) bool { return a.text == b.text }) // a buffer may have reached Pebble
	return all[:min(n, len(all))], nil
}

func (v *view) addressesInMemory(prefix, after string) (list []address) {
	for _, b := range v.bufs {
		v.x.mu.RLock()
		part := b.addresses
		v.x.mu.RUnlock()
		for _, a := range part {
			if uint64(a.number) < v.numbers && a.text > after && strings.HasPrefix(a.text, prefix) {
				list = append(list, a)
			}
		}
	}
	return list
}

func (v *view) addressesInTables(prefix, after string, n int) (list []address, err error) {
	lower := append([]byte{tagAddress}, prefix...)
	upper := append(bytes.Clone(lower), 0xFF) // addresses are ASCII
	if after != "" && after >= prefix {
		lower = append(addressKey(nil, after), 0)
	}
	if bytes.Compare(lower, upper) >= 0 {
		return nil, nil
	}
	it, err := v.x.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, damage(err)
	}
	for ok := it.First(); ok && len(list) < n && err == nil; ok = it.Next() {
		var a address
		if a, err = readAddress(it); err == nil && uint64(a.number) < v.numbers {
			list = append(list, a)
		}
	}
	if e := it.Error(); err == nil {
		err = e
	}
	if e := it.Close(); err == nil {
		err = e
	}
	return list, damage(err)
}

func readAddress(it *pebble.Iterator) (address, error) {
	key := it.Key()
	value, err := it.ValueAndErr()
	if err != nil {
		return address{}, err
	}
	if len(key) < 3 || key[len(key)-1] != 0 || len(value) != 4 {
		return address{}, fmt.Errorf("%w: an address of %d and %d bytes", ErrRebuild, len(key), len(value))
	}
	return address{string(key[1 : len(key)-1]), be.Uint32(value)}, nil
}
