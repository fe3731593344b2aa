package sandbox_test

import (
	"errors"
	"testing"

	"github.com/sterlingrun/sterling/sandbox"
)

// TestAMachineRefusesWhatItCanNotEnforce: a policy for a kernel of its own that asks for more than that kernel does is no
// policy, though gVisor would take it.
func TestAMachineRefusesWhatItCanNotEnforce(t *testing.T) {
	policy := func(isolation, rest string) error {
		p, err := sandbox.Parse([]byte("{version: 1, name: a, isolation: " + isolation + ", root: {directory: /r}, command: [x], limits: {cpu: 1, memory: 512MiB, processes: 64}" + rest + "}"))
		if err != nil {
			t.Fatal(err)
		}
		p.Broker("/services")
		_, err = sandbox.Compile(p, sandbox.Site{ID: "a", Root: "/r", AuditSocket: "/s", Cgroup: "/c", Listen: "/l"})
		return err
	}
	if err := policy("own-kernel", ", network: {sockets: [{name: a, path: /b}]}"); err != nil {
		t.Errorf("what it can enforce: %v", err)
	}
	for _, rest := range []string{
		", network: {services: [orders]}", ", network: {egress: [{name: a, address: '127.0.0.1:5'}]}", ", network: {listen: [http]}",
		", syscalls: {deny: [ptrace]}", ", audit: {events: [file]}", ", mounts: [{source: /a, target: /b}]",
	} {
		if err := policy("own-kernel", rest); !errors.Is(err, sandbox.ErrRefused) {
			t.Errorf("a machine%s: %v", rest, err)
		}
		if err := policy("gvisor", rest); err != nil {
			t.Errorf("gVisor%s: %v", rest, err)
		}
	}
}
