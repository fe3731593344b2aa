package control

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh"
)

// TestWhatBreaksEnvoysRulesIsNotPushed: no desired state that parses leads there, and if one did, it would be refused as a
// whole before any data plane has it.
func TestWhatBreaksEnvoysRulesIsNotPushed(t *testing.T) {
	id := mesh.ID{Domain: "bank.example", Cell: "c1", Service: "web"}
	for want, change := range map[string]func(p *mesh.Plan){
		"RouteConfiguration web": func(p *mesh.Plan) { p.Routes[0].Answer.Remove = []string{"a\nb"} },
		"HTTPFault":              func(p *mesh.Plan) { p.Routes[0].Fault = mesh.Fault{AbortPercent: 1, AbortStatus: 99} },
		"Cluster web": func(p *mesh.Plan) {
			p.Ejection = mesh.Ejection{Failures: 1, Interval: time.Second, Time: time.Second, MaxPercent: 101}
		},
	} {
		limits := mesh.Limits{Requests: 1, Connections: 1, Connect: time.Second, RetryPercent: 1}
		plan := mesh.Plan{Service: mesh.Service{Name: "web", Protocol: mesh.HTTP, Limits: limits}, Routes: []mesh.Route{{Targets: []mesh.Target{{Service: "web", Weight: 1}}}}}
		snapshot := &mesh.Snapshot{
			Domain: id.Domain, Cells: mesh.Cells{Cells: []mesh.Cell{{Name: "c1"}}}, Services: []mesh.Plan{plan},
			Identities: []mesh.Identity{{Service: "web", Cell: "c1"}},
		}
		for _, broken := range []bool{false, true} {
			if broken {
				change(&snapshot.Services[0])
			}
			g, err := newGeneration(1, snapshot, nil)
			if err != nil {
				t.Fatal(err)
			}
			switch err := g.check(); {
			case !broken && err != nil:
				t.Errorf("without a break: %v", err)
			case broken && (!errors.Is(err, mesh.ErrConfig) || !strings.Contains(err.Error(), want)):
				t.Errorf("%s: %v", want, err)
			}
		}
	}
}
