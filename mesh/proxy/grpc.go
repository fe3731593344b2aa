package proxy

import (
	"bytes"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy/internal/h1"
)

// gRPC's status codes, as far as the proxy says them itself.
const (
	grpcUnknown            = 2
	grpcInvalidArgument    = 3
	grpcDeadlineExceeded   = 4
	grpcPermissionDenied   = 7
	grpcResourceExhausted  = 8
	grpcFailedPrecondition = 9
	grpcUnimplemented      = 12
	grpcUnavailable        = 14
)

// isGRPC tells whether a request is a gRPC call by its content type.
func isGRPC(req *h1.Request) bool {
	const media = "application/grpc"
	for i := range req.Fields {
		f := &req.Fields[i]
		if f.Known != h1.Other || len(f.Name) != len("content-type") || !bytes.EqualFold(f.Name, []byte("content-type")) {
			continue
		}
		v := f.Value
		return len(v) >= len(media) && bytes.EqualFold(v[:len(media)], []byte(media)) && (len(v) == len(media) || v[len(media)] == '+' || v[len(media)] == ';')
	}
	return false
}

// maxGRPCTimeout is longer than any route may take; what is beyond can't overflow.
const maxGRPCTimeout = 2 * maxTimeout

// parseGRPCTimeout reads a timeout: 1 to 8 digits and a unit (gRPC over HTTP2, Requests).
func parseGRPCTimeout(v []byte) (time.Duration, bool) {
	if len(v) < 2 || len(v) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v[:len(v)-1]), 10, 32)
	if err != nil {
		return 0, false
	}
	var unit time.Duration
	switch v[len(v)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	if n > uint64(maxGRPCTimeout/unit) {
		return maxGRPCTimeout, true
	}
	return time.Duration(n) * unit, true
}

// appendGRPCTimeout writes what is left, in microseconds where they fit into 8 digits. Never nothing: that would be
// over before it is sent.
func appendGRPCTimeout(b []byte, left time.Duration) []byte {
	if us := max(left.Microseconds(), 1); us < 100_000_000 {
		return append(strconv.AppendInt(b, us, 10), 'u')
	}
	return append(strconv.AppendInt(b, left.Milliseconds(), 10), 'm')
}

// grpcStatus finds the status of a call in an answer's trailers, or in its head where there are no messages.
func grpcStatus(fields []h1.Field) (code int, ok bool) {
	for i := range fields {
		if f := &fields[i]; len(f.Name) == len("grpc-status") && bytes.EqualFold(f.Name, []byte("grpc-status")) {
			n, err := strconv.ParseUint(string(f.Value), 10, 8)
			if err != nil || n > 16 {
				return grpcUnknown, true
			}
			return int(n), true
		}
	}
	return 0, false
}

// judgeGRPC notes how a call ended, for everything that counts failures: as the HTTP status that means the same.
func (x *exchange) judgeGRPC(resp *h1.Response, r *result) {
	if !x.grpc || resp.Status != 200 {
		return
	}
	code, ok := grpcStatus(resp.Body.Trailers)
	if !ok {
		if code, ok = grpcStatus(resp.Fields); !ok {
			code = grpcUnknown // an answer without a status is none
		}
	}
	x.code = code
	r.status = httpStatus(code)
	x.status = r.status
}

// httpStatus is the HTTP status that means the same as a gRPC status (google.rpc.Code).
func httpStatus(code int) int {
	return [...]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}[code]
}

// grpcCode is the gRPC status of a failure. UNAVAILABLE makes clients send a call again by themselves: only what no
// endpoint has seen is called so.
func (f *failure) grpcCode() int {
	switch f.status {
	case 400:
		return grpcInvalidArgument
	case 403:
		return grpcPermissionDenied
	case 404, 405, 501:
		return grpcUnimplemented
	case 413, 429, 431:
		return grpcResourceExhausted
	case 417:
		return grpcFailedPrecondition
	case 504:
		return grpcDeadlineExceeded
	case 503: // each of them is not-sent
		return grpcUnavailable
	}
	return grpcUnknown
}
