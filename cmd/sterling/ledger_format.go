package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sterlingrun/sterling/ident"
	"github.com/sterlingrun/sterling/money"
)

// printJSON prints an answer as the API gives it over HTTP, on one line.
func (s *session) printJSON(m proto.Message) error {
	b, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	var line bytes.Buffer // protojson varies its spaces from build to build
	if err := json.Compact(&line, b); err != nil {
		return fmt.Errorf("write the answer as JSON: %w", err)
	}
	line.WriteByte('\n')
	_, err = s.c.OutOrStdout().Write(line.Bytes())
	return err
}

// print prints an answer: as JSON, or as a table of rows.
func (s *session) print(m proto.Message, head string, rows [][]string) error {
	if s.flags.output == "json" {
		return s.printJSON(m)
	}
	w := tabwriter.NewWriter(s.c.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, strings.ReplaceAll(head, " ", "\t")) // Flush returns the error
	for _, row := range rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printf prints to standard output; an error of that shows when the command's answer can't be printed either.
func (s *session) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(s.c.OutOrStdout(), format, args...)
}

// note tells a person something beside the answer.
func (s *session) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.c.ErrOrStderr(), format+"\n", args...)
}

// stamp writes a ledger's timestamp to the nanosecond, which is what --since takes; "" for zero.
func stamp(ns uint64) string {
	if ns == 0 {
		return ""
	}
	return time.Unix(0, int64(ns)).UTC().Format("2006-01-02T15:04:05.000000000Z") //nolint:gosec // until 2262
}

// parseTime reads nanoseconds since 1970, a day or a time.
func parseTime(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	if ns, err := strconv.ParseUint(text, 10, 64); err == nil {
		return ns, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.UnixNano() >= 0 {
			return uint64(t.UnixNano()), nil
		}
	}
	return 0, usage("%q is no time: want 2026-01-31, 2026-01-31T12:00:00Z or nanoseconds since 1970", text)
}

// short takes the common beginning off an enum's names and writes the rest in small letters.
func short(name string) string {
	for _, prefix := range []string{
		"CREATE_ACCOUNT_STATUS_", "CREATE_TRANSFER_STATUS_", "CONTROL_STATUS_", "BREAK_STATE_", "ACCOUNT_FLAG_", "TRANSFER_FLAG_",
		"FREEZE_MODE_", "TRANSFER_SIDE_", "CLOCK_STATE_", "DISK_STATE_", "SINK_STATE_", "SUBJECT_STATE_", "INDEX_STATE_", "CELL_ROLE_", "TRANSIT_STEP_",
	} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return strings.ToLower(rest)
		}
	}
	return name
}

// enumValue finds the value of a name as short writes it, with - or _.
func enumValue(values map[string]int32, prefix, name, flag string) (int32, error) {
	full := prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if v, ok := values[full]; ok && v != 0 {
		return v, nil
	}
	var names []string
	for n, v := range values {
		if v != 0 {
			names = append(names, short(n))
		}
	}
	slices.Sort(names)
	return 0, usage("--%s %q is unknown: want %s", flag, name, strings.Join(names, ", "))
}

// decimal writes minor units of an asset as a decimal number, without the asset's name. What can't be read is left as
// it came.
func decimal(amount, asset string) string {
	a, err := money.ParseAsset(asset)
	if err != nil {
		return amount
	}
	v, err := money.Parse(amount)
	if err != nil {
		return amount
	}
	return a.Format(v)
}

// parseID reads an id.
func parseID(what, text string) (string, error) {
	id, err := money.Parse(text)
	if err != nil {
		return "", usage("%s: %w", what, err)
	}
	return id.String(), nil
}

func parseIDs(texts []string) ([]string, error) {
	ids := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = parseID("id", text); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// newID makes an id that sorts by time.
func newID() (string, error) {
	id, err := ident.NewGenerator(time.Now, rand.Reader).Next()
	return money.U128{Lo: id.Lo, Hi: id.Hi}.String(), err
}

// giveID reads the id asked for, or makes one. A person who asked for JSON is told which, because the answer has none.
func (s *session) giveID(asked string) (string, error) {
	if asked != "" {
		return parseID("--id", asked)
	}
	id, err := newID()
	if err == nil && s.flags.output == "json" {
		s.note("id %s", id)
	}
	return id, err
}
