package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestANodeThatDoesNotLeadSaysWhoDoes: every call but those about the node itself is refused, with the leader's address,
// after the caller was identified.
func TestANodeThatDoesNotLeadSaysWhoDoes(t *testing.T) {
	b := open(t, func(c *api.Config) {
		c.Leads = func() error { return &cell.NotLeaderError{Leader: "10.0.0.7:7600"} }
	})
	for _, path := range []string{"LookupAccounts", "CreateTransfers", "GetTotals"} {
		status, body := b.post(path, b.tokens[auth.RoleAdmin], "{}")
		if status != http.StatusServiceUnavailable || !strings.Contains(body, "10.0.0.7:7600") || !strings.Contains(body, "nothing was done") {
			t.Errorf("%s: %d %s", path, status, body)
		}
		if status, _ := b.post(path, "sterling_wrong", "{}"); status != http.StatusUnauthorized {
			t.Errorf("%s without a right token: %d", path, status)
		}
	}
	status, body := b.post("Status", b.tokens[auth.RoleReader], "{}")
	var answer struct{ Role string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK || answer.Role != "CELL_ROLE_ALONE" {
		t.Errorf("status: %d %s", status, body)
	}
	if status, _ := b.post("Drain", b.tokens[auth.RoleReader], "{}"); status != http.StatusForbidden {
		t.Errorf("a reader drains: %d", status)
	}
	if status, body := b.post("Drain", b.tokens[auth.RoleOperator], "{}"); status != http.StatusServiceUnavailable || !strings.Contains(body, "10.0.0.7:7600") {
		t.Errorf("drain: %d %s", status, body)
	}
}

// TestAClientGoesToTheLeader: by what a node says, by trying the next one where it does not know, and never to an
// address that it was not given.
func TestAClientGoesToTheLeader(t *testing.T) {
	var asked [3]atomic.Int32
	var leader atomic.Pointer[string]
	var leads atomic.Int32
	leads.Store(2)
	var banks [3]*bank
	for i := range banks {
		banks[i] = open(t, func(c *api.Config) {
			c.Leads = func() error {
				asked[i].Add(1)
				if int(leads.Load()) == i {
					return nil
				}
				return &cell.NotLeaderError{Leader: *leader.Load()}
			}
		})
	}
	addresses := []string{banks[0].addr, banks[1].addr, banks[2].addr}
	token := banks[0].tokens[auth.RoleAdmin]
	for _, b := range banks[1:] {
		b.revocable.Tokens = banks[0].revocable.Tokens
	}
	hint := addresses[2]
	leader.Store(&hint)
	c, err := client.Dial(strings.Join(addresses, ", "), token, client.WithPatience(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for range 3 {
		if _, err := c.Ledger().ListAssets(t.Context(), &ledgerv1.ListAssetsRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if asked[0].Load() != 1 || asked[1].Load() != 0 || asked[2].Load() != 3 {
		t.Errorf("nodes were asked %d, %d and %d times, want 1, 0 and 3", asked[0].Load(), asked[1].Load(), asked[2].Load())
	}
	none := "198.51.100.1:7600" // nobody's: the token must not go there
	leader.Store(&none)
	leads.Store(1)
	if _, err := c.Ledger().ListAssets(t.Context(), &ledgerv1.ListAssetsRequest{}); err != nil {
		t.Fatal(err)
	}
	if asked[1].Load() != 1 {
		t.Errorf("the node that leads was asked %d times", asked[1].Load())
	}
}
