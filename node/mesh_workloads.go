package node

import (
	"context"
	"net"
	"os"

	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/mesh/control"
)

// serveWorkloads offers the SPIFFE Workload API to programs of this machine, which has joined. takeOver replaces the
// socket of the process before.
func (n *MeshNode) serveWorkloads(life context.Context, takeOver bool) error {
	if n.config.WorkloadSocket == "" {
		return nil
	}
	agent, err := control.NewAgent(n.member)
	if err != nil {
		return err
	}
	listen := listenUnix
	if takeOver {
		listen = replaceUnix
	}
	var l net.Listener
	if l, err = listen("unix", n.config.WorkloadSocket, 0o666); err != nil { // the kernel says who they are
		return err
	}
	n.workloadAPI = grpc.NewServer(grpc.Creds(control.UnixCredentials()))
	agent.Register(n.workloadAPI)
	n.running.Go(func() { agent.Run(life) })
	n.running.Go(func() {
		if err := n.workloadAPI.Serve(l); err != nil {
			n.log.Error("the Workload API is served no more", "error", err)
		}
	})
	return nil
}

// closeWorkloads ends the Workload API. Clients come again, to a process that has taken over or to none.
func (n *MeshNode) closeWorkloads(taken bool) {
	if n.workloadAPI == nil {
		return
	}
	n.workloadAPI.Stop()
	if !taken {
		_ = os.Remove(n.config.WorkloadSocket) // nobody answers there any more
	}
}
