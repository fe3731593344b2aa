package gvisor

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/sterlingrun/sterling/sandbox"
)

// eventFields gives rules the fields of one event. Unlike the record it has texts as a whole. Used again and again; the
// message is not kept beyond the next read.
type eventFields struct {
	point                    *point
	own, context, user, exit slots
	cut                      bool // a list is longer than maxTexts
}

var _ sandbox.Fields = (*eventFields)(nil)

// read takes an event apart that appendEvent has accepted.
func (f *eventFields) read(kind uint16, payload []byte) error {
	p, ok := points[kind]
	if !ok {
		return errMessage
	}
	f.point, f.cut = p, false
	for _, s := range []*slots{&f.own, &f.context, &f.exit, &f.user} {
		s.reset()
	}
	var e eventWriter
	err := e.read(&f.own, &p.fields, payload)
	for i := range f.own {
		if err == nil && f.own[i].seen && p.fields[i].kind == kindMessage {
			switch p.fields[i].name {
			case "context":
				err = e.read(&f.context, &contextFields, f.own[i].bytes)
			case "exit":
				err = e.read(&f.exit, p.fields[i].of, f.own[i].bytes)
			}
		}
	}
	if err == nil {
		err = e.read(&f.user, contextFields[contextUser].of, f.context[contextUser].bytes)
	}
	f.cut = e.cut
	return err
}

// Field implements sandbox.Fields.
func (f *eventFields) Field(name string) (any, error) {
	if name == sandbox.FieldTarget {
		return f.target()
	}
	if v, ok, err := f.value(&f.point.fields, &f.own, name); ok {
		return v, err
	}
	if v, ok, err := f.value(&exitFields, &f.exit, name); ok {
		return v, err
	}
	switch name { // rights are what counts
	case "uid":
		name = "euid"
	case "gid":
		name = "egid"
	}
	if v, ok, err := f.value(&contextFields, &f.context, name); ok {
		return v, err
	}
	if v, ok, err := f.value(contextFields[contextUser].of, &f.user, name); ok {
		return v, err
	}
	return nil, fmt.Errorf("%s events have no such field", f.point.name)
}

// value returns a field of a table by its name; one that the message does not have is zero.
func (f *eventFields) value(known *fields, s *slots, name string) (v any, ok bool, err error) {
	for i := range known {
		if known[i].name != name {
			continue
		}
		switch one := &s[i]; known[i].kind {
		case kindInt:
			return one.int(), true, nil
		case kindUint:
			if one.number > math.MaxInt64 {
				return nil, true, errors.New("a number beyond 63 bits")
			}
			return one.int(), true, nil
		case kindBool:
			return one.number != 0, true, nil
		case kindText:
			return text(one.bytes), true, nil
		case kindTexts:
			if f.cut {
				return nil, true, fmt.Errorf("a list of more than %d texts", maxTexts)
			}
			list := make([]string, len(one.list))
			for i, b := range one.list {
				list[i] = text(b)
			}
			return list, true, nil
		case kindHex:
			return hex.EncodeToString(one.bytes), true, nil
		case kindAddress:
			return text([]byte(address(one.bytes))), true, nil
		}
	}
	return nil, false, nil
}

func text(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// atWorkingFolder is Linux's AT_FDCWD.
const atWorkingFolder = -100

// target is the path of the event made absolute: from the folder that a descriptor stands for, or the working folder.
func (f *eventFields) target() (any, error) {
	get := func(name string) string {
		v, _ := f.Field(name)
		s, _ := v.(string)
		return s
	}
	name, base := get("path"), get("folder")
	if fd, ok, _ := f.value(&f.point.fields, &f.own, "fd"); ok && fd != int64(atWorkingFolder) {
		base = get("fd_path")
		if f.point.name == "chdir" { // fchdir, which has no path: what stands there is whatever was in a register
			name = ""
		}
	}
	if path.IsAbs(name) {
		return path.Clean(name), nil
	}
	if !path.IsAbs(base) {
		return nil, fmt.Errorf("a path from a folder that is not known: %.100q", name)
	}
	return path.Join(base, name), nil
}
