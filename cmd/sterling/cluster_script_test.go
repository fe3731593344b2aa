package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/engines/enginestest"
)

// TestClusterScripts runs ledgers of several cells end to end, each on a PostgreSQL database of its own, $DSN. Besides
// exits and eventually, scripts have:
//
//	cluster NAME [FLAG…]        start `sterling cluster dev`, wait until it is ready; its folder is NAME, its output
//	                            NAME.out; $NAME_1, $NAME_2 … are the nodes of each cell
//	end NAME                    interrupt it and wait: it must end well, and all its nodes with it
//	crash NAME                  SIGKILL: all its nodes must end with it
//	kill-leader NAME CELL       SIGKILL the node that leads a cell
//	pay-across NAME COUNT CELL  payments between the cells, meanwhile kill-leader; see payAcross
//	pay-moving NAME COUNT CELL  payments between the cells while a bucket moves, and kill-leader; see payMoving
func TestClusterScripts(t *testing.T) {
	t.Parallel()
	enginestest.Postgres(t) // where it is missing, the test is skipped here
	clusterScripts(t, testscript.Params{Dir: "testdata/cluster"}, func(t testing.TB) string { return enginestest.Postgres(t).DSN() })
}

// TestClusterOnMariaDB pays between cells whose journals are in the other family of engines.
func TestClusterOnMariaDB(t *testing.T) {
	t.Parallel()
	enginestest.MariaDB(t)
	clusterScripts(t, testscript.Params{Files: []string{"testdata/cluster/pay.txtar"}}, func(t testing.TB) string {
		return "mysql://" + strings.NewReplacer("@tcp(", "@", ")/", "/").Replace(enginestest.MariaDB(t).DSN())
	})
}

func clusterScripts(t *testing.T, p testscript.Params, database func(testing.TB) string) {
	t.Helper()
	p.Cmds = map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"cluster": startCluster, "end": endCluster, "crash": crashCluster, "kill-leader": killLeader, "pay-across": payAcross, "pay-moving": payMoving, "exits": exits, "eventually": eventually,
	}
	p.Setup = func(env *testscript.Env) error {
		env.Setenv("TMPDIR", os.TempDir()) // servers that a script starts run as a user who may not enter the script's own
		env.Setenv("DSN", database(env.T().(testing.TB)))
		servers := map[string]*server{}
		env.Values[serversKey{}] = servers
		env.Defer(func() {
			for _, s := range servers {
				_ = s.stop(syscall.SIGKILL) // it may have ended already
			}
		})
		return nil
	}
	testscript.Run(t, p)
}

func startCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: cluster NAME [FLAG…]")
	}
	out, err := os.OpenFile(ts.MkAbs(args[0]+".out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	ts.Check(err)
	binary, err := exec.LookPath("sterling")
	ts.Check(err)
	s := &server{cmd: exec.Command(binary, append([]string{"cluster", "dev", "--data", args[0]}, args[1:]...)...), ended: make(chan struct{})}
	s.cmd.Dir, s.cmd.Stderr = ts.MkAbs("."), out
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name))
	}
	stdout, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	serversOf(ts)[args[0]] = s
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		line, _ := lines.ReadString('\n')
		ready <- line
		_, _ = io.Copy(out, lines)
		s.err = s.cmd.Wait()
		_ = out.Close()
		close(s.ended)
	}()
	select {
	case line := <-ready:
		if !strings.Contains(line, "cells are ready") {
			<-s.ended
			ts.Fatalf("sterling cluster dev: %q, %v\n%s", line, s.err, ts.ReadFile(args[0]+".out"))
		}
	case <-time.After(startTime):
		ts.Fatalf("sterling cluster dev was not ready within %v\n%s", startTime, ts.ReadFile(args[0]+".out"))
	}
	nodes := map[string][]string{}
	for _, n := range clusterState(ts, args[0]).Nodes {
		name := args[0] + "_" + string(rune('0'+n.Cell))
		nodes[name] = append(nodes[name], n.Address)
	}
	for name, list := range nodes {
		ts.Setenv(name, strings.Join(list, ","))
	}
}

func clusterState(ts *testscript.TestScript, name string) devcluster.State {
	state, err := devcluster.Read(ts.MkAbs(name))
	ts.Check(err)
	return state
}

func endCluster(ts *testscript.TestScript, neg bool, args []string) {
	s := theServer(ts, neg, args)
	nodes := clusterState(ts, args[0]).Nodes
	if err := s.stop(os.Interrupt); err != nil {
		ts.Fatalf("sterling cluster dev ended with %v\n%s", err, ts.ReadFile(args[0]+".out"))
	}
	wantGone(ts, nodes)
}

func crashCluster(ts *testscript.TestScript, neg bool, args []string) {
	s := theServer(ts, neg, args)
	nodes := clusterState(ts, args[0]).Nodes
	_ = s.stop(syscall.SIGKILL)
	wantGone(ts, nodes)
}

// wantGone waits for processes to end that nobody tells to.
func wantGone(ts *testscript.TestScript, nodes []devcluster.Node) {
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, n := range nodes {
		for runs(n.PID) {
			select {
			case <-tick.C:
			case <-deadline:
				ts.Fatalf("node %d of cell %d, process %d, is still there", n.Number, n.Cell, n.PID)
			}
		}
	}
}

// runs tells whether a process has not ended. Where nobody waits for orphans, one that has ended is still listed.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	state := stat[bytes.LastIndexByte(stat, ')')+1:]
	return err == nil && !bytes.HasPrefix(state, []byte(" Z"))
}

// killLeader finds who leads by the command, and kills the process that it names.
func killLeader(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: kill-leader NAME CELL")
	}
	ts.Check(ts.Exec("sterling", "cluster", "status", "--data", args[0], "--output", "json"))
	var list []clusterNode
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, n := range list {
		if string(rune('0'+n.Cell)) == args[1] && n.Role == "leader" {
			ts.Check(syscall.Kill(n.PID, syscall.SIGKILL))
			return
		}
	}
	ts.Fatalf("nobody leads cell %s: %+v", args[1], list)
}
