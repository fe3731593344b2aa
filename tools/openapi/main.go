// Command openapi is a protoc plugin: it describes every service of the request as
// one OpenAPI 3.1 document, the way Connect serves them (JSON over HTTP POST). It
// knows no single service or message of Sterling, so that new .proto files are
// picked up as they are; the one exception is the message named ErrorDetail, which
// comes with errors. It never leaves out a method that JSON can call, but for those of the package that its option internal names. Start
// reading at main; schema.go describes messages.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/types/pluginpb"
)

// object is a JSON object; encoding/json sorts its keys, so output is stable.
type object = map[string]any

func main() {
	var flags flag.FlagSet
	internal := flags.String("internal", "", "package of services that are not for clients, and stay out of the document")
	protogen.Options{ParamFunc: flags.Set}.Run(func(plugin *protogen.Plugin) error {
		plugin.SupportedFeatures = uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)
		text, err := json.MarshalIndent(document(plugin.Files, *internal), "", "  ")
		if err != nil {
			return fmt.Errorf("encode the document: %w", err)
		}
		_, err = plugin.NewGeneratedFile("openapi.json", "").Write(append(text, '\n'))
		return err
	})
}

const about = "The ledger's API as JSON over HTTP POST. The same methods are served by gRPC and gRPC-Web on the same port. " +
	"Every call needs a token (Authorization: Bearer). Faults of single events are statuses in the response, not errors. " +
	"After a call without an answer, send the same events with the same ids again: they are recorded once. " +
	"64-bit and 128-bit integers are strings of decimal digits. Unknown fields are refused."

func document(files []*protogen.File, internal string) object {
	s := schemas{}
	paths, tags := object{}, []object{}
	for _, file := range files {
		if !file.Generate || string(file.Desc.Package()) == internal {
			continue
		}
		for _, m := range file.Messages {
			if m.Desc.Name() == "ErrorDetail" {
				s.add(m)
			}
		}
		for _, service := range file.Services {
			var grpcOnly []string
			for _, method := range service.Methods {
				if method.Desc.IsStreamingClient() {
					grpcOnly = append(grpcOnly, method.GoName)
					continue
				}
				path := fmt.Sprintf("/%s/%s", service.Desc.FullName(), method.Desc.Name())
				paths[path] = object{"post": operation(service, method, s)}
			}
			text := comment(service.Comments)
			if len(grpcOnly) > 0 {
				text += "\n\nBy gRPC only: " + strings.Join(grpcOnly, ", ") + "."
			}
			tags = append(tags, object{"name": service.GoName, "description": text})
		}
	}
	s["Error"] = errorSchema(s)
	return object{
		"openapi":  "3.1.0",
		"info":     object{"title": "Sterling", "version": "v1", "description": about, "license": object{"name": "Apache-2.0", "identifier": "Apache-2.0"}},
		"servers":  []object{{"url": "/"}},
		"security": []object{{"bearer": []string{}}},
		"tags":     tags,
		"paths":    paths,
		"components": object{
			"securitySchemes": object{"bearer": object{
				"type": "http", "scheme": "bearer",
				"description": "A token of `sterling token create`. Its role, which each method names, decides what it may call.",
			}},
			"responses": object{"Error": object{
				"description": "The call failed as a whole.",
				"content":     object{"application/json": object{"schema": ref("Error")}},
			}},
			"schemas": map[string]object(s),
		},
	}
}

func operation(service *protogen.Service, method *protogen.Method, s schemas) object {
	text := comment(method.Comments)
	summary, _, _ := strings.Cut(text, ". ")
	media := "application/json"
	if method.Desc.IsStreamingServer() {
		media = "application/connect+json" // one envelope per message
	}
	return object{
		"operationId": service.GoName + "_" + method.GoName,
		"tags":        []string{service.GoName},
		"summary":     strings.TrimSuffix(summary, "."),
		"description": text,
		"requestBody": object{"required": true, "content": object{media: object{"schema": s.add(method.Input)}}},
		"responses": object{
			"200":     object{"description": "The call was carried out; see the statuses in it.", "content": object{media: object{"schema": s.add(method.Output)}}},
			"default": object{"$ref": "#/components/responses/Error"},
		},
	}
}

// errorSchema is the shape of Connect's errors.
func errorSchema(s schemas) object {
	detail := object{"type": "object", "description": "The detail in readable form."}
	for name := range s {
		if strings.HasSuffix(name, ".ErrorDetail") {
			detail = ref(name)
		}
	}
	return object{
		"type": "object", "required": []string{"code"},
		"description": "The call failed as a whole. Events of a write were not recorded, unless the reason in details is ERROR_REASON_OUTCOME_UNKNOWN, " +
			"or the code is unavailable, deadline_exceeded, canceled, unknown or internal without a reason that says so: then send them again with the same ids.",
		"properties": object{
			"code": object{"type": "string", "enum": []string{
				"canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
				"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable",
				"data_loss", "unauthenticated",
			}},
			"message": object{"type": "string", "description": "For a person: what happened and what to do next."},
			"details": object{"type": "array", "items": object{"type": "object", "properties": object{
				"type":  object{"type": "string", "description": "Name of the detail's message, such as sterling.ledger.v1.ErrorDetail."},
				"value": object{"type": "string", "contentEncoding": "base64", "description": "The detail as protobuf, base64 without padding."},
				"debug": detail,
			}}},
		},
	}
}
