// Package api serves the ledger to its clients: gRPC, gRPC-Web and JSON over HTTP
// POST on one port. Every call is authenticated, authorised by role, decoded,
// handed to the cell or the index, and its answer encoded.
//
// It decides nothing about money: faults of single events come back from the cell
// as statuses. It opens no listener and no file of its own, and never answers
// before the cell says that the outcome is durable.
//
// A connection is split by its first bytes: HTTP/2's preface goes to grpc-go,
// anything else to net/http (split.go). The calls that carry load are decoded
// straight into records (hot.go, internal/codec); the others are plain messages
// (queries.go, controls.go, admin.go). Start reading at [New] and [Server.Serve].
package api
