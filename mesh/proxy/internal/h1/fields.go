package h1

import "bytes"

// Known is a header field that the proxy acts on; Other is every other one.
type Known uint8

// The known fields. Those up to lastHop belong to one connection and are never forwarded as they came.
const (
	Other Known = iota
	Connection
	KeepAlive
	ProxyConnection
	ProxyAuthenticate
	ProxyAuthorization
	TE
	TransferEncoding
	Upgrade
	HTTP2Settings
	lastHop // of hop-by-hop fields

	Host
	ContentLength
	Expect
	Trailer
	Authorization
	Cookie
	IdempotencyKey // names the operation that a request asks for
	TraceParent    // W3C trace context
	TraceState
	Shadow      // X-Sterling-Shadow: the request is shadow traffic, whatever the value
	TimeoutMs   // X-Sterling-Timeout-Ms: what is left of the caller's time, in milliseconds
	Peer        // X-Sterling-Peer: the caller's identity as the last proxy saw it
	GRPCTimeout // Grpc-Timeout: the same for gRPC
	knownCount
)

// HopByHop tells whether the field belongs to one connection only.
func (k Known) HopByHop() bool { return k > Other && k < lastHop }

// endToEnd tells whether a sender may not have the field removed on its way by naming it in Connection.
func (k Known) endToEnd() bool { return k > lastHop }

// knownNames has the names in lower case, by their length: a length has at most three.
var knownNames = [22][]struct {
	name  string
	known Known
}{
	2:  {{"te", TE}},
	4:  {{"host", Host}},
	6:  {{"expect", Expect}, {"cookie", Cookie}},
	7:  {{"upgrade", Upgrade}, {"trailer", Trailer}},
	10: {{"connection", Connection}, {"keep-alive", KeepAlive}, {"tracestate", TraceState}},
	11: {{"traceparent", TraceParent}},
	12: {{"grpc-timeout", GRPCTimeout}},
	13: {{"authorization", Authorization}},
	14: {{"content-length", ContentLength}, {"http2-settings", HTTP2Settings}},
	15: {{"idempotency-key", IdempotencyKey}, {"x-sterling-peer", Peer}},
	16: {{"proxy-connection", ProxyConnection}},
	17: {{"transfer-encoding", TransferEncoding}, {"x-sterling-shadow", Shadow}},
	18: {{"proxy-authenticate", ProxyAuthenticate}},
	19: {{"proxy-authorization", ProxyAuthorization}},
	21: {{"x-sterling-timeout-ms", TimeoutMs}},
}

// Lookup tells which known field has this name, in any case.
func Lookup(name []byte) Known {
	if len(name) >= len(knownNames) {
		return Other
	}
	for _, k := range knownNames[len(name)] {
		if equalFold(name, k.name) {
			return k.known
		}
	}
	return Other
}

// Field is one header field: slices of the reader's buffer, valid until Done.
type Field struct {
	Name, Value []byte
	Known       Known
	Nominated   bool // Connection names it: it belongs to one connection only
}

// Forwarded tells whether a proxy passes the field on as it is. Framing is the sender's own on each connection.
func (f *Field) Forwarded() bool {
	return !f.Known.HopByHop() && !f.Nominated && f.Known != ContentLength
}

// parseFields reads the lines of b, each ended by CRLF and the last one empty, into fields.
func parseFields(b []byte, fields []Field) ([]Field, error) {
	for len(b) > 2 {
		if b[0] == ' ' || b[0] == '\t' {
			return nil, ErrFold
		}
		end := bytes.IndexByte(b, '\r')
		if end < 0 || end+1 >= len(b) || b[end+1] != '\n' {
			return nil, ErrBareCR
		}
		line := b[:end]
		b = b[end+2:]
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !all(line[:colon], &tokenByte) {
			return nil, ErrFieldName
		}
		value := trimSpace(line[colon+1:])
		if !fieldValue(value) {
			return nil, ErrFieldValue
		}
		if len(fields) == MaxFields {
			return nil, ErrFieldsMany
		}
		fields = append(fields, Field{Name: line[:colon], Value: value, Known: Lookup(line[:colon])})
	}
	return fields, nil
}

// nextToken cuts the first element off a comma-separated list.
func nextToken(list []byte) (token, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trimSpace(list[:i]), list[i+1:]
	}
	return trimSpace(list), nil
}
