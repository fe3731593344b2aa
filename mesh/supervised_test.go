package mesh_test

import (
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/mesh"
)

// TestSupervised: a program that only its supervisor reaches has no address, so a service and its shadow may both have
// one on a machine.
func TestSupervised(t *testing.T) {
	text := strings.ReplaceAll(base, `address: "10.0.0.1:1"`, `address: "10.0.0.1:1", app: supervised`)
	s, err := mesh.Parse("mesh.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Services[0].Backends[0].App; got != mesh.SupervisedApp() || !got.IsValid() || got.Port() != 0 {
		t.Errorf("%v", got)
	}
	if _, err := mesh.Parse("mesh.yaml", []byte(strings.ReplaceAll(text, "supervised", "127.0.0.1:0"))); err == nil {
		t.Error("port 0 is taken")
	}
}
