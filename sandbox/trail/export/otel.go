package export

import (
	"strings"

	"github.com/sterlingrun/sterling/sandbox/trail"
)

// A LogRecord is one of OpenTelemetry's, in OTLP's JSON: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
type LogRecord struct {
	Time           string      `json:"timeUnixNano"`
	Observed       string      `json:"observedTimeUnixNano"`
	SeverityNumber int         `json:"severityNumber"`
	SeverityText   string      `json:"severityText"`
	Body           value       `json:"body"`
	Attributes     []attribute `json:"attributes"`

	begin trail.Begin
}

type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

// value is a text, or a whole number, which OTLP writes as a text.
type value struct {
	Text   *string `json:"stringValue,omitempty"`
	Number *string `json:"intValue,omitempty"`
}

// otelGravity are OpenTelemetry's severities of a gravity.
var otelGravity = [...]struct {
	number int
	text   string
}{{}, {9, "INFO"}, {10, "INFO2"}, {13, "WARN"}, {17, "ERROR"}, {21, "FATAL"}}

func logRecord(l *line) LogRecord {
	severity := otelGravity[l.gravity()]
	body := string(l.Body)
	r := LogRecord{
		Time: number(l.at()), Observed: number(l.Time), SeverityNumber: severity.number, SeverityText: severity.text,
		Body: value{Text: &body}, begin: l.begin,
	}
	text := func(key, s string) {
		if s != "" {
			r.Attributes = append(r.Attributes, attribute{key, value{Text: &s}})
		}
	}
	whole := func(key string, n int64) {
		s := number(n)
		r.Attributes = append(r.Attributes, attribute{key, value{Number: &s}})
	}
	text("event.name", "sandbox."+l.name())
	text("sterling.record", l.first.String())
	whole("sterling.line", int64(l.Seq)) //nolint:gosec // lines are counted from 0 on
	text("sterling.hash", l.Hash.String())
	switch l.Kind {
	case trail.KindEvent:
		whole("process.pid", l.Context.Process)
		whole("process.parent_pid", l.Context.Parent)
		text("process.command", l.Context.Command)
		text("process.working_directory", l.Context.Folder)
		text("user.id", number(l.Context.User.EUID))
		text("process.executable.hash.sha256", l.SHA256)
		text("file.path", l.Path)
		text("process.command_line", joined(l.Argv))
		text("network.peer.address", l.Address)
		if l.failed() {
			text("error.type", "errno "+number(l.Exit.Errno))
		}
	case trail.KindAlert:
		text("sterling.rule", l.alert.Rule)
		text("sterling.action", l.alert.Action)
	case trail.KindGap:
		text("sterling.gap", l.gap.Reason)
	}
	return r
}

// Request appends an ExportLogsServiceRequest with records of one sandbox, and a newline.
func Request(dst []byte, records []LogRecord) ([]byte, error) {
	if len(records) == 0 {
		return dst, nil
	}
	begin := records[0].begin
	var resource []attribute
	for _, a := range [][2]string{
		{"service.name", "sterling-sandbox"},
		{"service.instance.id", begin.Sandbox},
		{"sterling.isolation", begin.Isolation},
		{"sterling.policy", begin.Policy},
		{"container.image.id", begin.Root},
	} {
		resource = append(resource, attribute{a[0], value{Text: &a[1]}})
	}
	return appendJSON(dst, object{"resourceLogs": []object{{
		"resource":  object{"attributes": resource},
		"scopeLogs": []object{{"scope": object{"name": "sterling.sandbox.trail", "version": number(trail.Format)}, "logRecords": records}},
	}}})
}

func joined(argv []string) string { return strings.Join(argv, " ") }
