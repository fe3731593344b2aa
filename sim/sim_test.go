package sim

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestSeeds plays 500 seeds; 20,000 with STERLING_SOAK=1. STERLING_SEED=n plays one and prints every event.
func TestSeeds(t *testing.T) {
	if v := os.Getenv("STERLING_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatalf("STERLING_SEED: %v", err)
		}
		r, err := Run(Options{Seed: seed, Trace: os.Stdout})
		t.Logf("%+v", r)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	seeds := uint64(500)
	if os.Getenv("STERLING_SOAK") != "" {
		seeds = 20_000
	}
	var sum Report
	failures := 0
	for seed := range seeds {
		r, err := Run(Options{Seed: seed})
		if err != nil {
			t.Errorf("%v\n\treplay it: STERLING_SEED=%d go test ./sim -run TestSeeds -v", err, seed)
			if failures++; failures == 5 {
				t.FailNow()
			}
		}
		sum.Blocks, sum.Checked, sum.Crashes = sum.Blocks+r.Blocks, sum.Checked+r.Checked, sum.Crashes+r.Crashes
		sum.Starts, sum.Refused, sum.Takeover = sum.Starts+r.Starts, sum.Refused+r.Refused, sum.Takeover+r.Takeover
		sum.Snapshot, sum.LeftOut = sum.Snapshot+r.Snapshot, sum.LeftOut+r.LeftOut
		sum.Followed, sum.Led, sum.Cut = sum.Followed+r.Followed, sum.Led+r.Led, sum.Cut+r.Cut
		sum.Settled, sum.Found = sum.Settled+r.Settled, sum.Found+r.Found
	}
	t.Logf("%d seeds: %+v", seeds, sum)
	if dir := os.Getenv("STERLING_RESULTS"); dir != "" {
		b, err := json.MarshalIndent(map[string]any{
			"test": "sim", "seeds": seeds, "failed": failures, "blocks": sum.Blocks, "answers_checked": sum.Checked,
			"crashes": sum.Crashes, "starts": sum.Starts, "refused": sum.Refused, "takeovers": sum.Takeover,
			"blocks_followed": sum.Followed, "takeovers_by_standbys": sum.Led, "links_cut": sum.Cut, "starts_from_snapshot": sum.Snapshot,
		}, "", "  ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "sim.json"), append(b, '\n'), 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if sum.Crashes == 0 || sum.Takeover == 0 || sum.Followed == 0 || sum.Led == 0 || sum.Cut == 0 || sum.Snapshot == 0 || sum.LeftOut == 0 || sum.Settled == 0 || sum.Found == 0 || sum.Refused == 0 || sum.Checked == 0 {
		t.Error("a kind of event never happened: the seeds show less than they should")
	}
}

// TestASeedReplaysIdentically plays seeds of every world twice and compares every event.
func TestASeedReplaysIdentically(t *testing.T) {
	for seed := range uint64(48) {
		first, err1 := Run(Options{Seed: seed})
		second, err2 := Run(Options{Seed: seed})
		if first != second || (err1 == nil) != (err2 == nil) {
			t.Errorf("seed %d: first %+v, then %+v", seed, first, second)
		}
	}
}
