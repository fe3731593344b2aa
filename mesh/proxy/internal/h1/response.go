package h1

import "bytes"

// Response is the head of a response. Its slices are the reader's: valid until Done.
type Response struct {
	Head
	Status int // 100 to 599
	Reason []byte
	Body   Body
	// UpgradeTo is the protocol that a 101 (Switching Protocols) goes on with.
	UpgradeTo []byte
}

// Interim tells whether another response to the same request follows.
func (resp *Response) Interim() bool { return resp.Status < 200 && resp.Status != 101 }

// Response reads the head of the answer to a request of the given method; ok is false while more bytes are needed. An
// error is an *[Error]; to the client it is a bad gateway.
func (r *Reader) Response(resp *Response, method []byte) (ok bool, err error) {
	b, err := r.head()
	if b == nil || err != nil {
		return false, err
	}
	start := bytes.IndexByte(b, '\n') + 1
	if err := resp.startLine(b[:start-2]); err != nil {
		return false, err
	}
	if err := resp.parse(b[start:]); err != nil {
		return false, err
	}
	if resp.Body, err = resp.framing(); err != nil {
		return false, err
	}
	resp.Body.r = r
	resp.UpgradeTo = nil
	switch {
	case resp.Status == 101:
		resp.Body.Kind, resp.UpgradeTo = None, resp.Get(Upgrade)
	case resp.Status < 200, resp.Status == 204:
		// A body that must not be there would be taken for the next answer.
		resp.Close = resp.Close || resp.Body.Kind == Chunked || resp.Body.Left() > 0
		resp.Body.Kind = None
	case resp.Status == 304, string(method) == "HEAD",
		string(method) == "CONNECT" && resp.Status < 300:
		resp.Body.Kind = None
	case resp.Body.Kind == None:
		resp.Body.Kind, resp.Close = UntilClose, true
	}
	return true, nil
}

// startLine reads VERSION SP STATUS [SP REASON].
func (resp *Response) startLine(line []byte) error {
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return ErrStatus
	}
	if line[7] != '0' && line[7] != '1' {
		return ErrStatus
	}
	n, ok := decimal(line[9:12])
	if !ok || n < 100 || n > 599 {
		return ErrStatus
	}
	resp.Minor, resp.Status, resp.Reason = int(line[7]-'0'), int(n), line[min(len(line), 13):]
	if !fieldValue(resp.Reason) {
		return ErrStatus
	}
	return nil
}
