package ledger_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
)

// TestConformance runs the scripts in testdata/conformance (their language: README.md there). Every status of every
// list must come up in one of them, and every script's journal must replay.
func TestConformance(t *testing.T) {
	paths, err := filepath.Glob("testdata/conformance/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	seen := map[string]bool{}
	ran := 0
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			ran++
			s := &script{rig: newRig([2]uint64{7, 11}), t: t, seen: seen}
			if strings.HasPrefix(filepath.Base(path), "transit") {
				s.witness = nil // it knows the ids that steps have; those of a script are for people to read
			}
			s.clock = uint64(time.Second)
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
			if err := s.checkReplay(); err != nil {
				t.Errorf("replay of all blocks: %v", err)
			}
		})
	}
	if ran < len(paths) {
		return // only some were asked for
	}
	for _, list := range []struct {
		name string
		kind journal.Kind
	}{{"account", journal.KindAccounts}, {"transfer", journal.KindTransfers}, {"control", journal.KindFreeze}} {
		for s := journal.Created; s <= journal.LastStatus(list.kind); s++ {
			if name := list.name + " " + s.Name(list.kind); !seen[name] {
				t.Errorf("no script shows %s (%d)", name, s)
			}
		}
	}
}

// script runs the commands of one file.
type script struct {
	*rig
	t      *testing.T
	seen   map[string]bool
	taking *ledger.Snapshot
	taken  []byte
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "clock":
		return s.setClock(t, d)
	case "block":
		s.begin()
		return s.endBlock()
	case "release":
		out := s.endBlock()
		seq := uint64(len(s.log))
		d.MaybeScanArgs(t, "seq", &seq)
		s.release(seq)
		return out + fmt.Sprintf("released to block %d", s.released)
	case "accounts":
		return request(t, s, d, journal.KindAccounts, parseAccount)
	case "transfers":
		return request(t, s, d, journal.KindTransfers, parseTransfer)
	case "assets":
		return request(t, s, d, journal.KindAssets, parseAsset)
	case "freeze":
		return request(t, s, d, journal.KindFreeze, parseFreeze)
	case "unfreeze":
		return request(t, s, d, journal.KindUnfreeze, parseUnfreeze)
	case "limits":
		return request(t, s, d, journal.KindLimits, parseLimit)
	case "close":
		return request(t, s, d, journal.KindDayClose, parseClose)
	case "reopen":
		return request(t, s, d, journal.KindReopen, parseReopen)
	case "policy":
		return request(t, s, d, journal.KindPolicy, parsePolicy)
	case "principals":
		return request(t, s, d, journal.KindPrincipals, parsePrincipal)
	case "metadata":
		return request(t, s, d, journal.KindMetadata, parseMetadata)
	case "erase":
		return request(t, s, d, journal.KindErasure, parseErasure)
	case "transaction":
		return s.transaction(t, d)
	case "propose":
		return s.propose(t, d)
	case "decide":
		return s.decide(t, d)
	case "fill-proposals":
		return s.fillProposals()
	case "fill-groups":
		return s.fillGroups()
	case "trial":
		return s.trial()
	case "proposals":
		return s.listProposals()
	case "addresses":
		return s.listAddresses()
	case "fill-assets":
		return s.fillAssets()
	case "balances":
		return s.balances()
	case "lookup":
		return s.lookups(t, d)
	case "history":
		return s.printHistory()
	case "pendings":
		return s.pendings()
	case "counts":
		c := s.state.Counts()
		return fmt.Sprintf("%d accounts, %d transfers, %d burned, %d pending", c.Accounts, c.Transfers, c.Burned, c.Pending)
	case "snapshot":
		out := s.endBlock()
		s.taking, s.taken = s.state.StartSnapshot(uint64(len(s.log))), nil
		return out + fmt.Sprintf("taking a snapshot after block %d", len(s.log))
	case "restore":
		return s.restore(t)
	}
	t.Fatalf("%s: unknown command %q", d.Pos, d.Cmd)
	return ""
}

// request applies the lines of the input as one request.
func request[T journal.Record](t *testing.T, s *script, d *datadriven.TestData, kind journal.Kind, parse func(*fields) T) string {
	events, names, attached := parseEvents(t, d, kind, parse)
	return s.print(kind, names, s.applyAttached(kind, actorOf(t, d), journal.Bytes(events), attached))
}

func actorOf(t *testing.T, d *datadriven.TestData) (actor journal.Actor) {
	if d.HasArg("actor") {
		var name string
		d.ScanArgs(t, "actor", &name)
		copy(actor[:], name)
	}
	return actor
}

// parseEvents reads the lines of the input, with what is attached to them.
func parseEvents[T journal.Record](t *testing.T, d *datadriven.TestData, kind journal.Kind, parse func(*fields) T) (events []T, names []string, attached []journal.Attachment) {
	for line := range strings.Lines(d.Input) {
		f := newFields(t, d.Pos, line)
		if f == nil {
			continue
		}
		names = append(names, f.first)
		if data := f.details(kind); data != nil {
			attached = append(attached, journal.Attachment{Event: len(events), Data: data})
		}
		e := parse(f)
		markAttached(&e, len(attached) > 0 && attached[len(attached)-1].Event == len(events))
		events = append(events, e)
		f.done()
	}
	return events, names, attached
}

