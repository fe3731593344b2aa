package export

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// cefGravity are CEF's severities, 0 to 10, of a gravity.
var cefGravity = [...]int{0, 1, 3, 5, 8, 10}

var (
	cefHeader = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\n", " ", "\r", " ")
	cefValue  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

// cefLine is CEF:0|vendor|product|version|class|name|severity|extension.
func cefLine(dst []byte, l *line) ([]byte, error) {
	dst = append(dst, "CEF:0|Sterling|sterling-sandbox|"...)
	dst = strconv.AppendInt(dst, trail.Format, 10)
	dst = append(dst, '|')
	dst = append(dst, cefHeader.Replace(l.name())...)
	dst = append(dst, '|')
	dst = append(dst, cefHeader.Replace(cut(l.message(), 512))...)
	dst = append(dst, '|')
	dst = strconv.AppendInt(dst, int64(cefGravity[l.gravity()]), 10)
	dst = append(dst, '|')
	first := true
	add := func(key, value string) {
		if value == "" {
			return
		}
		if !first {
			dst = append(dst, ' ')
		}
		first = false
		dst = append(append(append(dst, key...), '='), cefValue.Replace(value)...)
	}
	add("rt", number(l.at()/1e6)) // milliseconds
	add("externalId", l.first.String()[:16]+":"+number(l.Seq))
	add("dvchost", l.begin.Sandbox)
	add("cs1Label", "hash")
	add("cs1", l.Hash.String())
	l.cefEvent(add)
	switch l.Kind {
	case trail.KindGap:
		add("reason", l.gap.Reason)
		add("cnt", number(l.gap.Lost))
	case trail.KindAlert:
		add("cs2Label", "rule")
		add("cs2", l.alert.Rule)
		add("act", l.alert.Action)
		add("cn1Label", "line")
		add("cn1", number(l.alert.Of))
	case trail.KindEnd:
		add("reason", l.end.Reason)
		add("cn1Label", "exit")
		add("cn1", number(l.end.Exit))
	case trail.KindHost:
		add("msg", string(l.Body))
	}
	return append(dst, '\n'), nil
}

func (l *line) cefEvent(add func(key, value string)) {
	if l.Kind != trail.KindEvent {
		return
	}
	add("sproc", l.Context.Command)
	add("spid", number(l.Context.Process))
	add("suid", number(l.Context.User.EUID))
	add("fname", l.Path)
	add("fileHash", l.SHA256)
	if at, err := netip.ParseAddrPort(l.Address); err == nil {
		address, port := "dst", "dpt"
		if l.Point == "accept" {
			address, port = "src", "spt"
		}
		add(address, at.Addr().String())
		add(port, number(int(at.Port())))
	} else {
		add("request", l.Address)
	}
	if l.Point == "clone" {
		add("dpid", number(l.NewProcess))
	}
	switch {
	case l.failed():
		add("outcome", "failure")
		add("reason", "errno "+number(l.Exit.Errno))
	case l.Exit != nil:
		add("outcome", "success")
	}
	add("msg", strings.Join(l.Argv, " "))
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
