package h1

// Carry makes a request of a call by a protocol that is not HTTP, so that it is judged and routed like any other: a
// method that no HTTP client has, a path that the caller has checked, and fields with names and values as they came. Of
// the known fields only those count that mean the same everywhere; the others are any application's own. An error is an
// *[Error].
func (req *Request) Carry(method string, path []byte, fields []Field, body Body) error {
	req.Method, req.Target, req.Path, req.Body = []byte(method), path, path, body
	req.Minor, req.Fields = 1, fields
	req.first, req.repeated = [knownCount]uint8{}, 0
	if len(fields) > MaxFields {
		return ErrFieldsMany
	}
	for i := range fields {
		k := Lookup(fields[i].Name)
		switch k {
		case IdempotencyKey, TraceParent, TraceState, Shadow, TimeoutMs, Peer:
		default:
			fields[i].Known = Other
			continue
		}
		if req.first[k] != 0 {
			return ErrRepeated // names that differ in case only
		}
		fields[i].Known, req.first[k] = k, uint8(i+1)
	}
	return nil
}
