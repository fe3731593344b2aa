package drill_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// second is a data folder of the second release: blocks of formats 1 and 2 by rules 2, a snapshot, an index, the watch's
// checkpoints, keys of personal metadata. It holds 11,000 transfers, addresses, metadata (personal, too, of a person whose
// key was destroyed and of one whose was not), booking dates, a transaction, a signed close, proposals that were approved,
// rejected and are open, a policy, limits, a freeze in force and one that was lifted by two people. What that release
// answered, but for positions, stands beside it.
const second = "testdata/upgrade-v2.tar.gz"

const (
	secondBlocks  = 35
	secondSegment = 16 << 20
)

// answer is what a command printed as JSON.
type answer struct {
	Args   []string `json:"args"`
	Answer any      `json:"answer"`
}

// TestUpgradeFromTheSecondRelease opens the folder with today's program: as it was left, and where only what can't be built
// anew is there. It answers what it answered, knows all ids, takes writes by today's rules, and verify proves it.
func TestUpgradeFromTheSecondRelease(t *testing.T) {
	b, err := os.ReadFile("testdata/upgrade-v2-answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	if err := json.Unmarshal(b, &answers); err != nil || len(answers) == 0 {
		t.Fatalf("%d answers: %v", len(answers), err)
	}
	for _, c := range []struct {
		name string
		lost []string
	}{{"as it was left", nil}, {"without what is built anew", []string{"index", "snapshots", "ids", "watch"}}} {
		t.Run(c.name, func(t *testing.T) {
			dir := unpack(t, second, secondSegment)
			for _, name := range c.lost {
				if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			before := verify(t, dir)
			if before.Blocks != secondBlocks || before.Transfers != 11010 || before.Pending != 1 {
				t.Fatalf("verified %+v", before)
			}
			for range 2 { // and once more, from what it left itself
				p := start(t, dir)
				answersAgain(t, p, dir, answers)
				p.stop()
			}
			p := start(t, dir)
			response, err := p.dial().CreateTransfers(t.Context(), plain(1000, "1", "2", "1"), plain(15, "3", "2", "1"), plain(777, "1", "2", "5"))
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []string{"EXISTS", "ID_ALREADY_FAILED", "CREATED"} {
				if got := strings.TrimPrefix(response.GetResults()[i].GetStatus().String(), "CREATE_TRANSFER_STATUS_"); got != want {
					t.Errorf("transfer %d: %s, want %s", i, got, want)
				}
			}
			p.stop()
			if after := verify(t, dir); after.Transfers != before.Transfers+1 || after.Pending != before.Pending {
				t.Errorf("verified %+v after %+v", after, before)
			}
			rulesOf(t, dir, secondBlocks, 2)
		})
	}
}

// answersAgain runs the commands that the release before answered. What is new in an answer is allowed.
func answersAgain(t *testing.T, p *process, dir string, answers []answer) {
	t.Helper()
	for _, a := range answers {
		out, code := command(t, append(append([]string{}, a.Args...), "--server", p.addr, "--data", dir, "--output", "json")...)
		var now any
		if err := json.Unmarshal([]byte(out), &now); err != nil || code != 0 {
			t.Errorf("sterling %s: code %d, %s", strings.Join(a.Args, " "), code, out)
			continue
		}
		if at := differs("", a.Answer, now); at != "" {
			t.Errorf("sterling %s: %s is another than before in\n%s", strings.Join(a.Args, " "), at, out)
		}
	}
}

// differs names the first part of an answer that is another now; empty: there is none.
func differs(at string, was, now any) string {
	switch w := was.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		if !ok {
			return at
		}
		for key := range w {
			if d := differs(at+"."+key, w[key], n[key]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		n, ok := now.([]any)
		if !ok || len(n) != len(w) {
			return at
		}
		for i := range w {
			if d := differs(at+"[]", w[i], n[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if reflect.DeepEqual(was, now) {
		return ""
	}
	return at
}
