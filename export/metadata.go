package export

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// metadataJSON writes metadata as the API has it in JSON, by key; "" where there is none.
func metadataJSON(m map[string]*ledgerv1.MetadataValue) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(m)) {
		value, err := protojson.Marshal(m[key])
		if err != nil {
			return "", fmt.Errorf("write metadata %q as JSON: %w", key, err)
		}
		name, err := json.Marshal(key)
		if err != nil {
			return "", fmt.Errorf("write metadata %q as JSON: %w", key, err)
		}
		b.WriteByte("{,"[min(b.Len(), 1)])
		b.Write(append(name, ':'))
		if err := json.Compact(&b, value); err != nil { // protojson varies its spaces from build to build
			return "", fmt.Errorf("write metadata %q as JSON: %w", key, err)
		}
	}
	b.WriteByte('}')
	return b.String(), nil
}

// metadataPart begins the keys of metadata in a journal, so that none is a key of ours or a word of the tool.
const metadataPart = "meta-"

// metadataTags writes metadata as tags, by key. Keys of beancount have no dots: where two would be one, the later has a
// number.
func metadataTags(m map[string]*ledgerv1.MetadataValue) []tag {
	var tags []tag
	taken := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		plain := metadataPart + strings.ReplaceAll(key, ".", "_")
		name := plain
		for n := 2; taken[name]; n++ {
			name = plain + "-" + strconv.Itoa(n)
		}
		taken[name] = true
		tags = append(tags, tag{name, valueText(m[key])})
	}
	return tags
}

// valueText writes a value in one line.
func valueText(v *ledgerv1.MetadataValue) string {
	switch v := v.GetValue().(type) {
	case *ledgerv1.MetadataValue_Text:
		return oneLine(v.Text)
	case *ledgerv1.MetadataValue_Integer:
		return strconv.FormatInt(v.Integer, 10)
	case *ledgerv1.MetadataValue_Truth:
		return strconv.FormatBool(v.Truth)
	case *ledgerv1.MetadataValue_Amount:
		return v.Amount
	case *ledgerv1.MetadataValue_Time:
		return stamp(v.Time)
	case *ledgerv1.MetadataValue_Data:
		return hex.EncodeToString(v.Data)
	case *ledgerv1.MetadataValue_Personal:
		if v.Personal.GetValue() == nil {
			return "(erased)"
		}
		return valueText(v.Personal.GetValue())
	default:
		return ""
	}
}

// oneLine makes spaces of what would end a line, or is not seen.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, text)
}

// addressParts are the parts of an account's name that come of its address: what beancount accepts, and never one that
// begins like the last part. Two addresses may have the same parts; the last part, with the id, tells them apart.
func addressParts(address string) string {
	if address == "" {
		return ""
	}
	var b strings.Builder
	for part := range strings.SplitSeq(address, ":") {
		part = strings.Map(func(r rune) rune {
			if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
				return r
			}
			return '-'
		}, part)
		if part != "" {
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		if part == "" || part[0] == '-' || strings.HasPrefix(part, idPart) {
			part = "X-" + part
		}
		b.WriteString(":" + part)
	}
	return b.String()
}
