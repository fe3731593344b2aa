// Package sim runs a cell with its log, its disk and its clock in one goroutine, with faults of all of them, and
// checks what clients were told against what the journal holds. A seed decides everything that happens, so a failing
// seed replays exactly: STERLING_SEED=n go test ./sim -run TestSeeds -v prints it event by event.
//
// It never decides what is right by asking the code under test: model.go computes balances and outcomes again from the
// journal's records, audit.go compares. Start reading at Run (run.go), then the faults: log.go (a database that loses,
// delays and doubles appends, and a second writer), disk.go (torn and unsynced writes), clock.go.
package sim
