// Package isolation plays concrete schedules of two sessions on an SQL engine and tells which anomalies it lets
// happen at which level: dirty reads, circular information flow (G1c), lost updates, read skew, write skew (Adya's
// classes, as the "hermitage" collections of schedules play them). It also lets sessions contend for unique keys.
//
// Which of them an engine must exclude follows from what Sterling does: see Anomalies. The others are noted, because
// whoever writes SQL beside the ledger has to know them.
//
// Start reading at Anomalies (anomalies.go), then Run (run.go) and stage.go.
package isolation
