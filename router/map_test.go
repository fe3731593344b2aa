package router_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/router"
)

func cells() []router.Cell {
	return []router.Cell{{ID: 7, Nodes: []string{"c:1"}}, {ID: 1, Nodes: []string{"a:1", "a:2"}}, {ID: 2, Nodes: []string{"[::1]:9"}}}
}

func TestMapText(t *testing.T) {
	m := router.Even(cells())
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cells":[{"id":1,"nodes":["a:1","a:2"]},{"id":2,"nodes":["[::1]:9"]},{"id":7,"nodes":["c:1"]}],` +
		`"buckets":[{"from":0,"to":341,"cell":1},{"from":342,"to":682,"cell":2},{"from":683,"to":1023,"cell":7}]}`
	if string(raw) != want {
		t.Errorf("the text is\n%s\nwant\n%s", raw, want)
	}
	back, err := router.DecodeMap(3, raw)
	if err != nil {
		t.Fatal(err)
	}
	m.Version = 3
	if d := cmp.Diff(m, back); d != "" {
		t.Error(d)
	}
	if c := back.Cell(2); c == nil || c.Nodes[0] != "[::1]:9" || back.Cell(3) != nil {
		t.Errorf("cell 2 is %+v, cell 3 is %+v", c, back.Cell(3))
	}
}

func TestMapsThatAreRefused(t *testing.T) {
	good := func() *router.Map { return router.Even(cells()) }
	for name, spoil := range map[string]func(*router.Map){
		"no cells":          func(m *router.Map) { m.Cells = nil },
		"cell 0":            func(m *router.Map) { m.Cells[0].ID = 0 },
		"a cell too large":  func(m *router.Map) { m.Cells[2].ID = 1 << 32 },
		"a cell twice":      func(m *router.Map) { m.Cells[1].ID = 1 },
		"out of order":      func(m *router.Map) { m.Cells[0], m.Cells[1] = m.Cells[1], m.Cells[0] },
		"no nodes":          func(m *router.Map) { m.Cells[0].Nodes = nil },
		"too many nodes":    func(m *router.Map) { m.Cells[0].Nodes = make([]string, router.MaxNodes+1) },
		"no port":           func(m *router.Map) { m.Cells[0].Nodes[0] = "host" },
		"no host":           func(m *router.Map) { m.Cells[0].Nodes[0] = ":1" },
		"a long address":    func(m *router.Map) { m.Cells[0].Nodes[0] = strings.Repeat("h", 254) + ":1" },
		"a node twice":      func(m *router.Map) { m.Cells[0].Nodes[0] = "c:1" },
		"nobody's bucket":   func(m *router.Map) { m.Buckets[500] = 0 },
		"an unknown bucket": func(m *router.Map) { m.Buckets[1023] = 3 },
	} {
		m := good()
		spoil(m)
		if _, err := m.Encode(); !errors.Is(err, router.ErrMap) {
			t.Errorf("%s: error %v, want %v", name, err, router.ErrMap)
		}
	}
	raw, err := good().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"half":         string(raw[:len(raw)/2]),
		"two":          string(raw) + string(raw),
		"unknown key":  strings.Replace(string(raw), `"cells"`, `"x":1,"cells"`, 1),
		"a gap":        strings.Replace(string(raw), `"from":342`, `"from":343`, 1),
		"an overlap":   strings.Replace(string(raw), `"from":342`, `"from":341`, 1),
		"backwards":    strings.Replace(string(raw), `"from":0,"to":341`, `"from":0,"to":-1`, 1),
		"too few":      strings.Replace(string(raw), `"to":1023`, `"to":1022`, 1),
		"too many":     strings.Replace(string(raw), `"to":1023`, `"to":1024`, 1),
		"unknown cell": strings.Replace(string(raw), `"cell":7`, `"cell":8`, 1),
		"large":        string(raw) + strings.Repeat(" ", router.MaxMap),
	} {
		if _, err := router.DecodeMap(1, []byte(text)); !errors.Is(err, router.ErrMap) {
			t.Errorf("%s: error %v, want %v", name, err, router.ErrMap)
		}
	}
	if _, err := router.DecodeMap(0, raw); !errors.Is(err, router.ErrMap) {
		t.Errorf("version 0: error %v, want %v", err, router.ErrMap)
	}
}

// FuzzDecodeMap: whatever is taken can be written, and is then the same.
func FuzzDecodeMap(f *testing.F) {
	raw, err := router.Even(cells()).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"cells":[{"id":1,"nodes":["h:1"]}],"buckets":[{"from":0,"to":1,"cell":1},{"from":2,"to":1023,"cell":1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := router.DecodeMap(1, raw)
		if err != nil {
			return
		}
		first, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := router.DecodeMap(1, first)
		if err != nil {
			t.Fatal(err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s became %s, error %v", first, second, err)
		}
	})
}

// kept is a map in memory, of which another program may make a version behind our back.
type kept struct {
	texts  [][]byte
	behind bool
}

func (k *kept) Load(context.Context) (uint64, []byte, error) {
	if len(k.texts) == 0 {
		return 0, nil, nil
	}
	return uint64(len(k.texts)), k.texts[len(k.texts)-1], nil
}

func (k *kept) Swap(_ context.Context, was uint64, raw []byte) (bool, error) {
	if k.behind {
		k.texts = append(k.texts, raw)
	}
	if was != uint64(len(k.texts)) {
		return false, nil
	}
	k.texts = append(k.texts, raw)
	return true, nil
}

func TestDefine(t *testing.T) {
	k := &kept{}
	define := func(cells []router.Cell, version uint64) *router.Map {
		t.Helper()
		m, err := router.Define(t.Context(), k, cells)
		if err != nil || m.Version != version || uint64(len(k.texts)) != version {
			t.Fatalf("%+v, error %v, %d versions; want %d", m, err, len(k.texts), version)
		}
		return m
	}
	first := define(cells(), 1)
	define(cells(), 1)
	first.Buckets[0] = 7 // somebody moves a bucket
	text, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k.texts = append(k.texts, text)
	elsewhere := cells()
	elsewhere[0].Nodes = []string{"d:1", "d:2"}
	if m := define(elsewhere, 3); m.Buckets[0] != 7 || m.Cell(7).Nodes[1] != "d:2" {
		t.Errorf("bucket 0 is of cell %d, cell 7 is %+v", m.Buckets[0], m.Cell(7))
	}
	elsewhere[0].ID = 8
	for name, list := range map[string][]router.Cell{"none": nil, "fewer": cells()[1:], "others": elsewhere, "malformed": {{ID: 1}}} {
		if _, err := router.Define(t.Context(), k, list); !errors.Is(err, router.ErrMap) {
			t.Errorf("%s: error %v, want %v", name, err, router.ErrMap)
		}
	}
	k.behind = true
	if _, err := router.Define(t.Context(), k, cells()); err == nil {
		t.Error("a map that another program has made meanwhile was replaced")
	}
}
