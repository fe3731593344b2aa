package console

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

var build = fstest.MapFS{
	"index.html":              {Data: []byte(`<style nonce="__NONCE__"></style><script src="/assets/a-1234.js"></script>`)},
	"unbuilt.html":            {Data: []byte("not built")},
	"favicon.svg":             {Data: []byte("<svg/>")},
	"assets/a-1234.js":        {Data: []byte("plain")},
	"assets/a-1234.js.br":     {Data: []byte("brotli")},
	"assets/a-1234.js.gz":     {Data: []byte("gzipped")},
	"assets/inter-1234.woff2": {Data: []byte("font")},
}

func get(t *testing.T, h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newTestSite(t *testing.T, files fstest.MapFS) http.Handler {
	t.Helper()
	s, err := newSite(files, pages)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPagesAreTheDocumentAndNothingElseIs(t *testing.T) {
	s := newTestSite(t, build)
	for _, path := range []string{"/", "/accounts", "/accounts/8901", "/breaks/00ff", "/proofs", "/flows?x=1"} {
		w := get(t, s, http.MethodGet, path)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "<script") || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Errorf("%s: %d, %s, %s", path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if got := w.Header().Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
	for _, path := range []string{
		"/sterling.watch.v1.WatchService/GetProof", "/metrics", "/audit/log/checkpoint", "/audit/key", "/nothing", "/assets/none.js", "/assets",
		"/index.html", "/unbuilt.html", "/assets/a-1234.js.gz", "/accountsx", "/../etc/passwd", "//accounts.js",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if w := get(t, s, method, path); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "<") {
				t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
			}
		}
	}
	if w := get(t, s, http.MethodPost, "/accounts"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST of a page: %d", w.Code)
	}
}

func TestEveryPageHasANonceOfItsOwn(t *testing.T) {
	s := newTestSite(t, build)
	policy := regexp.MustCompile(`style-src 'self' 'nonce-([A-Za-z0-9+/=]{24})'`)
	seen := map[string]bool{}
	for range 50 {
		w := get(t, s, http.MethodGet, "/")
		csp := w.Header().Get("Content-Security-Policy")
		m := policy.FindStringSubmatch(csp)
		if m == nil || seen[m[1]] {
			t.Fatalf("no nonce, or one that was used before: %s", csp)
		}
		seen[m[1]] = true
		if !strings.Contains(w.Body.String(), `nonce="`+m[1]+`"`) {
			t.Errorf("the page carries another nonce than its policy: %s", w.Body)
		}
		if strings.Contains(csp, "unsafe") || !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("the policy is not strict: %s", csp)
		}
	}
}

func TestFilesHaveTypesCachingAndTheBestEncoding(t *testing.T) {
	s := newTestSite(t, build)
	const forever = "public, max-age=31536000, immutable"
	for _, c := range []struct{ path, accept, kind, cache, encoding, body string }{
		{"/assets/a-1234.js", "gzip, deflate, br", "text/javascript; charset=utf-8", forever, "br", "brotli"},
		{"/assets/a-1234.js", "gzip", "text/javascript; charset=utf-8", forever, "gzip", "gzipped"},
		{"/assets/a-1234.js", "br;q=0, gzip;q=0.5", "text/javascript; charset=utf-8", forever, "gzip", "gzipped"},
		{"/assets/a-1234.js", "", "text/javascript; charset=utf-8", forever, "", "plain"},
		{"/assets/inter-1234.woff2", "br", "font/woff2", forever, "", "font"},
		{"/favicon.svg", "br", "image/svg+xml", "no-cache", "", "<svg/>"},
	} {
		w := get(t, s, http.MethodGet, c.path, "Accept-Encoding", c.accept)
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Type") != c.kind || h.Get("Cache-Control") != c.cache || h.Get("Content-Encoding") != c.encoding || w.Body.String() != c.body {
			t.Errorf("%s with %q: %d %v %q", c.path, c.accept, w.Code, h, w.Body)
		}
		if h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: may be sniffed", c.path)
		}
	}
	if w := get(t, s, http.MethodGet, "/assets/a-1234.js"); w.Header().Get("Vary") != "Accept-Encoding" {
		t.Error("a file with two forms does not vary")
	}
}

func TestWithoutABuildThePageSaysHowToGetOne(t *testing.T) {
	s := newTestSite(t, fstest.MapFS{"unbuilt.html": build["unbuilt.html"]})
	if w := get(t, s, http.MethodGet, "/breaks"); w.Code != 200 || w.Body.String() != "not built" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if _, err := newSite(fstest.MapFS{}, pages); err == nil {
		t.Error("a folder with neither page is taken")
	}
	if _, err := newSite(build, []byte("{")); err == nil {
		t.Error("a broken list of pages is taken")
	}
}

// What this program really embeds, built or not.
func TestTheEmbeddedConsoleAnswers(t *testing.T) {
	h, err := Handler()
	if err != nil {
		t.Fatal(err)
	}
	body := get(t, h, http.MethodGet, "/").Body.String()
	if Built() != strings.Contains(body, `type="module"`) || !strings.Contains(body, "Sterling") {
		t.Errorf("built: %v, page: %s", Built(), body)
	}
	if strings.Contains(body, noncePlace) {
		t.Error("the place of the nonce is left in the page")
	}
}
