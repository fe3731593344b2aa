package control_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/sterlingrun/sterling/clock"
)

func TestProxylessClientAndServer(t *testing.T) {
	r := newRig(t, clock.NewSystem())
	l := listen(t)
	r.apply(config(l.Addr().String(), allowAPI))
	r.serve("ledger", l, accepted)
	if got := check(t, r.dial("api", "ledger")); got != codes.OK {
		t.Errorf("the api: %s", got)
	}
	if got := check(t, r.dial("intruder", "ledger")); got != codes.PermissionDenied {
		t.Errorf("the intruder: %s", got)
	}
}
