package feed

import (
	"sync/atomic"

	"github.com/sterlingrun/sterling/ledger"
)

// names keeps the assets' names as text, because making them costs more than the rest of an event.
type names struct {
	table atomic.Pointer[nameTable]
}

type nameTable struct {
	of   *ledger.Catalogue
	list []string // number n stands at n
}

func (n *names) name(c *ledger.Catalogue, number uint32) string {
	t := n.table.Load()
	if t == nil || t.of != c {
		t = &nameTable{of: c, list: make([]string, 1, c.Len()+1)}
		for i := 1; i <= c.Len(); i++ {
			a, _ := c.Asset(uint32(i))
			t.list = append(t.list, a.String())
		}
		n.table.Store(t)
	}
	if int(number) >= len(t.list) {
		return ""
	}
	return t.list[number]
}
