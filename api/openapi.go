package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/proto"
)

// openAPIPath needs no token: it says what anyone can read in the source.
const openAPIPath = "/openapi.json"

// serveOpenAPI serves the description of the API that this binary was built with.
func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Access-Control-Allow-Origin", "*") // for viewers in a browser
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(proto.OpenAPI()))
}
