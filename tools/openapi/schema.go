package main

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schemas are the messages and enumerations described so far, by full name.
type schemas map[string]object

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// add describes a message and all that it refers to, and returns a reference.
func (s schemas) add(m *protogen.Message) object {
	if known := wellKnown(string(m.Desc.FullName())); known != nil {
		return known
	}
	name := string(m.Desc.FullName())
	if s[name] != nil {
		return ref(name)
	}
	properties := object{}
	schema := object{"type": "object", "additionalProperties": false, "properties": properties}
	s[name] = schema // before its fields: messages may refer to themselves
	text := comment(m.Comments)
	for _, o := range m.Oneofs {
		if o.Desc.IsSynthetic() {
			continue
		}
		var names []string
		for _, f := range o.Fields {
			names = append(names, f.Desc.JSONName())
		}
		text += " At most one of " + strings.Join(names, ", ") + "."
	}
	if text = strings.TrimSpace(text); text != "" {
		schema["description"] = text
	}
	for _, f := range m.Fields {
		properties[f.Desc.JSONName()] = s.field(f)
	}
	return ref(name)
}

func (s schemas) field(f *protogen.Field) object {
	text := comment(f.Comments)
	var schema object
	switch {
	case f.Desc.IsMap():
		schema = object{"type": "object", "additionalProperties": s.value(f.Message.Fields[1], "")}
	case f.Desc.IsList():
		schema = object{"type": "array", "items": s.value(f, text)}
	default:
		schema = s.value(f, text)
	}
	if text != "" {
		schema["description"] = text // 3.1 allows it beside $ref
	}
	return schema
}

// value describes one value of a field. The comment of a string says where it is
// a 128-bit number.
func (s schemas) value(f *protogen.Field, text string) object {
	switch f.Desc.Kind() { //nolint:exhaustive // the default has the rest
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return s.add(f.Message)
	case protoreflect.EnumKind:
		return s.enum(f.Enum)
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.BytesKind:
		return object{"type": "string", "contentEncoding": "base64"}
	case protoreflect.StringKind:
		if strings.HasPrefix(text, "u128") || strings.Contains(text, "; u128") {
			return object{"type": "string", "format": "u128", "pattern": "^[0-9]{0,39}$"}
		}
		return object{"type": "string"}
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return object{"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return object{"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return object{"type": "integer", "minimum": 0, "maximum": uint32(1<<32 - 1)}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return object{"type": "number"}
	default:
		return object{"type": "integer", "format": "int32"}
	}
}

func (s schemas) enum(e *protogen.Enum) object {
	name := string(e.Desc.FullName())
	if s[name] == nil {
		values, text := []string{}, comment(e.Comments)
		for _, v := range e.Values {
			values = append(values, string(v.Desc.Name()))
			if about := comment(v.Comments); about != "" {
				text += "\n- " + string(v.Desc.Name()) + ": " + about
			}
		}
		s[name] = object{"type": "string", "enum": values, "description": strings.TrimSpace(text)}
	}
	return ref(name)
}

// wellKnown returns the JSON of Google's own messages, nil for others.
func wellKnown(name string) object {
	switch strings.TrimPrefix(name, "google.protobuf.") {
	case "Timestamp":
		return object{"type": "string", "format": "date-time"}
	case "Duration":
		return object{"type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$"}
	case "FieldMask", "StringValue", "BytesValue", "Int64Value", "UInt64Value":
		return object{"type": "string"}
	case "BoolValue":
		return object{"type": "boolean"}
	case "Int32Value", "UInt32Value":
		return object{"type": "integer"}
	case "Empty", "Struct", "Any":
		return object{"type": "object"}
	case "Value":
		return object{}
	case "ListValue":
		return object{"type": "array"}
	default:
		return nil
	}
}

// comment returns what stands before a declaration, each paragraph in one line.
func comment(c protogen.CommentSet) string {
	var paragraphs []string
	for paragraph := range strings.SplitSeq(string(c.Leading), "\n\n") {
		if p := strings.Join(strings.Fields(paragraph), " "); p != "" {
			paragraphs = append(paragraphs, p)
		}
	}
	return strings.Join(paragraphs, "\n\n")
}
