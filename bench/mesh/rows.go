package main

import "fmt"

// Row is a line of the table of what the mesh is asked for.
type Row struct {
	Name     string  `json:"name"`
	Measured float64 `json:"measured"`
	Unit     string  `json:"unit"`
	// Bound is what is asked; nil: nothing is.
	*Bound
}

// Bound is what a measurement is to keep.
type Bound struct {
	Ask     float64 `json:"ask"`
	Aim     float64 `json:"aim"`
	Least   bool    `json:"at_least,omitempty"` // else they are the most it may be
	Verdict string  `json:"verdict"`            // "aim", "ask", or "missed"
}

// row adds a line; most and least are lines that have to keep a bound.
func (r *Report) row(name string, measured float64, unit string) {
	r.Rows = append(r.Rows, Row{name, measured, unit, nil})
}

func (r *Report) most(name string, measured float64, unit string, ask, aim float64) {
	r.Rows = append(r.Rows, Row{name, measured, unit, &Bound{ask, aim, false, verdict(measured <= ask, measured <= aim)}})
}

func (r *Report) least(name string, measured float64, unit string, ask, aim float64) {
	r.Rows = append(r.Rows, Row{name, measured, unit, &Bound{ask, aim, true, verdict(measured >= ask, measured >= aim)}})
}

func verdict(ask, aim bool) string {
	switch {
	case aim:
		return "aim"
	case ask:
		return "ask"
	}
	return "missed"
}

// note adds what else there is to know.
func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}
