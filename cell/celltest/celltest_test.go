package celltest

import (
	"testing"

	"github.com/sterlingrun/sterling/cell"
)

func memoryHarness(plant fault) LogHarness {
	m := &Memory{plant: plant}
	return LogHarness{Log: m, Other: m, Reopen: func() (cell.Log, error) { return m.reopen(), nil }}
}

func TestMemoryPasses(t *testing.T) {
	Logs(t, func(*testing.T) LogHarness { return memoryHarness(none) })
}

// TestPlantedFaultsTurnRed breaks one rule at a time: the case that guards it must notice.
func TestPlantedFaultsTurnRed(t *testing.T) {
	for plant, guards := range map[fault][]string{
		noPredecessor:  {"a deposed leader's late appends conflict", "another predecessor conflicts"},
		overwrites:     {"a taken sequence number conflicts", "a deposed leader's late appends conflict", "of two contenders one wins every number"},
		conflictsSame:  {"the last block again is no conflict"},
		fillsGaps:      {"a gap is refused", "a deposed leader's late appends conflict"},
		shiftsReads:    {"records are read by offset"},
		pads:           {"records are read by offset"},
		acksConflicts:  {"a taken sequence number conflicts", "of two contenders one wins every number"},
		forgetsOnOpen:  {"what was acknowledged survives"},
		lateHead:       {"what was appended is read back"},
		invents:        {"an empty log has no head and no blocks"},
		checksAfter:    {"of two contenders one wins every number"},
		cancelsHalfway: {"a cancelled append leaves no doubt"},
	} {
		red := make(map[string]bool)
		for _, c := range LogCases() {
			red[c.Name] = c.Run(t.Context(), memoryHarness(plant)) != nil
		}
		for _, name := range guards {
			if _, known := red[name]; !known {
				t.Fatalf("there is no case %q", name)
			}
			if !red[name] {
				t.Errorf("fault %d was planted, and %q stays green", plant, name)
			}
		}
	}
}
