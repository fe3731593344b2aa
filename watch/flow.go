package watch

// Flow is what people declare: what belongs together, within which time, on which terms. Parse reads it, and only what
// was parsed can be used.
type Flow struct {
	Name string
}

// Parse reads one flow file (YAML; docs/watch.md, flows/schema.json) and compiles its rules. The error names line,
// column, and what was expected.
func Parse(name string, text []byte) (*Flow, error) { return nil, ErrUnfinished }
