package cell

import (
	"context"
	"time"
)

// Leases says who should lead a cell that several nodes serve. It decides who tries to write, never who is right: that
// is the log's predecessor check. A store that several nodes can reach implements it by its own clock.
type Leases interface {
	// Lease takes the lease for a holder, or renews it, if nobody else has it, and says who has it now.
	Lease(ctx context.Context, r LeaseRequest) (Lease, error)
	// Leader says who has the lease now.
	Leader(ctx context.Context) (Lease, error)
	// Release gives the lease up if holder has it.
	Release(ctx context.Context, holder [16]byte) error
}

// LeaseRequest asks for the lease.
type LeaseRequest struct {
	Holder  [16]byte      // the asker's incarnation
	Address string        // where clients reach the holder's API, host:port, up to 255 bytes
	TTL     time.Duration // from the engine's now on, 100 ms to 10 min
}

// Lease is who leads, by the engine's clock.
type Lease struct {
	Holder    [16]byte // zero: nobody has it
	Address   string
	Remaining time.Duration // until it ends; 0: nobody has it
	Now       time.Time     // the engine's clock
	Held      bool          // by the asker; always false from Leader
}
