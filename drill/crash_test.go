package drill_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sterlingrun/sterling/client"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// counts are what a run of TestCrash did, written where STERLING_RESULTS says.
type counts struct {
	Test         string  `json:"test"`
	Seed         uint64  `json:"seed"`
	Crashes      int     `json:"crashes"`
	Recoveries   int     `json:"crashes_during_recovery"`
	Acknowledged int     `json:"transfers_acknowledged"`
	Unknown      int     `json:"transfers_of_unknown_outcome"`
	Survived     int     `json:"unknown_that_had_happened"`
	Verified     int     `json:"folders_verified"`
	Seconds      float64 `json:"seconds"`
}

// TestCrash kills a server under load at random moments, also while it recovers. Every transfer that was acknowledged
// must be there, as acknowledged; a call without an answer must have happened whole or not at all; what is sent again
// must be there once; balances must be the sum of all of it; and `sterling verify` must agree.
//
// STERLING_SEED chooses the seed, STERLING_SOAK=1 runs 100 rounds instead of 5.
func TestCrash(t *testing.T) {
	began := time.Now()
	seed := uint64(began.UnixNano())
	if text := os.Getenv("STERLING_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("STERLING_SEED: %v", err)
		}
	}
	rounds := 5
	if os.Getenv("STERLING_SOAK") == "1" {
		rounds = 100
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	total := counts{Test: "crash", Seed: seed}
	dir := filepath.Join(t.TempDir(), "data")
	var ids atomic.Uint64
	books := newBooks()

	p := start(t, dir)
	openAccounts(t, p.dial())
	for round := range rounds {
		crash := time.After(20*time.Millisecond + time.Duration(random.Int64N(int64(600*time.Millisecond))))
		calls := load(t, p, 8, random, func() uint64 { return ids.Add(1) }, crash)
		total.Crashes++
		for random.IntN(3) == 0 { // and again, before it is ready
			p = launch(t, dir)
			<-time.After(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
			p.kill()
			total.Recoveries++
		}
		if random.IntN(4) == 0 {
			verify(t, dir)
			total.Verified++
		}
		p = start(t, dir)
		c := p.dial()
		books.settle(t, c, calls, &total)
		if round%10 == 0 || round+1 == rounds || rounds < 10 {
			books.checkTransfers(t, c)
		}
		books.checkAccounts(t, c)
		books.checkCounts(t, c)
	}
	p.kill()
	v := verify(t, dir)
	total.Verified++
	if v.Accounts != accounts || v.Transfers != uint64(len(books.recorded)) {
		t.Errorf("verify counts %d accounts and %d transfers, want %d and %d", v.Accounts, v.Transfers, accounts, len(books.recorded))
	}
	if total.Acknowledged == 0 {
		t.Error("nothing was acknowledged: the load did not run")
	}
	total.Seconds = time.Since(began).Seconds()
	t.Logf("%+v", total)
	writeResult(t, "crash.json", total)
}

// writeResult writes what a test counted, if someone wants it.
func writeResult(t *testing.T, name string, v any) {
	t.Helper()
	dir := os.Getenv("STERLING_RESULTS")
	if dir == "" {
		return
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), append(b, '\n'), 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}

// books are what the ledger must contain, kept by the test's own, plain arithmetic.
type books struct {
	recorded map[string]*record
	order    []string
	refused  []string // ids that were burned
	accounts map[string]*balance
	open     map[string]*record // pending transfers
}

type record struct {
	*client.Transfer
	timestamp uint64
	amount    uint64 // recorded
	rest      uint64 // of a pending transfer
}

type balance struct{ debitsPending, debitsPosted, creditsPending, creditsPosted uint64 }

func newBooks() *books {
	b := &books{recorded: map[string]*record{}, accounts: map[string]*balance{}, open: map[string]*record{}}
	for i := range accounts {
		b.accounts[strconv.Itoa(i+1)] = &balance{}
	}
	return b
}

// settle compares the server with a round's calls, sends again what had no answer, and enters everything.
func (b *books) settle(t *testing.T, c *client.Client, calls []*sent, total *counts) {
	t.Helper()
	for _, s := range calls {
		found := lookup(t, c, s.transfers)
		switch {
		case s.results != nil:
			total.Acknowledged += len(s.transfers)
			if want := len(s.transfers); !s.refused && len(found) != want || s.refused && len(found) != 0 {
				t.Fatalf("acknowledged: %v; %d of %d are there", s.results, len(found), want)
			}
		case len(found) != 0 && len(found) != len(s.transfers):
			t.Fatalf("a call of %d transfers from %s on is half there: %d", len(s.transfers), s.transfers[0].GetId(), len(found))
		default:
			total.Unknown += len(s.transfers)
			total.Survived += len(found)
		}
		b.again(t, c, s, found)
	}
	// Every recorded transfer is entered once all statuses are known, in the order of time: a reservation comes
	// before its post.
	for _, s := range calls {
		for i, x := range s.transfers {
			if s.refused {
				b.refused = append(b.refused, x.GetId())
				continue
			}
			b.recorded[x.GetId()] = &record{Transfer: x, timestamp: s.results[i].GetTimestamp()}
		}
	}
	b.enter()
}

// again sends a call once more, as a client does that got no answer. What was there already must be found, with the
// time it was acknowledged with. A chain that is there is not repeated either: its first transfer exists, and that
// fails the others.
func (b *books) again(t *testing.T, c *client.Client, s *sent, found map[string]*client.Transfer) {
	t.Helper()
	response, err := c.CreateTransfers(t.Context(), s.transfers...)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range response.GetResults() {
		x := s.transfers[i]
		was := found[x.GetId()]
		want := created
		switch {
		case s.refused && (s.results != nil || r.GetStatus() == burned): // without an answer, it may have been burned or not
			want = burned
		case s.refused:
			want = notFound
		case was != nil && i > 0 && slices.Contains(s.transfers[i-1].GetFlags(), linked):
			want = chainFailed
		case was != nil:
			want = exists
		}
		if r.GetStatus() != want {
			t.Fatalf("transfer %v sent again: %v, want %v", x, r.GetStatus(), want)
		}
		if want == exists && r.GetTimestamp() != was.GetTimestamp() {
			t.Fatalf("transfer %v exists since %d, look-up says %d", x, r.GetTimestamp(), was.GetTimestamp())
		}
		if was == nil {
			continue
		}
		if s.results != nil && s.results[i].GetTimestamp() != was.GetTimestamp() {
			t.Fatalf("transfer %v was acknowledged with time %d, it has %d", x, s.results[i].GetTimestamp(), was.GetTimestamp())
		}
		response.Results[i].Timestamp = was.GetTimestamp()
	}
	s.results = response.GetResults()
}

// lookup returns those of the transfers that are there, each as it was asked for.
func lookup(t *testing.T, c *client.Client, list []*client.Transfer) map[string]*client.Transfer {
	t.Helper()
	response, err := c.Ledger().LookupTransfers(t.Context(), &ledgerv1.LookupTransfersRequest{Ids: idsOf(list)})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*client.Transfer{}
	for _, x := range response.GetTransfers() {
		found[x.GetId()] = x
	}
	return found
}

func idsOf(list []*client.Transfer) []string {
	ids := make([]string, len(list))
	for i, x := range list {
		ids[i] = x.GetId()
	}
	return ids
}
