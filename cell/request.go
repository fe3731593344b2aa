package cell

import "github.com/sterlingrun/sterling/journal"

// Request is one client's events on their way through a cell.
type Request struct {
	Kind    journal.Kind
	Actor   journal.Actor    // who asks
	Events  []byte           // whole records; the cell owns them until Do returns
	Results []journal.Result // one per event, filled by Do
	Seq     uint64           // out: the block this reply depends on
}
