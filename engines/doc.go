// Package engines starts, breaks and ends database servers on this machine's loopback, for tests, for qualifying an
// engine and for trying Sterling on a cluster: PostgreSQL and MariaDB as single servers, as a PostgreSQL trio with
// quorum replication, and as a Galera trio. It can kill a server (SIGKILL), stop it (SIGSTOP), cut it off from the
// others (Proxy) and bring it back.
//
// It never runs a database for production: no server of it listens beyond loopback, and the Supervisor of the
// PostgreSQL trio is an example that has one place of failure, itself. It never touches servers that it did not start,
// and it installs nothing: `tools/engines.sh install` does.
//
// Every server is a child of the calling process and dies with it, however that ends; folders of Options without Dir
// are removed then as well. So a test that panics leaves nothing behind.
//
// Start reading at StartPostgres; tests want package enginestest.
package engines
