package h1

// Error says why a message is refused. Each is a package variable, so that callers compare with ==.
type Error struct {
	Status int    // of the answer to a client: 400, 408, 413, 414, 431, 501 or 505
	Reason string // for logs and the answer's body; never has bytes of the message
}

// Error implements error.
func (e *Error) Error() string { return "malformed HTTP/1.1 message: " + e.Reason }

// The reasons to refuse a message.
var (
	ErrBareLF        = &Error{400, "a line feed without its carriage return"}
	ErrBareCR        = &Error{400, "a carriage return without its line feed"}
	ErrStart         = &Error{400, "malformed start line"}
	ErrMethod        = &Error{400, "malformed method"}
	ErrTarget        = &Error{400, "malformed request target"}
	ErrTargetLong    = &Error{414, "request target too long"}
	ErrPath          = &Error{400, "ambiguous path: dot segments, encoded separators or malformed escapes"}
	ErrVersion       = &Error{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	ErrFold          = &Error{400, "folded header field"}
	ErrFieldName     = &Error{400, "malformed header field name"}
	ErrFieldValue    = &Error{400, "control character in a header field"}
	ErrHeadLarge     = &Error{431, "head too large"}
	ErrFieldsMany    = &Error{431, "too many header fields"}
	ErrHost          = &Error{400, "missing, repeated or malformed host"}
	ErrHostDiffers   = &Error{400, "the target's authority differs from the host"}
	ErrLength        = &Error{400, "malformed content length"}
	ErrLengthTwice   = &Error{400, "more than one content length"}
	ErrLengthCoding  = &Error{400, "both a content length and a transfer coding"}
	ErrCodingOld     = &Error{400, "a transfer coding in HTTP/1.0"}
	ErrCodingTwice   = &Error{400, "more than one transfer coding"}
	ErrCoding        = &Error{501, "a transfer coding other than chunked"}
	ErrConnectBody   = &Error{400, "CONNECT with a body"}
	ErrExpect        = &Error{417, "an expectation other than 100-continue"}
	ErrConnection    = &Error{400, "malformed connection header field"}
	ErrNominated     = &Error{400, "the connection header field names one that must reach the receiver"}
	ErrRepeated      = &Error{400, "repeated header field that may occur once"}
	ErrUpgrade       = &Error{400, "malformed upgrade"}
	ErrChunkSize     = &Error{400, "malformed chunk size"}
	ErrChunkLine     = &Error{400, "chunk extensions too long"}
	ErrChunkEnd      = &Error{400, "a chunk longer than its size"}
	ErrTrailer       = &Error{400, "a trailer field that belongs into the head"}
	ErrTrailersLarge = &Error{431, "trailers too large"}
	ErrStatus        = &Error{502, "malformed status line"}
)
