package webhook_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/feed/webhook"
)

// A receiver checks the signature before it looks at the body.
func ExampleVerify() {
	secret := []byte("0123456789abcdef0123456789abcdef")
	hook := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		keys := []webhook.Key{{ID: "k1", Secret: secret}}
		if err := webhook.Verify(keys, r.Header.Get(webhook.SignatureHeader), body, time.Now(), 5*time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	for _, key := range []string{string(secret), "somebody else's secret"} {
		r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader("{}"))
		r.Header.Set(webhook.SignatureHeader, webhook.Sign([]webhook.Key{{ID: "k1", Secret: []byte(key)}}, time.Now(), []byte("{}")))
		w := httptest.NewRecorder()
		hook(w, r)
		fmt.Println(w.Code)
	}
	// Output:
	// 204
	// 401
}
