package console

import (
	"bytes"
	"crypto/rand"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// dist holds the build. Without one it holds only the page that says so, which is why a plain `go build` works.
//
//go:embed all:dist
var dist embed.FS

// pages are the paths that the page itself shows; src/pages.ts reads the same file.
//
//go:embed web/src/pages.json
var pages []byte

const (
	indexFile   = "index.html"
	unbuiltFile = "unbuilt.html"
	assetFolder = "assets/"
	// noncePlace is where index.html wants the response's nonce.
	noncePlace = "__NONCE__"
)

// types are the content types of a build, so that they do not depend on the machine's own table.
var types = map[string]string{
	".css": "text/css; charset=utf-8", ".html": "text/html; charset=utf-8", ".ico": "image/x-icon",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".svg": "image/svg+xml",
	".txt": "text/plain; charset=utf-8", ".woff2": "font/woff2",
}

// encodings are the forms in which a file may lie beside itself, the best first.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// site is a build, read once.
type site struct {
	files map[string][]byte // by name, such as assets/index-1a2b3c4d.js
	pages []string          // first segments of the paths that show the page
	built bool
}

// Handler serves the console at every path that is its own: its files, and the pages that it shows itself. Anything
// else is 404 with a plain text, so that a call to the API that lands here by mistake is not answered by a page. It is
// safe for concurrent use.
func Handler() (http.Handler, error) {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("read the console's build: %w", err)
	}
	return newSite(root, pages)
}

// Built reports whether this program has the console, not only the page that says how to get it.
func Built() bool {
	_, err := fs.Stat(dist, "dist/"+indexFile)
	return err == nil
}

func newSite(root fs.FS, pages []byte) (*site, error) {
	s := &site{files: map[string][]byte{}}
	if err := json.Unmarshal(pages, &s.pages); err != nil {
		return nil, fmt.Errorf("read the list of the console's pages: %w", err)
	}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") { // .stamp is the build's own
			return err
		}
		s.files[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the console's build: %w", err)
	}
	if s.built = s.files[indexFile] != nil; !s.built && s.files[unbuiltFile] == nil {
		return nil, errors.New("read the console's build: it has neither " + indexFile + " nor " + unbuiltFile)
	}
	return s, nil
}

// ServeHTTP implements http.Handler.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	page := s.isPage(name)
	if !page && (s.files[name] == nil || hidden(name)) {
		http.Error(w, "there is nothing at this path", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	if page {
		s.servePage(w)
		return
	}
	s.serveFile(w, r, name)
}

// hidden are files that are there to be sent in place of others.
func hidden(name string) bool {
	for _, e := range encodings {
		if strings.HasSuffix(name, e.suffix) {
			return true
		}
	}
	return path.Ext(name) == ".html"
}

func (s *site) isPage(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	for _, p := range s.pages {
		if p == first {
			return true
		}
	}
	return false
}

// servePage sends the one HTML document, with a nonce of its own: styles that scripts make at run time carry it, so
// that the policy needs no 'unsafe-inline'.
func (s *site) servePage(w http.ResponseWriter) {
	nonce := newNonce()
	h := w.Header()
	h.Set("Content-Type", types[".html"])
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; "+
		"font-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	body := s.files[indexFile]
	if !s.built {
		body = s.files[unbuiltFile]
	}
	body = bytes.ReplaceAll(body, []byte(noncePlace), []byte(nonce))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the reader went away: nobody to tell
}

// serveFile sends a file in the best form that the reader takes. Names below assets/ carry a hash of their content, so
// they never change.
func (s *site) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	h := w.Header()
	kind := types[path.Ext(name)]
	if kind == "" {
		kind = mime.TypeByExtension(path.Ext(name))
	}
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-cache")
	if strings.HasPrefix(name, assetFolder) {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := s.files[name]
	for _, e := range encodings {
		small := s.files[name+e.suffix]
		if small == nil {
			continue
		}
		h.Set("Vary", "Accept-Encoding")
		if accepts(r, e.name) {
			h.Set("Content-Encoding", e.name)
			body = small
			break
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the reader went away: nobody to tell
}

// accepts reports whether the reader takes an encoding: it is named, and not with weight zero.
func accepts(r *http.Request, encoding string) bool {
	for _, part := range strings.Split(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, parameters, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			weight, _, _ := strings.Cut(strings.ReplaceAll(parameters, " ", ""), ";")
			value, err := strconv.ParseFloat(strings.TrimPrefix(weight, "q="), 64)
			return err != nil || value > 0
		}
	}
	return false
}

func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the process instead
	return base64.StdEncoding.EncodeToString(b[:])
}
