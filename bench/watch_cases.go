package bench

import (
	"fmt"
	"os"

	"github.com/sterlingrun/sterling/sim/faults"
)

// cases runs a folder of streams that others wrote.
func (b *watchBench) cases() error {
	list, err := faults.Cases(os.DirFS(b.Cases))
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConfig, b.Cases, err)
	}
	b.part = "cases"
	for n := range list {
		b.progress(uint64(n), uint64(len(list)))
		t, err := list[n].Run(b.watchOptions())
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrConfig, b.Cases, err)
		}
		for _, fault := range t.Faults {
			b.report.Missed++
			b.detail("case %s: %s", list[n].Name, fault)
		}
		b.report.Cases = append(b.report.Cases, CaseResult{Case: list[n].Name, Breaks: len(t.Found), Faults: t.Faults})
	}
	return nil
}
