package proxy_test

import (
	"context"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/mesh/proxy"
)

// h2specCases is how many cases the pinned h2spec has.
const h2specCases = 145

// waived has the cases that fail, each with its reason.
var waived = map[string]string{
	"Sends invalid connection preface": "the port speaks HTTP/1.1, too: what begins as neither gets its answer, 400 and the end of the connection",
}

// TestH2Spec has h2spec judge the proxy's HTTP/2 towards clients.
func TestH2Spec(t *testing.T) {
	tool, err := filepath.Abs("../../.tools/bin/h2spec")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tool); err != nil {
		t.Skip("h2spec is not there: tools/install.sh h2spec builds it")
	}
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "some text for the cases that want a body")
	})
	host, port, err := net.SplitHostPort(start(t, proxy.Options{}, simple, app, "", "").Addr("in").String())
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Its exit code tells of failed cases, too; the report says which.
	text, _ := exec.CommandContext(ctx, tool, "-h", host, "-p", port, "-j", report, "-o", "5").CombinedOutput()
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("h2spec left no report: %v\n%s", err, text)
	}
	var suites struct {
		Cases []struct {
			Package string    `xml:"package,attr"`
			Name    string    `xml:"classname,attr"`
			Failure string    `xml:"failure"`
			Error   string    `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testsuite>testcase"`
	}
	if err := xml.Unmarshal(b, &suites); err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, c := range suites.Cases {
		switch {
		case waived[c.Name] != "":
			if passed++; c.Failure == "" && c.Error == "" {
				t.Errorf("%s is waived, and passes", c.Name)
			}
		case c.Failure != "" || c.Error != "":
			t.Errorf("%s: %s: %s%s", c.Package, c.Name, c.Failure, c.Error)
		case c.Skipped != nil:
			t.Errorf("%s: %s: skipped", c.Package, c.Name)
		default:
			passed++
		}
	}
	if passed != h2specCases {
		t.Errorf("%d of %d cases passed or are waived\n%s", passed, h2specCases, text)
	}
}
