// Package flows is the flow files of the demo bank, and the JSON schema of all flow files, as texts. They are examples
// to begin with: a bank has a folder of its own. It parses nothing; that is package watch's. Start reading at Files.
package flows

import (
	"embed"
	"fmt"
)

//go:embed *.yaml
var files embed.FS

// Schema is the JSON schema (draft 2020-12) of a flow file.
//
//go:embed schema.json
var Schema []byte

// File is a flow file.
type File struct {
	Name string // such as "card-payment.yaml"
	Text []byte
}

// Files returns the flow files of the demo bank, by name. The texts are the caller's.
func Files() ([]File, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("list the built-in flows: %w", err)
	}
	list := make([]File, 0, len(entries))
	for _, one := range entries {
		text, err := files.ReadFile(one.Name())
		if err != nil {
			return nil, fmt.Errorf("read the built-in flow %s: %w", one.Name(), err)
		}
		list = append(list, File{one.Name(), text})
	}
	return list, nil
}