// print prints the results of a request, and takes a little of the snapshot.
func (s *script) print(kind journal.Kind, names []string, results []journal.Result) string {
	var out strings.Builder
	for i, r := range results {
		name := r.Status.Name(kind)
		s.seen[listOf(kind)+" "+name] = true
		fmt.Fprintf(&out, "%s %s at %v\n", names[i], name, time.Duration(r.Timestamp))
	}
	s.piece(40)
	return out.String()
}

func listOf(k journal.Kind) string {
	switch k {
	case journal.KindAccounts:
		return "account"
	case journal.KindTransfers, journal.KindTransaction:
		return "transfer"
	}
	return "control"
}

// setClock moves the clock: set=1h or add=1ns. It ends the open block first.
func (s *script) setClock(t *testing.T, d *datadriven.TestData) string {
	out := s.endBlock()
	for _, key := range []string{"set", "add"} {
		if !d.HasArg(key) {
			continue
		}
		var text string
		d.ScanArgs(t, key, &text)
		v, err := time.ParseDuration(text)
		if err != nil || v < 0 {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		if key == "set" {
			s.clock = 0
		}
		s.clock += uint64(v)
	}
	return out + fmt.Sprintf("clock %v\n", time.Duration(s.clock))
}

func (s *script) endBlock() string {
	k := s.seal()
	s.piece(40)
	if k == nil {
		return ""
	}
	var out strings.Builder
	fmt.Fprintf(&out, "block %d at %v: %d events in %d requests\n", k.Header.Seq, time.Duration(k.Header.Time), k.Header.Events, len(k.Requests))
	for _, e := range k.Expiries {
		fmt.Fprintf(&out, "expired %v, released %v\n", e.Pending, e.Amount)
	}
	return out.String()
}

func (s *script) balances() string {
	var lines []string
	for n := uint32(1); uint64(n) <= s.state.Counts().Accounts; n++ {
		a := s.state.AccountByNumber(n)
		line := fmt.Sprintf("%v: debits %v pending %v posted, credits %v pending %v posted", a.ID, a.DebitsPending, a.DebitsPosted, a.CreditsPending, a.CreditsPosted)
		if a.Flags.Has(journal.AccountClosed) {
			line += ", closed"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// lookups prints what is kept of the transfers with the ids given, as far as sealed blocks have it.
func (s *script) lookups(t *testing.T, d *datadriven.TestData) string {
	out := s.endBlock()
	for line := range strings.Lines(d.Input) {
		id := parseU128(t, strings.TrimSpace(line))
		x, ok := s.lookup(id)
		if !ok {
			out += fmt.Sprintf("%v: none\n", id)
			continue
		}
		out += fmt.Sprintf("%v: %v → %v amount %v asset %d code %d user data %v %d %d at %v\n", id, x.Debit, x.Credit, x.Amount,
			x.Asset, x.Code, x.UserData128, x.UserData64, x.UserData32, time.Duration(x.Timestamp))
	}
	return out
}

// printHistory prints the rows of accounts that keep a history, and forgets them.
func (s *script) printHistory() string {
	out := s.endBlock()
	for _, h := range s.history {
		a, b := s.state.AccountByNumber(h.Account), h.Balances
		out += fmt.Sprintf("%v after block %d, index %d: debits %v pending %v posted, credits %v pending %v posted\n", a.ID,
			h.Position.Seq(), h.Position.Index(), b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted)
	}
	s.history = nil
	return out
}

// fillAssets registers assets until no more fit.
func (s *script) fillAssets() string {
	tally := map[string]int{}
	for n := s.state.Assets().Len(); ; {
		var records []journal.Asset
		for range journal.MaxEvents {
			n++
			records = append(records, ledger.AssetRecord(money.Asset{Code: fmt.Sprintf("A%d", n)}))
		}
		results := s.apply(journal.KindAssets, journal.Actor{}, journal.Bytes(records))
		s.endBlock()
		for _, r := range results {
			tally[r.Status.Name(journal.KindAssets)]++
			s.seen["control "+r.Status.Name(journal.KindAssets)] = true
		}
		if tally["assets_exhausted"] > 0 {
			break
		}
	}
	var lines []string
	for name, n := range tally {
		lines = append(lines, fmt.Sprintf("%s: %d", name, n))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// piece takes a little of the snapshot that is being taken, if one is.
func (s *script) piece(size int) {
	if s.taking == nil {
		return
	}
	var more bool
	if s.taken, more = s.taking.Next(s.taken, size); !more {
		s.taking = nil
	}
}

// restore finishes the snapshot, reads it, replays what came after and goes on with the copy.
func (s *script) restore(t *testing.T) string {
	s.seal()
	for s.taking != nil {
		s.piece(40)
	}
	copied, seq, err := ledger.Restore(ledger.Config{}, bytes.NewReader(s.taken))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.replayed(copied, seq+1); err != nil {
		t.Fatal(err)
	}
	if err := equalStates(s.state, copied); err != nil {
		t.Fatal(err)
	}
	s.state, s.released = copied, uint64(len(s.log))
	return fmt.Sprintf("restored block %d, replayed %d more", seq, uint64(len(s.log))-seq)
}
