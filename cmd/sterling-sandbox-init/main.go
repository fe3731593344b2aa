// Command sterling-sandbox-init is process 1 of a machine of package sandbox/ownkernel. On a host it does nothing.
// Start reading at package sandbox/ownkernel/guest.
package main

import (
	"os"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/guest"
)

func main() { os.Exit(guest.Main(os.Args)) }
