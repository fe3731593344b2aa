package h1

import "bytes"

// Request is the head of a request. Its slices are the reader's: valid until Done.
type Request struct {
	Head
	Method []byte
	Target []byte // in origin form, or * for OPTIONS; for CONNECT host:port
	Path   []byte // of Target, without its query; free of dot segments and encoded separators
	Host   []byte // with its port, if any; empty only in HTTP/1.0
	Body   Body
	// Expects: the client waits for 100 (Continue) before it sends the body.
	Expects bool
	// UpgradeTo is the protocol that the client wants to go on with, nil if none.
	UpgradeTo []byte
}

// Request reads a head into req; ok is false while more bytes are needed. An error is an *[Error].
func (r *Reader) Request(req *Request) (ok bool, err error) {
	b, err := r.head()
	if b == nil || err != nil {
		return false, err
	}
	start := bytes.IndexByte(b, '\n') + 1
	authority, err := req.startLine(b[:start-2])
	if err != nil {
		return false, err
	}
	if err := req.parse(b[start:]); err != nil {
		return false, err
	}
	if err := req.judgeHost(authority); err != nil {
		return false, err
	}
	if req.Body, err = req.framing(); err != nil {
		return false, err
	}
	req.Body.r = r
	return true, req.judge()
}

// startLine reads METHOD SP TARGET SP VERSION. A target in absolute form is cut to its origin form.
func (req *Request) startLine(line []byte) (authority []byte, err error) {
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i < 0 || i == j {
		return nil, ErrStart
	}
	version := line[j+1:]
	if len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/")) || version[6] != '.' {
		return nil, ErrStart
	}
	if version[5] != '1' || version[7] != '0' && version[7] != '1' {
		return nil, ErrVersion
	}
	req.Minor = int(version[7] - '0')
	req.Method, req.Target = line[:i], line[i+1:j]
	if len(req.Method) > 32 || !all(req.Method, &tokenByte) {
		return nil, ErrMethod
	}
	if len(req.Target) > MaxTarget {
		return nil, ErrTargetLong
	}
	if !all(req.Target, &targetByte) {
		return nil, ErrTarget
	}
	return req.target()
}

// target splits the request target by its form.
func (req *Request) target() (authority []byte, err error) {
	connect := string(req.Method) == "CONNECT"
	switch t := req.Target; {
	case connect:
		if port := bytes.LastIndexByte(t, ':'); port < 1 || port == len(t)-1 || !validHost(t) {
			return nil, ErrTarget
		}
		req.Path = nil
		return t, nil
	case len(t) == 1 && t[0] == '*':
		if string(req.Method) != "OPTIONS" {
			return nil, ErrTarget
		}
		req.Path = t
		return nil, nil
	case t[0] != '/':
		var rest []byte
		switch {
		case len(t) > 7 && equalFold(t[:7], "http://"):
			rest = t[7:]
		case len(t) > 8 && equalFold(t[:8], "https://"):
			rest = t[8:]
		default:
			return nil, ErrTarget
		}
		slash := bytes.IndexByte(rest, '/')
		if slash < 1 {
			return nil, ErrTarget // a proxy's client can spell the path
		}
		authority, req.Target = rest[:slash], rest[slash:]
	}
	req.Path = req.Target
	if q := bytes.IndexByte(req.Target, '?'); q >= 0 {
		req.Path = req.Target[:q]
	}
	if !plainPath(req.Path) {
		return nil, ErrPath
	}
	return authority, nil
}

// plainPath tells whether everyone who reads the path sees the same segments: routes and permissions hang on it.
func plainPath(path []byte) bool {
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '%':
			if i+2 >= len(path) {
				return false
			}
			hi, ok1 := hexDigit(path[i+1])
			lo, ok2 := hexDigit(path[i+2])
			if !ok1 || !ok2 {
				return false
			}
			switch c := hi<<4 | lo; {
			case c == '/', c == '\\', c == '.', c < 0x20, c == 0x7f:
				return false
			}
		case '/':
			rest := path[i+1:]
			if len(rest) > 0 && rest[0] == '.' {
				if len(rest) == 1 || rest[1] == '/' || rest[1] == ';' || rest[1] == '.' && (len(rest) == 2 || rest[2] == '/' || rest[2] == ';') {
					return false
				}
			}
		}
	}
	return true
}

// judgeHost wants one valid host, and the same one that an absolute target has.
func (req *Request) judgeHost(authority []byte) error {
	req.Host = req.Get(Host)
	if req.Repeated(Host) || !req.Has(Host) && req.Minor == 1 || len(req.Host) > 0 && !validHost(req.Host) || len(req.Host) == 0 && req.Minor == 1 {
		return ErrHost
	}
	if authority == nil {
		return nil
	}
	if !validHost(authority) {
		return ErrTarget
	}
	if len(req.Host) > 0 && !bytes.EqualFold(authority, req.Host) {
		return ErrHostDiffers
	}
	req.Host = authority
	return nil
}

// validHost takes a name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
func validHost(b []byte) bool {
	if len(b) == 0 || len(b) > 261 {
		return false
	}
	rest := b
	if b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 3 {
			return false
		}
		for _, c := range b[1:end] {
			if _, hex := hexDigit(c); !hex && c != ':' && c != '.' {
				return false
			}
		}
		rest = b[end+1:]
	} else {
		end := bytes.IndexByte(b, ':')
		if end < 0 {
			end = len(b)
		}
		if !all(b[:end], &hostByte) {
			return false
		}
		rest = b[end:]
	}
	if len(rest) == 0 {
		return true
	}
	port, ok := decimal(rest[1:])
	return rest[0] == ':' && ok && port <= 65535
}

// judge looks at the fields that ask for something special.
func (req *Request) judge() error {
	for _, k := range [...]Known{IdempotencyKey, TimeoutMs, Authorization, Expect} {
		if req.Repeated(k) {
			return ErrRepeated
		}
	}
	if string(req.Method) == "CONNECT" && req.Body.Kind != None {
		return ErrConnectBody
	}
	req.Expects = false
	if req.Has(Expect) {
		if !equalFold(req.Get(Expect), "100-continue") {
			return ErrExpect
		}
		req.Expects = req.Minor == 1 && req.Body.Kind != None
	}
	req.UpgradeTo = nil
	if req.upgrading && req.Has(Upgrade) && req.Minor == 1 {
		if req.Repeated(Upgrade) || !all(req.Get(Upgrade), &upgradeByte) {
			return ErrUpgrade
		}
		req.UpgradeTo = req.Get(Upgrade)
	}
	return nil
}
