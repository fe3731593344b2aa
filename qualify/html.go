package qualify

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed report.gohtml
var page string

// WriteHTML writes the report as one page that needs nothing else: no scripts, no fonts, nothing from the network. It
// prints on A4 and letter paper.
func (r *Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"number": func(i int) int { return i + 1 },
		"mark":   func(o Outcome) string { return marks[o] },
		"time":   func(r *Report) string { return r.Began.UTC().Format("2 January 2006, 15:04:05 UTC") },
		"secs":   func(s float64) string { return fmt.Sprintf("%.1f s", s) },
		"count":  func(r *Report, o Outcome) int { return r.Counts()[o] },
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("read the page's template: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("write the report as HTML: %w", err)
	}
	return nil
}
