package router_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/money"
	cellv1 "github.com/sterlingrun/sterling/proto/gen/sterling/cell/v1"
	"github.com/sterlingrun/sterling/router"
	"github.com/sterlingrun/sterling/transit"
)

func TestReadSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write := func(n int, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Repeat("x", n)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := router.ReadSecret(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, bad := range []struct {
		n    int
		mode os.FileMode
	}{{31, 0o600}, {1025, 0o600}, {32, 0o640}, {32, 0o604}} {
		write(bad.n, bad.mode)
		if token, err := router.ReadSecret(path); err == nil || token != "" || strings.Contains(err.Error(), "xx") {
			t.Errorf("%d bytes, mode %v: %q, %v", bad.n, bad.mode, token, err)
		}
	}
	write(32, 0o600)
	if token, err := router.ReadSecret(path); err != nil || len(token) != 64 {
		t.Errorf("%q, %v", token, err)
	}
}

func TestNetworkKnowsTheCellsOfItsMap(t *testing.T) {
	n := router.NewNetwork(1, "x", nil)
	m := router.Even([]router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:1"}}, {ID: 2, Nodes: []string{"127.0.0.1:2", "127.0.0.1:3"}}})
	for range 2 {
		if err := n.Use(m); err != nil {
			t.Fatal(err)
		}
	}
	for cell, known := range map[uint64]bool{1: false, 2: true, 3: false} {
		if _, err := n.To(cell); (err == nil) != known {
			t.Errorf("cell %d: %v", cell, err)
		}
	}
	m = router.Even([]router.Cell{{ID: 1, Nodes: []string{"127.0.0.1:1"}}, {ID: 2, Nodes: []string{"10.0.0.1:2"}}})
	if err := n.Use(m); err == nil {
		t.Error("the secret goes over a network in clear")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// steps are a hold and its confirmation, as a driver of cell 1 sends them to cell 2.
func steps(w *world) *router.Steps {
	a := transit.Attempt{
		Asked: transfer(1, w.account(1, 0), w.account(2, 0), 5), Asset: cny, Home: 1, Peer: 2, Reserve: money.From(77),
	}
	hold, confirm := a.Hold(0), a.Confirm(a.Asked.Amount, true)
	return &router.Steps{Home: 1, Actor: teller, List: []router.Step{{Record: hold.Transfer, Details: hold.Attached, Asset: cny}, {Record: confirm.Transfer, Details: confirm.Attached, Asset: cny}}}
}

func TestAcceptTakesStepsOnly(t *testing.T) {
	w := newWorld(t, 3)
	_, host := w.cells[2].current()
	accept := func(change func(s *router.Steps)) ([]journal.Status, error) {
		s := steps(w)
		if change != nil {
			change(s)
		}
		return host.Accept(context.Background(), s)
	}
	other := w.account(3, 0)
	for name, change := range map[string]func(s *router.Steps){
		"none":                        func(s *router.Steps) { s.List = nil },
		"of the cell itself":          func(s *router.Steps) { s.Home = 2 },
		"of another home":             func(s *router.Steps) { s.Home = 3 },
		"no details":                  func(s *router.Steps) { s.List[0].Details = nil },
		"no asset":                    func(s *router.Steps) { s.List[0].Asset = money.Asset{} },
		"another account pays":        func(s *router.Steps) { s.List[0].Record.Debit = other },
		"another account is paid":     func(s *router.Steps) { s.List[0].Record.Credit = other },
		"a plain transfer":            func(s *router.Steps) { s.List[0].Record.Flags = 0 },
		"a transfer that is posted":   func(s *router.Steps) { s.List[0].Record.Flags &^= journal.TransferPending | journal.TransferHold },
		"another id":                  func(s *router.Steps) { s.List[0].Record.ID = money.From(5) },
		"a post of another":           func(s *router.Steps) { s.List[1].Record.PendingID = money.From(5) },
		"a void without a fence":      func(s *router.Steps) { s.List[1].Record.Flags ^= journal.TransferPost | journal.TransferVoid },
		"linked":                      func(s *router.Steps) { s.List[0].Record.Flags |= journal.TransferLinked },
		"a confirmation as a hold":    func(s *router.Steps) { s.List[0].Details = s.List[1].Details },
		"a reserve, which home makes": func(s *router.Steps) { s.List[0].Details = reserve(w).Attached },
	} {
		if statuses, err := accept(change); !errors.Is(err, router.ErrStep) {
			t.Errorf("%s: %v, %v", name, statuses, err)
		}
	}
	foreign := w.account(3, 0)
	a := transit.Attempt{Asked: transfer(1, w.account(1, 0), foreign, 5), Asset: cny, Home: 1, Peer: 2, Reserve: money.From(78)}
	hold := a.Hold(0)
	if _, err := host.Accept(context.Background(), &router.Steps{Home: 1, List: []router.Step{{Record: hold.Transfer, Details: hold.Attached, Asset: cny}}}); !errors.Is(err, cell.ErrMoving) {
		t.Errorf("an account of another cell, or of an older map: %v", err)
	}
	if statuses, err := accept(nil); err != nil || statuses[0] != journal.Created || statuses[1] != journal.Created {
		t.Errorf("%v, %v", statuses, err)
	}
}

func reserve(w *world) transit.Event {
	a := transit.Attempt{Asked: transfer(1, w.account(1, 0), w.account(2, 0), 5), Asset: cny, Home: 1, Peer: 2, Reserve: money.From(77)}
	return a.Reserved()
}

func TestClaimAddresses(t *testing.T) {
	w := newWorld(t, 1)
	c, _ := w.cells[1].current()
	claim := func(list ...router.Claim) []bool {
		t.Helper()
		taken, err := router.ClaimAddresses(context.Background(), c, list)
		if err != nil {
			t.Fatal(err)
		}
		return taken
	}
	one, two := money.From(1), money.From(2)
	if taken := claim(router.Claim{Address: "a:b", Account: one, Asset: 1}, router.Claim{Address: "a:b", Account: two, Asset: 1}, router.Claim{Address: "a:c", Account: two, Asset: 1}); taken[0] || !taken[1] || taken[2] {
		t.Errorf("%v", taken)
	}
	if taken := claim(router.Claim{Address: "a:b", Account: one, Asset: 1}, router.Claim{Address: "a:c", Account: one, Asset: 1}); taken[0] || !taken[1] {
		t.Errorf("once more: %v", taken)
	}
	if len(claim()) != 0 {
		t.Error("no claims")
	}
	if _, err := router.ClaimAddresses(context.Background(), c, []router.Claim{{Address: "a:d", Account: one}}); err == nil {
		t.Error("an asset that is none was taken")
	}
}

func FuzzReadSteps(f *testing.F) {
	record := make([]byte, journal.RecordSize)
	seed, err := proto.Marshal(&cellv1.SubmitRequest{Home: 1, Actor: make([]byte, 16), Steps: []*cellv1.Step{{Record: record, Details: []byte{1}, Asset: "CNY/2"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		var r cellv1.SubmitRequest
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		s, err := router.ReadSteps(&r)
		if err != nil {
			if !errors.Is(err, router.ErrStep) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(s.List) != len(r.GetSteps()) {
			t.Errorf("%d steps of %d", len(s.List), len(r.GetSteps()))
		}
	})
}
