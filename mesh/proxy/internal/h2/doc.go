// Package h2 carries messages over HTTP/2 (RFC 9113), in both roles: a [Conn] has streams, a [Stream] one request and its
// answer. Frames and header compression are golang.org/x/net's; connections, streams, flow control and every bound on what
// a peer may ask for are this package's own, because a proxy for money has to know what a library hides: whether a
// request that got no answer may have been acted on ([ErrRefused]), and what a peer costs.
//
// It never retries, never routes, never interprets a message beyond what RFC 9113 says is malformed, and never holds more
// of a stream's data than the window that it granted.
//
// Start reading at [Conn.Serve]; receive.go has the frames that come in, stream.go what a stream's owner calls, send.go
// the way out, bounds.go what a peer may cost.
package h2
