package export

import (
	"fmt"
	"math/rand/v2"
	"testing"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// AccountName is for tests of the package's surface.
func AccountName(n *Names, code uint32, id string) string { return n.account(code, id) }

// TestCommoditiesAreDistinct tries catalogues of codes that come close to each other.
func TestCommoditiesAreDistinct(t *testing.T) {
	t.Parallel()
	codes := []string{"X", "CNY", "CNY-", "CNY-2", "CNY-2-2", "CNY_", "TRUE", "FALSE", "NULL", "A.B", "ABCDEFGHIJKLMNO", "A-", "A.-_", "A"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		var list []*ledgerv1.Asset
		for _, i := range random.Perm(len(codes) * 19) {
			list = append(list, &ledgerv1.Asset{Name: fmt.Sprintf("%s/%d", codes[i/19], i%19)})
		}
		names, owner := commodities(list), map[string]string{}
		for asset, name := range names {
			if !commodity.MatchString(name) || reserved[name] {
				t.Fatalf("%s is %q", asset, name)
			}
			if other, taken := owner[name]; taken {
				t.Fatalf("%s and %s are both %q", asset, other, name)
			}
			owner[name] = asset
		}
		// Names stay when the catalogue grows.
		for asset, name := range commodities(list[:len(list)/2]) {
			if names[asset] != name {
				t.Fatalf("%s was %q and is %q", asset, name, names[asset])
			}
		}
	}
}
