package engines

import (
	"context"
	"fmt"
	"net/url"
	"strings"
)

// NodeStatus is what can be said of one node of a trio, for a person to read.
type NodeStatus struct {
	Name string `json:"name"` // "n1" to "n3"
	Pid  int    `json:"pid"`  // 0: it does not run
	// State is "dead", "silent" (it runs, and does not answer), or what the node says of itself.
	State string `json:"state"`
	DSN   string `json:"dsn"` // through the proxy that Cut cuts; has the password
	Log   string `json:"log"` // its file
}

const (
	stateDead   = "dead"
	stateSilent = "silent"
)

// Status asks every node, as clients would; one that does not answer within a second is silent.
func (t *PostgresTrio) Status(ctx context.Context) []NodeStatus {
	var all []NodeStatus
	for i, n := range t.nodes {
		s := NodeStatus{Name: nodeName(i), Pid: n.Pid(), DSN: t.NodeDSN(i), Log: n.Log()}
		s.State = n.state(ctx, s.Pid)
		all = append(all, s)
	}
	return all
}

func (n *postgresNode) state(ctx context.Context, pid int) string {
	if pid == 0 {
		return stateDead
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var inRecovery bool
	var at, from, quorum string
	const question = `SELECT pg_is_in_recovery(), (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text,
		coalesce((SELECT status FROM pg_stat_wal_receiver), 'not streaming'),
		coalesce((SELECT string_agg(application_name || ' ' || state || ', ' || sync_state, '; ' ORDER BY application_name) FROM pg_stat_replication), 'no standby')`
	if err := n.ask(ctx, question, &inRecovery, &at, &from, &quorum); err != nil {
		return stateSilent
	}
	if inRecovery {
		return fmt.Sprintf("standby, %s, at %s", from, at)
	}
	return fmt.Sprintf("primary, at %s (%s)", at, quorum)
}

// DSN names all three nodes, as Sterling's store takes them: mysql://USER:PASSWORD@HOST:PORT,HOST:PORT,HOST:PORT/DATABASE.
// Drivers take one of DSNs.
func (t *GaleraTrio) DSN() string {
	var hosts []string
	for _, n := range t.nodes {
		hosts = append(hosts, n.front.Addr())
	}
	u := url.URL{Scheme: "mysql", User: url.UserPassword(superuser, t.nodes[0].password), Host: strings.Join(hosts, ","), Path: "/" + firstDatabase}
	return u.String()
}

// Status asks every node; one that does not answer in time is silent. Cut nodes are asked, too: behind the cut they know
// best what became of them.
func (t *GaleraTrio) Status(ctx context.Context) []NodeStatus {
	var all []NodeStatus
	for i, n := range t.nodes {
		s := NodeStatus{Name: nodeName(i), Pid: n.Pid(), State: stateDead, DSN: t.NodeDSN(i), Log: n.Log()}
		if s.Pid != 0 {
			s.State = stateSilent
			if w, err := n.wsrep(ctx); err == nil {
				s.State = fmt.Sprintf("%s, %s component of %s, at %s", strings.ToLower(w["wsrep_local_state_comment"]),
					strings.ToLower(w["wsrep_cluster_status"]), w["wsrep_cluster_size"], w["wsrep_last_committed"])
			}
		}
		all = append(all, s)
	}
	return all
}
