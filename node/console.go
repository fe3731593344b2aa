package node

import (
	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/console"
)

// addConsole serves the console at every path that nothing else has.
func addConsole(config *api.Config) error {
	pages, err := console.Handler()
	if err != nil {
		return err
	}
	config.Handlers["/"] = pages
	return nil
}
