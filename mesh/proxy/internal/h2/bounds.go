package h2

import "time"

// Bounds of a connection. A peer that goes beyond them loses the stream or the connection.
const (
	MaxStreams  = 100       // of a client at a time
	MaxList     = 32 << 10  // bytes of a header list as RFC 9113 (6.5.2) counts them; 431 beyond
	MaxFields   = 128       // of a header list
	maxTable    = 4 << 10   // bytes of a compression table, whatever the peer offers
	maxBlock    = 64 << 10  // bytes of a header block on the wire
	maxPieces   = 16        // frames of a header block: an endless row of them is an attack (VU#421644)
	maxInterim  = 8         // 1xx answers that wait to be read
	maxFrame    = 16 << 10  // bytes of a frame, either way
	maxPending  = 256 << 10 // bytes that wait to be written, beyond which no data is added
	maxUnsaid   = 4 << 20   // and beyond which nothing is read: a peer that asks for answers and takes none
	slackOfDone = 28        // streams whose end the client may have seen before their owner has finished

	// streamWindow is what a stream holds that its owner has not taken yet. A client's connection holds at most
	// serverWindow. One to an endpoint is shared by clients that know nothing of each other: there, a stream that nobody
	// reads must not hold up the others, so that the connection has room for all.
	streamWindow = 64<<10 - 1
	serverWindow = 1 << 20
	clientWindow = MaxStreams * streamWindow

	headTime     = 10 * time.Second      // for a header block, and for a peer to say its preface
	writeTime    = 30 * time.Second      // for a peer to take something of what is written
	drainTime    = time.Second           // for a peer to learn that no more requests are taken
	farewellTime = time.Second           // to write why a connection ends
	rapid        = 50 * time.Millisecond // a request taken back sooner was hardly meant
)

// Prices of what a peer can make us do without ever asking for anything that ends (CVE-2019-9512 to 9518, CVE-2023-44487).
const (
	creditCap   = 2000
	creditStart = creditCap
	creditRate  = 100 // a second
	priceFrame  = 1   // PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE, empty DATA, unknown
	priceReset  = 20  // a request taken back at once, or beyond MaxStreams
	earnRequest = 20  // a request that was answered to its end
	bytesEarn   = 1 << 10
)

// credit is what a peer may still cost. Requests and data earn it, and time does.
type credit struct {
	left int64
	at   time.Time
}

// pay takes price and tells whether the peer could afford it.
func (p *credit) pay(price int64, now time.Time) bool {
	if more := int64(now.Sub(p.at) * creditRate / time.Second); more > 0 {
		p.earn(more)
		p.at = now
	}
	p.left -= price
	return p.left >= 0
}

func (p *credit) earn(n int64) { p.left = min(p.left+n, creditCap) }
