package sandbox

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// Size is a number of bytes. In a document: a number and KiB, MiB, GiB or TiB ("256MiB").
type Size int64

// MilliCPU is processor time in thousandths of a core. In a document: cores with up to three decimals ("1.5").
type MilliCPU int64

// Duration is a time. In a document: as time.ParseDuration reads it ("90s", "12h").
type Duration time.Duration

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	v, err := parseSize(n.Value)
	*s = Size(v)
	return atLine(n, err)
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *MilliCPU) UnmarshalYAML(n *yaml.Node) error {
	v, err := parseMilli(n.Value)
	*c = MilliCPU(v)
	return atLine(n, err)
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	*d = Duration(v)
	if err != nil {
		err = fmt.Errorf("%q is no duration, such as 90s or 12h", clip(n.Value))
	}
	return atLine(n, err)
}

func atLine(n *yaml.Node, err error) error {
	if err == nil && n.Kind == yaml.ScalarNode {
		return nil
	}
	if err == nil {
		err = errors.New("a single value is wanted")
	}
	return fmt.Errorf("line %d: %w", n.Line, err)
}

func parseSize(text string) (int64, error) {
	for unit, shift := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40} {
		digits, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 22)
		if err != nil || digits != strconv.FormatUint(n, 10) || n == 0 {
			break
		}
		return int64(n) << shift, nil // 22 bits shifted by 40 fit
	}
	return 0, fmt.Errorf("%q is no size: a whole number from 1 to 4194303 and KiB, MiB, GiB or TiB, such as 256MiB", clip(text))
}

func parseMilli(text string) (int64, error) {
	whole, decimals, dotted := strings.Cut(text, ".")
	n, err := strconv.ParseUint(whole, 10, 16)
	bad := err != nil || len(decimals) > 3 || dotted && decimals == "" || whole != strconv.FormatUint(n, 10)
	milli := int64(n) * 1000
	if dotted && !bad {
		d, err := strconv.ParseUint((decimals + "00")[:3], 10, 16)
		bad = err != nil
		milli += int64(d)
	}
	if bad {
		return 0, fmt.Errorf("%q is no number of cores, such as 2 or 0.25", clip(text))
	}
	return milli, nil
}

// clip shortens a text of a document for an error message.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
