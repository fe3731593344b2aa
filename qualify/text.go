package qualify

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	width  = 110 // of the text, in characters
	indent = "        "
)

var marks = map[Outcome]string{Pass: "pass", Fail: "FAIL", Note: "note", Skipped: "skip"}

// WriteText writes the report for a terminal or a mail. What passed takes one line; what failed says all.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	printf := func(format string, args ...any) { _, _ = fmt.Fprintf(b, format, args...) } // Flush tells
	printf("Qualification of %s\n\n", r.Engine)
	for _, a := range r.Address {
		printf("address   %s\n", a)
	}
	printf("made      %s, in %v, by sterling %s\n", r.Began.UTC().Format("2006-01-02 15:04:05 UTC"), r.Took(), r.Version)
	printf("machine   %s\n", r.Computer())
	printf("disk      %s\n", r.Disk())
	for i, s := range r.Settings {
		label := "run"
		if i > 0 {
			label = ""
		}
		printf("%-9s %s: %s\n", label, s.Name, s.Value)
	}
	for i := range r.Sections {
		s := &r.Sections[i]
		printf("\n%d. %s (%.1f s)\n", i+1, s.Title, s.Seconds)
		wrap(b, "   ", s.Method)
		for _, c := range s.Checks {
			c.writeText(b)
		}
	}
	printf("\nWhat this does not show\n")
	for _, l := range r.Limits {
		wrap(b, " -  ", l)
	}
	n := r.Counts()
	printf("\n%d checks passed, %d failed, %d notes, %d left out\n", n[Pass], n[Fail], n[Note], n[Skipped])
	for _, reason := range r.Reasons {
		wrap(b, " -  ", reason)
	}
	printf("\n%s: %s\n", r.Verdict(), r.Sentence())
	return b.Flush()
}

func (c *Check) writeText(w io.Writer) {
	wrap(w, "  "+marks[c.Outcome]+"  ", c.Title+": "+c.Found)
	if c.Outcome != Fail {
		return
	}
	if c.Wanted != "" {
		wrap(w, indent, "wanted: "+c.Wanted)
	}
	if c.Why != "" {
		wrap(w, indent, "why: "+c.Why)
	}
}

// wrap writes words in lines, the first behind a mark and the others below its text.
func wrap(w io.Writer, mark, text string) {
	lead := strings.Repeat(" ", utf8.RuneCountInString(mark))
	line, prefix := "", mark
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(lead)+utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			_, _ = fmt.Fprintf(w, "%s%s\n", prefix, line)
			line, prefix = "", lead
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	_, _ = fmt.Fprintf(w, "%s%s\n", prefix, line)
}
