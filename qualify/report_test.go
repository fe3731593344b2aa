package qualify_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sterlingrun/sterling/bench"
	"github.com/sterlingrun/sterling/qualify"
)

func sample() *qualify.Report {
	began := time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)
	s := qualify.Section{ID: "append", Title: "Conditional append", Method: "Writers contend.", Seconds: 2.5, Began: began}
	s.Add(true, qualify.Check{ID: "append.chain", Title: "One chain", Found: "806 blocks", Wanted: "whole"})
	s.Note(qualify.Check{ID: "append.unknown", Title: "Unknown outcomes", Found: "7", Measures: []qualify.Measure{{Name: "unknown", Value: 7}}})
	s.Skip(qualify.Check{ID: "append.kill", Title: "A kill"}, "since there is nothing to kill")
	return &qualify.Report{
		Format: qualify.Format, Version: "v1", Began: began, Ended: began.Add(90 * time.Second), Engine: `Engine <script>alert("7")</script>`,
		Address: []string{"postgres://me@db:5432/bank"}, Machine: bench.Machine{Processor: "P", Cores: 2, FileSystem: "ext4"},
		Settings: []qualify.Setting{{Name: "Kind of run", Value: "full"}}, Sections: []qualify.Section{s},
	}
}

func TestAReportIsFitUntilACheckFails(t *testing.T) {
	r := sample()
	r.Conclude()
	if !r.Fit || r.Verdict() != "FIT" || len(r.Reasons) != 0 {
		t.Fatalf("fit %v, %v", r.Fit, r.Reasons)
	}
	if want := []string{"A kill: not tried, since there is nothing to kill."}; !cmp.Equal(r.Limits, want) {
		t.Fatal(cmp.Diff(want, r.Limits))
	}
	r.Sections[0].Add(false, qualify.Check{ID: "append.acknowledged", Title: "Nothing is lost", Found: "3 lost", Wanted: "0"})
	r.Conclude()
	if want := []string{"Nothing is lost: 3 lost; wanted: 0"}; r.Fit || r.Verdict() != "UNFIT" || !cmp.Equal(r.Reasons, want) {
		t.Fatal(r.Fit, cmp.Diff(want, r.Reasons))
	}
}

func TestNothingCheckedIsUnfit(t *testing.T) {
	for _, r := range []*qualify.Report{{}, {Sections: []qualify.Section{{Title: "Empty"}}}} {
		if r.Conclude(); r.Fit || len(r.Reasons) == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestFormats(t *testing.T) {
	r := sample()
	r.Sections[0].Add(false, qualify.Check{ID: "x", Title: "Nothing is lost", Found: "3 lost", Wanted: "0 lost", Why: "money"})
	r.Conclude()
	var text, page, object strings.Builder
	for _, err := range []error{r.WriteText(&text), r.WriteHTML(&page), r.WriteJSON(&object)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"pass  One chain: 806 blocks", "note  Unknown outcomes: 7", "FAIL  Nothing is lost: 3 lost", "wanted: 0 lost", "why: money",
		"What this does not show", "1 checks passed, 1 failed, 1 notes, 1 left out", "UNFIT: ", "2027-01-15 08:00:00 UTC, in 1m30s", "postgres://me@db:5432/bank",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	for _, want := range []string{"<strong>UNFIT</strong>", "One chain", "3 lost", "Engine &lt;script&gt;", "15 January 2027", "Reviewed by", "its operators; it was not killed"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, foreign := range []string{"<script", "src=", "href=", "url(", "@import"} {
		if strings.Contains(page.String(), foreign) {
			t.Errorf("the page is to need nothing else, and has %q", foreign)
		}
	}
	var again qualify.Report
	if err := json.Unmarshal([]byte(object.String()), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &again); diff != "" {
		t.Error(diff)
	}
}
