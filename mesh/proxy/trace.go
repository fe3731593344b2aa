package proxy

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// traceLen is the length of a traceparent of version 00 (W3C Trace Context, 3.2).
const traceLen = 55

// trace takes the caller's traceparent unchanged: the proxy adds no span of its own, so that spans keep their parents.
// Where there is none, or one that is malformed, it starts a trace.
func trace(buf *[traceLen]byte, req *h1.Request) (value []byte, fresh bool) {
	if v := req.Get(h1.TraceParent); validTrace(v) && !req.Repeated(h1.TraceParent) {
		return append(buf[:0], v[:min(len(v), traceLen)]...), false
	}
	var raw [24]byte
	for i := 0; i < len(raw); i += 8 {
		binary.LittleEndian.PutUint64(raw[i:], rand.Uint64()|1) //nolint:gosec // an id to search by; no part is zero
	}
	b := append(buf[:0], "00-"...)
	b = hex.AppendEncode(b, raw[:16])
	b = append(b, '-')
	b = hex.AppendEncode(b, raw[16:])
	return append(b, "-00"...), true
}

func validTrace(v []byte) bool {
	if len(v) < traceLen || v[2] != '-' || v[35] != '-' || v[52] != '-' || string(v[:2]) == "ff" {
		return false
	}
	if len(v) > traceLen && (string(v[:2]) == "00" || v[traceLen] != '-') {
		return false
	}
	return lowerHex(v[:2]) && lowerHex(v[3:35]) && lowerHex(v[36:52]) && lowerHex(v[53:55]) && !zeros(v[3:35]) && !zeros(v[36:52])
}

func lowerHex(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != '0' {
			return false
		}
	}
	return true
}
