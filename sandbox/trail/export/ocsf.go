package export

import (
	"net/netip"
	"path"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// ocsfVersion is the version of the schema whose classes these are: https://schema.ocsf.io/1.3.0
const ocsfVersion = "1.3.0"

// Classes and activities of OCSF. A class's category is its number by the thousand.
const (
	ocsfBase      = 0
	ocsfFile      = 1001
	ocsfModule    = 1005
	ocsfProcess   = 1007
	ocsfFinding   = 2004
	ocsfNetwork   = 4001
	ocsfLifecycle = 6002

	activityOther = 99
)

type ocsfKind struct{ class, activity int }

// ocsfEvents are the classes of events by their point. A point that has none is a base event.
var ocsfEvents = map[string]ocsfKind{
	"start": {ocsfProcess, 1}, "exec": {ocsfProcess, 1}, "clone": {ocsfProcess, 1}, "exit": {ocsfProcess, 2},
	"ptrace": {ocsfProcess, 3}, "setid": {ocsfProcess, 5}, "setresid": {ocsfProcess, 5},
	"open": {ocsfFile, 14}, "chdir": {ocsfFile, activityOther}, "chroot": {ocsfFile, activityOther},
	"map":     {ocsfModule, 1},
	"connect": {ocsfNetwork, 1}, "accept": {ocsfNetwork, 1}, "listen": {ocsfNetwork, 7}, "bind": {ocsfNetwork, activityOther},
}

func (l *line) ocsf() ocsfKind {
	switch l.Kind {
	case trail.KindEvent:
		k, ok := ocsfEvents[l.Point]
		if !ok {
			return ocsfKind{ocsfBase, activityOther}
		}
		if k.class == ocsfNetwork && l.Point == "connect" && l.failed() {
			k.activity = 4 // Fail
		}
		return k
	case trail.KindBegin:
		return ocsfKind{ocsfLifecycle, 3}
	case trail.KindEnd:
		return ocsfKind{ocsfLifecycle, 4}
	case trail.KindGap, trail.KindAlert:
		return ocsfKind{ocsfFinding, 1}
	}
	return ocsfKind{ocsfBase, activityOther}
}

// object is one of OCSF's.
type object = map[string]any

func ocsfLine(dst []byte, l *line) ([]byte, error) {
	k := l.ocsf()
	o := object{
		"class_uid": k.class, "category_uid": k.class / 1000, "activity_id": k.activity, "type_uid": k.class*100 + k.activity,
		"time": l.at() / 1e6, "severity_id": l.gravity(), "message": cut(l.message(), 4096),
		"metadata": object{
			"version": ocsfVersion, "uid": l.Hash.String(), "sequence": l.Seq, "correlation_uid": l.first.String(),
			"product":     object{"name": "sterling-sandbox", "vendor_name": "Sterling"},
			"logged_time": l.Time / 1e6,
		},
		"unmapped": object{"kind": l.Kind, "body": l.Body},
	}
	device := object{"type_id": activityOther, "type": "sandbox", "hostname": l.begin.Sandbox, "name": l.begin.Sandbox}
	if k.class != ocsfLifecycle && k.class != ocsfFinding {
		o["device"] = device
	}
	if k.activity == activityOther {
		o["activity_name"] = l.name()
	}
	switch l.Kind {
	case trail.KindEvent:
		l.ocsfEvent(k.class, o)
	case trail.KindBegin, trail.KindEnd:
		o["app"] = object{"name": l.begin.Sandbox, "vendor_name": "Sterling", "uid": l.begin.Policy}
	case trail.KindGap:
		o["finding_info"] = object{"uid": l.Hash.String(), "title": "gap: " + l.gap.Reason, "desc": l.gap.Detail}
		o["resources"] = []object{{"name": l.begin.Sandbox, "type": "sandbox"}}
	case trail.KindAlert:
		o["finding_info"] = object{
			"uid": l.Hash.String(), "title": l.alert.Rule, "desc": l.message(), "analytic": object{"name": l.alert.Rule, "type_id": 1},
		}
		o["is_alert"] = true
		o["resources"] = []object{{"name": l.begin.Sandbox, "type": "sandbox"}}
	}
	return appendJSON(dst, o)
}

func (l *line) ocsfEvent(class int, o object) {
	actor := object{
		"pid": l.Context.Process, "name": l.Context.Command, "user": object{"uid": number(l.Context.User.EUID)},
		"parent_process": object{"pid": l.Context.Parent},
	}
	o["actor"] = object{"process": actor}
	if l.Exit != nil {
		o["status_id"] = 1
		if l.failed() {
			o["status_id"], o["status_code"] = 2, number(l.Exit.Errno)
		}
	}
	file := object{"name": path.Base(l.Path), "path": l.Path, "type_id": 1}
	if l.SHA256 != "" {
		file["hashes"] = []object{{"algorithm_id": 3, "value": l.SHA256}} // SHA-256
	}
	switch class {
	case ocsfProcess:
		process := object{"pid": l.Context.Process, "name": l.Context.Command}
		switch l.Point {
		case "clone":
			process["pid"] = l.NewProcess
		case "exec":
			process["file"], process["name"] = file, path.Base(l.Path)
			process["cmd_line"] = joined(l.Argv)
		case "exit":
			o["exit_code"] = l.Status
		}
		o["process"] = process
	case ocsfFile:
		o["file"] = file
	case ocsfModule:
		o["module"] = object{"file": file}
	case ocsfNetwork:
		end := object{"name": l.Address}
		if at, err := netip.ParseAddrPort(l.Address); err == nil {
			end = object{"ip": at.Addr().String(), "port": at.Port()}
		}
		side := "dst_endpoint"
		if l.Point == "accept" {
			side = "src_endpoint"
		}
		o[side] = end
	}
}
