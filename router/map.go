package router

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
)

const (
	// Buckets is how many buckets accounts are in. It never changes: an account's bucket is for ever.
	Buckets = journal.Buckets
	// MaxCells bounds a map: cells of a ledger.
	MaxCells = 256
	// MaxNodes bounds a map: nodes of a cell.
	MaxNodes = 16
	// MaxMap bounds a map's text, in bytes.
	MaxMap = 1 << 20

	maxAddress = 255
)

// ErrMap is a map that can't be used; the text says why.
var ErrMap = errors.New("map of cells")

// Maps keeps the ledger's map where all nodes of all cells reach it. store/postgres and store/mysql implement it.
type Maps interface {
	// Load returns the newest map; version 0 and nil where there is none yet.
	Load(ctx context.Context) (version uint64, raw []byte, err error)
	// Swap makes raw version was+1 of the map if was is the newest (0: none yet), and says whether it did. After an
	// error the outcome is unknown: Load tells.
	Swap(ctx context.Context, was uint64, raw []byte) (bool, error)
}

// Map says which cell has which accounts, and where the cells are. It is never changed: a new version is a new Map.
type Map struct {
	Version uint64 // of the store, 1 and up; not in the text
	Cells   []Cell // by id
	// Buckets is the id of the cell that owns each bucket.
	Buckets [Buckets]uint64
}

// Cell is one cell of the ledger and its nodes' addresses, host:port.
type Cell struct {
	ID    uint64   `json:"id"` // 1 to 2^32-1
	Nodes []string `json:"nodes"`
}

// A Span is the buckets From to To, which are one cell's.
type Span struct {
	From int    `json:"from"`
	To   int    `json:"to"`
	Cell uint64 `json:"cell"`
}

type mapText struct {
	Cells   []Cell `json:"cells"`
	Buckets []Span `json:"buckets"`
}

// Even returns a map of these cells in which each has as many buckets as any other, or one more. It is not checked.
func Even(cells []Cell) *Map {
	m := &Map{Cells: slices.Clone(cells)}
	slices.SortFunc(m.Cells, byID)
	for b := range m.Buckets {
		m.Buckets[b] = m.Cells[b*len(m.Cells)/Buckets].ID
	}
	return m
}

func byID(a, b Cell) int {
	switch {
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}

// Cell returns the cell of an id; nil: the map has none.
func (m *Map) Cell(id uint64) *Cell {
	i, found := slices.BinarySearchFunc(m.Cells, Cell{ID: id}, byID)
	if !found {
		return nil
	}
	return &m.Cells[i]
}

// Owner returns the id of the cell that has an account.
func (m *Map) Owner(account money.U128) uint64 { return m.Buckets[journal.Bucket(account)] }

// Spans are the buckets in order, those of a cell that follow each other as one.
func (m *Map) Spans() (spans []Span) {
	for b, id := range m.Buckets {
		if n := len(spans); n > 0 && spans[n-1].Cell == id {
			spans[n-1].To = b
			continue
		}
		spans = append(spans, Span{b, b, id})
	}
	return spans
}

// Check says what is wrong with m, or nil. Its error is an ErrMap.
func (m *Map) Check() error {
	if len(m.Cells) == 0 || len(m.Cells) > MaxCells {
		return fmt.Errorf("%w: %d cells: want 1 to %d", ErrMap, len(m.Cells), MaxCells)
	}
	places := map[string]uint64{}
	for i, c := range m.Cells {
		switch {
		case c.ID == 0 || c.ID > math.MaxUint32:
			return fmt.Errorf("%w: cell %d: want 1 to 2^32-1", ErrMap, c.ID)
		case i > 0 && m.Cells[i-1].ID >= c.ID:
			return fmt.Errorf("%w: cell %d after cell %d: want each once, in order", ErrMap, c.ID, m.Cells[i-1].ID)
		case len(c.Nodes) == 0 || len(c.Nodes) > MaxNodes:
			return fmt.Errorf("%w: cell %d has %d nodes: want 1 to %d", ErrMap, c.ID, len(c.Nodes), MaxNodes)
		}
		for _, address := range c.Nodes {
			host, port, err := net.SplitHostPort(address)
			if err != nil || host == "" || port == "" || len(address) > maxAddress {
				return fmt.Errorf("%w: cell %d: %.64q: want host:port of at most %d bytes", ErrMap, c.ID, address, maxAddress)
			}
			if other, taken := places[address]; taken {
				return fmt.Errorf("%w: %s is in cells %d and %d: a node is of one", ErrMap, address, other, c.ID)
			}
			places[address] = c.ID
		}
	}
	for b, id := range m.Buckets {
		if m.Cell(id) == nil {
			return fmt.Errorf("%w: bucket %d is of cell %d, which is not in the map", ErrMap, b, id)
		}
	}
	return nil
}

// Encode returns the text of a map: JSON, with the buckets as spans. It checks m.
func (m *Map) Encode() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(mapText{m.Cells, m.Spans()})
	if err == nil && len(raw) > MaxMap {
		err = fmt.Errorf("%w: its text has %d bytes: want %d at most", ErrMap, len(raw), MaxMap)
	}
	return raw, err
}

// DecodeMap reads what Encode wrote, as one version of the store. Everything of it is checked; its error is an ErrMap.
func DecodeMap(version uint64, raw []byte) (*Map, error) {
	if version == 0 || len(raw) > MaxMap {
		return nil, fmt.Errorf("%w: version %d, %d bytes: want version 1 or more, %d bytes at most", ErrMap, version, len(raw), MaxMap)
	}
	var text mapText
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&text); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMap, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: more follows after its end", ErrMap)
	}
	m := &Map{Version: version, Cells: text.Cells}
	next := 0
	for _, s := range text.Buckets {
		if s.From != next || s.To < s.From || s.To >= Buckets {
			return nil, fmt.Errorf("%w: buckets %d to %d: want from %d, to %d at most", ErrMap, s.From, s.To, next, Buckets-1)
		}
		for ; next <= s.To; next++ {
			m.Buckets[next] = s.Cell
		}
	}
	if next != Buckets {
		return nil, fmt.Errorf("%w: it ends with bucket %d: want %d", ErrMap, next-1, Buckets-1)
	}
	if err := m.Check(); err != nil {
		return nil, err
	}
	return m, nil
}
