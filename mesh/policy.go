package mesh

import "time"

// Fault makes a share of the requests fail on purpose, before anything of them is sent. The zero value makes none.
type Fault struct {
	AbortPercent, AbortStatus uint32 // answered with an HTTP status, 400 to 599; gRPC's clients get the code that means the same
	DelayPercent              uint32
	Delay                     time.Duration
}

// Rate is how many requests of a rule each of its callers' data planes lets through; more are refused at once.
type Rate struct {
	PerSecond uint32 // 0: any number
	Burst     uint32 // at once, after a silence
}

// Follow is where the bundle of another trust domain is published (SPIFFE Trust Domain and Bundle, 5).
type Follow struct {
	URL string // https; empty: nowhere
	// ID is who answers there, by a certificate of that domain (profile https_spiffe). Empty: whoever has a certificate
	// for the name in URL that the machine trusts (https_web).
	ID string
}
