package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/sterlingrun/sterling/auth"
)

type openAPI struct {
	OpenAPI  string                `json:"openapi"`
	Security []map[string][]string `json:"security"`
	Paths    map[string]map[string]struct {
		RequestBody struct {
			Content map[string]struct {
				Schema struct {
					Ref string `json:"$ref"`
				} `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
		Responses map[string]any `json:"responses"`
	} `json:"paths"`
	Components struct {
		SecuritySchemes map[string]map[string]string `json:"securitySchemes"`
		Schemas         map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"schemas"`
	} `json:"components"`
}

func TestOpenAPI(t *testing.T) {
	b := open(t, nil)
	response, err := http.Get("http://" + b.addr + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%s, %v", response.Status, err)
	}
	var document openAPI
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if document.OpenAPI != "3.1.0" {
		t.Errorf("version %q", document.OpenAPI)
	}
	if len(document.Security) != 1 || document.Components.SecuritySchemes["bearer"]["scheme"] != "bearer" {
		t.Errorf("security %v, schemes %v", document.Security, document.Components.SecuritySchemes)
	}
	for _, property := range []string{"code", "message", "details"} {
		if document.Components.Schemas["Error"].Properties[property] == nil {
			t.Errorf("errors without %s", property)
		}
	}
	if document.Components.Schemas["sterling.ledger.v1.ErrorDetail"].Properties["reason"] == nil {
		t.Error("errors without their detail")
	}
	served := 0
	for _, m := range ownMethods() {
		if m.ParentFile().Package() == "sterling.cell.v1" { // for nodes only
			continue
		}
		path := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
		operation, described := document.Paths[path]["post"]
		if m.IsStreamingClient() {
			if described {
				t.Errorf("%s is described, but JSON can't call it", path)
			}
			continue
		}
		served++
		if !described || len(operation.RequestBody.Content) != 1 || operation.Responses["200"] == nil || operation.Responses["default"] == nil {
			t.Errorf("%s: %+v", path, operation)
		}
		for _, c := range operation.RequestBody.Content {
			name := strings.TrimPrefix(c.Schema.Ref, "#/components/schemas/")
			if _, ok := document.Components.Schemas[name]; !ok || name != string(m.Input().FullName()) {
				t.Errorf("%s: the request is %q", path, c.Schema.Ref)
			}
		}
	}
	if served != len(document.Paths) || served == 0 {
		t.Errorf("%d methods, %d described", served, len(document.Paths))
	}
	// And the server has every path, with the bearer scheme in front of it.
	for path := range document.Paths {
		r, err := http.Post("http://"+b.addr+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without a token: %s", path, r.Status)
		}
	}
	if status, text := b.post("../openapi.json", b.tokens[auth.RoleAdmin], "{}"); status == http.StatusOK {
		t.Errorf("posting to the document: %d %s", status, text)
	}
}

// ownMethods returns the methods of every service compiled into this test.
func ownMethods() (list []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			if !strings.HasPrefix(string(s.FullName()), "sterling.") {
				continue
			}
			for j := range s.Methods().Len() {
				list = append(list, s.Methods().Get(j))
			}
		}
		return true
	})
	return list
}
