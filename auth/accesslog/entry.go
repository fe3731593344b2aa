package accesslog

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sterlingrun/sterling/auth"
)

// Entry is what is written of one call.
type Entry struct {
	Method    string // CreateTransfers
	Control   bool   // it steers the ledger
	Principal *auth.Principal
	Peer      string // address of the other end, host:port
	RequestID string // as the client sent it; one that is not 1 to 64 printable ASCII characters is replaced
	Events    int    // accounts, transfers and ids of the call
	// Code is "ok" or the code that the call as a whole ended with.
	Code    string
	Refused bool // who called could not be told, or may not do this
	// Created, Exists and Rejected count the events by their statuses.
	Created, Exists, Rejected int
	Duration                  time.Duration
}

const (
	maxRequestID = 64
	maxText      = 256 // bytes of a name or an address
)

// phases of a control's lines.
const (
	phaseNone = ""
	phaseOpen = "begin"
	phaseDone = "end"
)

// appendLine appends an entry as JSON by hand: a line is written for every call.
func (e *Entry) appendLine(dst []byte, now time.Time, phase, fallbackID string, suppressed uint64) []byte {
	dst = append(dst, `{"time":"`...)
	dst = now.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	if phase != phaseNone {
		dst = append(dst, `,"phase":"`...)
		dst = append(dst, phase...)
		dst = append(dst, '"')
	}
	id := e.RequestID
	if !goodRequestID(id) {
		id = fallbackID
	}
	dst = appendText(dst, `,"request":`, id)
	if p := e.Principal; p != nil && p.Role != 0 {
		dst = append(dst, `,"actor":"`...)
		dst = hex.AppendEncode(dst, p.ID[:])
		dst = appendText(append(dst, '"'), `,"name":`, p.Name)
		dst = appendText(dst, `,"role":`, p.Role.String())
		dst = appendText(dst, `,"via":`, p.Via.String())
	} else {
		dst = append(dst, `,"via":"none"`...)
	}
	dst = appendText(dst, `,"peer":`, e.Peer)
	dst = appendText(dst, `,"method":`, e.Method)
	if e.Events > 0 {
		dst = appendCount(dst, `,"events":`, e.Events)
	}
	if phase != phaseOpen {
		dst = appendText(dst, `,"code":`, e.Code)
		if e.Created > 0 {
			dst = appendCount(dst, `,"created":`, e.Created)
		}
		if e.Exists > 0 {
			dst = appendCount(dst, `,"exists":`, e.Exists)
		}
		if e.Rejected > 0 {
			dst = appendCount(dst, `,"rejected":`, e.Rejected)
		}
		dst = append(dst, `,"micros":`...)
		dst = strconv.AppendInt(dst, e.Duration.Microseconds(), 10)
	}
	if suppressed > 0 {
		dst = append(dst, `,"suppressed":`...)
		dst = strconv.AppendUint(dst, suppressed, 10)
	}
	return append(dst, '}', '\n')
}

func goodRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

func appendCount(dst []byte, key string, n int) []byte {
	return strconv.AppendInt(append(dst, key...), int64(n), 10)
}

// appendText appends a key and a JSON string, cut where it is too long.
func appendText(dst []byte, key, text string) []byte {
	dst = append(append(dst, key...), '"')
	text = text[:min(len(text), maxText)]
	begin := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c <= '~' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, text[begin:i]...)
		size := 1
		if c == '"' || c == '\\' {
			dst = append(dst, '\\', c)
		} else {
			var r rune
			r, size = utf8.DecodeRuneInString(text[i:])
			dst = appendRune(dst, r)
		}
		i += size
		begin = i
	}
	dst = append(dst, text[begin:]...)
	return append(dst, '"')
}

// appendRune appends what is not plain ASCII: controls escaped, the rest as it
// is; a byte that is no text becomes the replacement character.
func appendRune(dst []byte, r rune) []byte {
	if r < ' ' || r == 0x7f {
		const digits = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(dst, r)
}
