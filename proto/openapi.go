// Package proto carries what is generated from the .proto files beside it and is
// no Go code: the OpenAPI document. It never changes at run time. Start reading at
// sterling/ledger/v1/ledger.proto, which is the API.
package proto

import _ "embed" // of the document

//go:embed gen/openapi.json
var openAPI string

// OpenAPI returns the OpenAPI 3.1 document of every service, as JSON.
func OpenAPI() string { return openAPI }
