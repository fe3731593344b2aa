package router_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/router"
)

// TestMetrics: what waits for its caller is no reason for an alarm, what waits for a cell is.
func TestMetrics(t *testing.T) {
	w := newWorld(t, 2)
	debit, credit := w.account(1, 0), w.account(2, 0)
	registry := prometheus.NewRegistry()
	registry.MustRegister(router.NewCollector(w.cells[1].drives()))
	values := func() map[string]float64 {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			m := f.GetMetric()[0]
			values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return values
	}
	pending := transfer(1, debit, credit, 5)
	pending.Flags = journal.TransferPending
	w.must(pending)
	if v := values(); len(v) != 7 || v["sterling_transit_open"] != 1 || v["sterling_transit_waiting"] != 1 || v["sterling_transit_oldest_seconds"] != 0 {
		t.Errorf("one waits for its caller: %v", v)
	}
	confirmed := make(chan struct{})
	w.wire = func(_, _ uint64, s *router.Steps, deliver func() ([]journal.Status, error)) ([]journal.Status, error) {
		if s.List[0].Record.Flags.Has(journal.TransferPost) {
			<-confirmed
		}
		return deliver()
	}
	w.must(transfer(2, debit, credit, 5))
	if v := values(); v["sterling_transit_open"] != 2 || v["sterling_transit_oldest_seconds"] <= 0 || v["sterling_transit_undecided"] != 0 || v["sterling_transit_committed_total"] != 2 {
		t.Errorf("one waits for the other cell: %v", v)
	}
	close(confirmed)
	w.quiet(1)
}
