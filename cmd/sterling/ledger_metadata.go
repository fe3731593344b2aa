package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// metaHelp is the help of --meta.
const metaHelp = "metadata: key=text, key:int=5, key:bool=true, key:amount=12 (minor units), key:time=2026-01-31T12:00:00Z, key:data=c0ffee, key:personal(SUBJECT)=text; may be given several times"

// parseMeta reads the values of --meta.
func parseMeta(texts []string) (map[string]*ledgerv1.MetadataValue, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	m := make(map[string]*ledgerv1.MetadataValue, len(texts))
	for _, text := range texts {
		name, value, ok := splitMeta(text)
		if !ok {
			return nil, usage("--meta %q: want key=value", text)
		}
		key, v, err := metaEntry(name, value)
		if err != nil {
			return nil, err
		}
		if _, twice := m[key]; twice {
			return nil, usage("--meta: %s is given twice", key)
		}
		m[key] = v
	}
	return m, nil
}

// splitMeta parts a name from its value. The name of a subject may have an equals sign.
func splitMeta(text string) (name, value string, ok bool) {
	key, _, _ := strings.Cut(text, "=")
	if strings.Contains(key, ":personal(") {
		name, value, ok = strings.Cut(text, ")=")
		return name + ")", value, ok
	}
	return strings.Cut(text, "=")
}

// metaEntry reads one entry: a key, perhaps with a type behind a colon, and the text of its value.
func metaEntry(name, value string) (key string, v *ledgerv1.MetadataValue, err error) {
	key, kind, typed := strings.Cut(name, ":")
	v = &ledgerv1.MetadataValue{}
	switch {
	case key == "":
		return "", nil, usage("metadata %q has no key", name)
	case !typed || kind == "text":
		v.Value = &ledgerv1.MetadataValue_Text{Text: value}
	case kind == "int":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", nil, usage("metadata %s: %q is no whole number of 64 bits", key, value)
		}
		v.Value = &ledgerv1.MetadataValue_Integer{Integer: n}
	case kind == "bool":
		if value != "true" && value != "false" {
			return "", nil, usage("metadata %s: want true or false, not %q", key, value)
		}
		v.Value = &ledgerv1.MetadataValue_Truth{Truth: value == "true"}
	case kind == "amount":
		amount, err := money.Parse(value)
		if err != nil {
			return "", nil, usage("metadata %s: %w; an amount of metadata counts minor units", key, err)
		}
		v.Value = &ledgerv1.MetadataValue_Amount{Amount: amount.String()}
	case kind == "time":
		ns, err := parseTime(value)
		if err != nil || value == "" {
			return "", nil, usage("metadata %s: %q is no time: want 2026-01-31, 2026-01-31T12:00:00Z or nanoseconds since 1970", key, value)
		}
		v.Value = &ledgerv1.MetadataValue_Time{Time: ns}
	case kind == "data":
		data, err := hex.DecodeString(value)
		if err != nil {
			return "", nil, usage("metadata %s: want hexadecimal digits: %w", key, err)
		}
		v.Value = &ledgerv1.MetadataValue_Data{Data: data}
	case strings.HasPrefix(kind, "personal(") && strings.HasSuffix(kind, ")") && len(kind) > len("personal()"):
		v.Value = &ledgerv1.MetadataValue_Personal{Personal: &ledgerv1.PersonalValue{
			Subject: kind[len("personal(") : len(kind)-1], Value: &ledgerv1.MetadataValue{Value: &ledgerv1.MetadataValue_Text{Text: value}},
		}}
	default:
		return "", nil, usage("metadata %s: the type %q is unknown: want text, int, bool, amount, time, data or personal(SUBJECT)", key, kind)
	}
	return key, v, nil
}

// metaText writes metadata as --meta takes it, for a column of a table.
func metaText(m map[string]*ledgerv1.MetadataValue) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		kind, value := metaValue(m[key])
		if p := m[key].GetPersonal(); p != nil && p.GetErased() {
			parts = append(parts, key+kind+" erased")
			continue
		}
		parts = append(parts, key+kind+"="+value)
	}
	return dash(strings.Join(parts, " "))
}

// metaValue writes one value and its type.
func metaValue(v *ledgerv1.MetadataValue) (kind, value string) {
	switch v := v.GetValue().(type) {
	case *ledgerv1.MetadataValue_Text:
		return "", plain(v.Text)
	case *ledgerv1.MetadataValue_Integer:
		return ":int", strconv.FormatInt(v.Integer, 10)
	case *ledgerv1.MetadataValue_Truth:
		return ":bool", strconv.FormatBool(v.Truth)
	case *ledgerv1.MetadataValue_Amount:
		return ":amount", v.Amount
	case *ledgerv1.MetadataValue_Time:
		return ":time", stamp(v.Time)
	case *ledgerv1.MetadataValue_Data:
		return ":data", hex.EncodeToString(v.Data)
	case *ledgerv1.MetadataValue_Personal:
		_, inner := metaValue(v.Personal.GetValue())
		return fmt.Sprintf(":personal(%s)", v.Personal.GetSubject()), inner
	}
	return "", ""
}

// plain quotes a text that would be mistaken for several, or that would break a table.
func plain(text string) string {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' }) {
		return strconv.Quote(text)
	}
	return text
}

func newSetMetadata(f *ledgerFlags) *cobra.Command {
	var (
		id   string
		meta []string
		none bool
	)
	c := &cobra.Command{
		Use: "set-metadata ACCOUNT", Short: "Replace all metadata of an account", Args: cobra.ExactArgs(1),
		Long: `Replaces all metadata of an account: what is not given is gone from the account, and
stays in the journal. With --none, nothing is left.`,
		Example: `  sterling ledger set-metadata merchant:1001 --meta tier=gold --meta risk:int=3
  sterling ledger set-metadata customer:7 --meta "name:personal(c-7)=Wang Min"`,
		RunE: func(c *cobra.Command, args []string) error {
			if none == (len(meta) > 0) {
				return usage("say what the metadata is to be: --meta key=value, or --none")
			}
			m, err := parseMeta(meta)
			if err != nil {
				return err
			}
			return f.with(c, func(ctx context.Context, s *session) error { return s.setMetadata(ctx, id, args[0], m) })
		},
	}
	c.Flags().StringVar(&id, "id", "", "id of the change (default: a new one)")
	c.Flags().StringArrayVar(&meta, "meta", nil, metaHelp)
	c.Flags().BoolVar(&none, "none", false, "take all metadata away")
	return c
}

func (s *session) setMetadata(ctx context.Context, id, name string, m map[string]*ledgerv1.MetadataValue) error {
	account, err := s.account(ctx, "account", name)
	if err != nil {
		return err
	}
	if id, err = s.giveID(id); err != nil {
		return err
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	response, err := s.SetMetadata(ctx, &ledgerv1.SetMetadataRequest{Id: id, AccountId: account, Metadata: m})
	if err != nil {
		return fmt.Errorf("metadata %s: %w", id, s.explain(err))
	}
	if s.flags.output == "json" {
		if err := s.printJSON(response); err != nil {
			return err
		}
	}
	return s.control(id, response.GetStatus())
}
