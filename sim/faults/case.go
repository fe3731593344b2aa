package faults

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
	"github.com/sterlingrun/sterling/money"
	"github.com/sterlingrun/sterling/watch"
)

// Case is a stream that somebody wrote, with what has to be found in it.
type Case struct {
	Name string

	files    fs.FS
	stream   string // its file
	expected string
}

// CaseTrial is how a case went.
type CaseTrial struct {
	*Trial
	Faults []string // what is not as expected; empty: all is
}

// The names of files, and bounds.
const (
	caseStream    = "stream.jsonl"
	caseWanted    = "expected.json"
	caseSuffix    = ".jsonl"
	wantedSuffix  = ".expected.json"
	maxCases      = 10_000
	maxCaseLine   = 4 << 20
	maxCaseLines  = 1_000_000
	maxCaseGap    = 2 * hour
	maxCaseWanted = 1 << 20
)

// Cases lists the cases of a folder, by name: each sub-folder with a stream.jsonl and an expected.json, and each file
// NAME.jsonl with a NAME.expected.json. ErrCase where one lacks its other half, or there are none.
func Cases(files fs.FS) (list []Case, err error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCase, err)
	}
	for _, e := range entries {
		name := e.Name()
		c := Case{Name: name, files: files, stream: path.Join(name, caseStream), expected: path.Join(name, caseWanted)}
		switch {
		case e.IsDir():
		case strings.HasSuffix(name, caseSuffix):
			c.Name = strings.TrimSuffix(name, caseSuffix)
			c.stream, c.expected = name, c.Name+wantedSuffix
		default:
			continue
		}
		for _, file := range []string{c.stream, c.expected} {
			if _, err := fs.Stat(files, file); err != nil {
				return nil, fmt.Errorf("%w: case %s has no %s", ErrCase, c.Name, file)
			}
		}
		list = append(list, c)
	}
	if len(list) == 0 || len(list) > maxCases {
		return nil, fmt.Errorf("%w: the folder has %d cases: want 1 to %d", ErrCase, len(list), maxCases)
	}
	return list, nil
}

// Run plays the case to a new engine and compares what it finds with what is expected.
func (c *Case) Run(o watch.Options) (*CaseTrial, error) {
	wanted, err := c.wanted()
	if err != nil {
		return nil, err
	}
	if err := c.ownFlows(&o); err != nil {
		return nil, err
	}
	p, err := newCasePlayer(o)
	if err != nil {
		return nil, err
	}
	file, err := c.files.Open(c.stream)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCase, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxCaseLine)
	n := 0
	for lines.Scan() {
		if n++; n > maxCaseLines {
			return nil, fmt.Errorf("%w: %s has more than %d lines", ErrCase, c.stream, maxCaseLines)
		}
		if len(strings.TrimSpace(lines.Text())) == 0 {
			continue
		}
		l, err := readLine(lines.Bytes())
		if err == nil {
			err = p.line(&l)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s:%d: %w", ErrCase, c.stream, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%w: %s:%d: %w", ErrCase, c.stream, n+1, err)
	}
	if err := p.end(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCase, c.stream, err)
	}
	t := &CaseTrial{Trial: p.runner.Trial()}
	t.judge(wanted)
	return t, nil
}

// ownFlows reads the flows of a case that has some of its own, beside its stream; they are used alone.
func (c *Case) ownFlows(o *watch.Options) error {
	if path.Dir(c.stream) == "." {
		return nil
	}
	names, err := fs.Glob(c.files, path.Join(path.Dir(c.stream), "*.yaml"))
	if err != nil || len(names) == 0 {
		return err
	}
	o.Flows = nil
	for _, name := range names {
		text, err := fs.ReadFile(c.files, name)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCase, err)
		}
		f, err := watch.Parse(name, text)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCase, err)
		}
		o.Flows = append(o.Flows, f)
	}
	return nil
}

func (c *Case) wanted() (*caseExpected, error) {
	file, err := c.files.Open(c.expected)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCase, err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxCaseWanted))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCase, c.expected, err)
	}
	x := &caseExpected{}
	if err := strictly(text, x); err != nil {
		line := 1 + strings.Count(string(text[:min(len(text), offsetOf(err, len(text)))]), "\n")
		return nil, fmt.Errorf("%w: %s:%d: %w", ErrCase, c.expected, line, err)
	}
	for _, b := range x.Breaks {
		if !slices.Contains(watch.Classes(), b.Class) {
			return nil, fmt.Errorf("%w: %s: there is no class %q", ErrCase, c.expected, b.Class)
		}
	}
	return x, nil
}

// judge compares: every expected break is the root of its group, and whatever else there is belongs to such a group.
func (t *CaseTrial) judge(wanted *caseExpected) {
	roots := map[watch.ID]bool{}
	for _, b := range wanted.Breaks {
		at := slices.IndexFunc(t.Found, func(f Found) bool {
			return f.Class == b.Class && f.Flow == b.Flow && f.Key == b.Key.id && f.Group == f.ID && !roots[f.ID]
		})
		switch {
		case at < 0:
			t.fault("not found: %s in flow %q, key %s", b.Class, b.Flow, nameOf(b.Key))
			continue
		case b.By != nil && t.Found[at].Seen > uint64(*b.By):
			t.fault("found %d ms too late: %s in flow %q, key %s", (t.Found[at].Seen-uint64(*b.By))/millisecond, b.Class, b.Flow, nameOf(b.Key))
		}
		roots[t.Found[at].ID] = true
	}
	for i := range t.Found {
		if f := &t.Found[i]; !roots[f.Group] {
			t.fault("not expected: %s in flow %q, key %s: %s", f.Class, f.Flow, f.KeyText, f.Summary)
		}
	}
}

func (t *CaseTrial) fault(format string, args ...any) {
	t.Faults = append(t.Faults, fmt.Sprintf(format, args...))
}

func nameOf(c caseID) string {
	if c.text != "" {
		return c.text
	}
	return c.id.String()
}

// casePlayer lets the lines of a case happen.
type casePlayer struct {
	runner   *Runner
	book     *book
	now      uint64
	beat     uint64 // of the last promise
	seqs     map[string]uint64
	promises []string
	assets   map[string]uint32
	request  []journal.Transfer // linked transfers that wait for the last of their chain
	instead  map[money.U128]*recorded
	refused  []journal.Transfer // that the journal is to have all the same
	bent     bool
	hash     journal.Hash
	blocks   uint64 // in the journal
}

func newCasePlayer(o watch.Options) (*casePlayer, error) {
	r, err := NewRunner(o)
	if err != nil {
		return nil, err
	}
	return &casePlayer{runner: r, book: newBook(), seqs: map[string]uint64{}, assets: map[string]uint32{}, instead: map[money.U128]*recorded{}}, nil
}

func (p *casePlayer) line(l *caseLine) error {
	if err := p.until(l.At); err != nil {
		return err
	}
	switch {
	case l.Account != nil:
		return p.account(l.Account)
	case l.Transfer != nil:
		return p.transfer(l.Transfer)
	case l.Block != nil:
		return p.seal()
	case l.RawBlock != nil:
		p.blocks++
		return p.step(&Step{Kind: StepBlock, Seq: p.blocks, Block: *l.RawBlock})
	case l.Observation != nil:
		return p.observe(l.Observation)
	case l.Promise != nil:
		p.promises = *l.Promise
		return nil
	case l.Tick != nil:
		return p.tick()
	default:
		if err := p.seal(); err != nil {
			return err
		}
		return p.runner.Restart()
	}
}

func (p *casePlayer) step(s *Step) error {
	s.Now = p.now
	return p.runner.Step(s)
}

var (
	errFirstTime = errors.New(`the first line needs a time: "at"`)
	errTimeBack  = errors.New("times have to ascend")
	errGap       = errors.New("more than two hours after the line before")
	errChain     = errors.New("the chain of linked transfers is not ended")
)

// until lets time pass: ten ticks a second, two promises of those who promise.
func (p *casePlayer) until(at *caseTime) error {
	switch {
	case at == nil && p.now == 0:
		return errFirstTime
	case at == nil || uint64(*at) == p.now:
		return nil
	case uint64(*at) < p.now:
		return errTimeBack
	case p.now == 0:
		p.now = uint64(*at)
		return p.tick()
	case uint64(*at)-p.now > maxCaseGap:
		return errGap
	}
	for end := uint64(*at); p.now < end; {
		p.now = min(end, p.now+tickEvery-p.now%tickEvery)
		if err := p.tick(); err != nil {
			return err
		}
	}
	return nil
}

// tick ends the block, has the ledger do what is due, and tells the time.
func (p *casePlayer) tick() error {
	if err := p.seal(); err != nil {
		return err
	}
	if due := p.book.state.NextExpiry(); due != 0 && due <= p.now {
		p.book.begin(p.now)
		if err := p.seal(); err != nil {
			return err
		}
	}
	if p.now >= p.beat+beatEvery {
		p.beat = p.now
		for _, source := range p.promises {
			if err := p.tell(source, watch.Observation{Kind: watch.Heartbeat, Time: p.now, Through: p.now - 1}); err != nil {
				return err
			}
		}
	}
	return p.step(&Step{Kind: StepTick, Head: p.blocks, Horizon: p.now - 1})
}

func (p *casePlayer) tell(source string, o watch.Observation) error {
	if o.Seq == 0 {
		o.Seq = p.seqs[source] + 1
	}
	p.seqs[source] = max(p.seqs[source], o.Seq)
	return p.step(&Step{Kind: StepObserve, Source: source, List: []watch.Observation{o}})
}

func (p *casePlayer) observe(o *caseObservation) error {
	seen, err := o.observation(p.now)
	if err != nil {
		return err
	}
	return p.tell(o.Source, seen)
}

// asset returns the number of an asset, which it registers where that is needed.
func (p *casePlayer) asset(name string) (uint32, error) {
	if n, ok := p.assets[name]; ok {
		return n, nil
	}
	a, err := money.ParseAsset(name)
	if err != nil {
		return 0, err
	}
	p.assets[name] = uint32(len(p.assets)) + 1 //nolint:gosec // G115: few
	return p.assets[name], p.apply(journal.KindAssets, journal.Bytes([]journal.Asset{ledger.AssetRecord(a)}))
}

func (p *casePlayer) apply(kind journal.Kind, events []byte) error {
	if len(p.request) > 0 && kind != journal.KindTransfers {
		return errChain
	}
	if p.book.full(len(events) / journal.RecordSize) {
		if err := p.seal(); err != nil {
			return err
		}
	}
	p.book.begin(p.now)
	return p.book.apply(kind, events)
}

func (p *casePlayer) account(a *caseAccount) error {
	asset, err := p.asset(a.Asset)
	if err != nil {
		return err
	}
	one := journal.Account{ID: numberOf(a.ID.id), Asset: asset, Code: a.Code}
	if a.NoOverdraft {
		one.Flags = journal.AccountDebitsMustNotExceedCredits
	}
	return p.apply(journal.KindAccounts, journal.Bytes([]journal.Account{one}))
}

func (p *casePlayer) transfer(t *caseTransfer) error {
	one := journal.Transfer{
		ID: numberOf(t.ID.id), Debit: numberOf(t.Debit.id), Credit: numberOf(t.Credit.id), Amount: t.Amount.U128, UserData128: numberOf(t.UserData128.id),
		UserData64: t.UserData64, UserData32: t.UserData32, Timeout: t.Timeout, Code: t.Code,
	}
	if t.Asset != "" {
		var err error
		if one.Asset, err = p.asset(t.Asset); err != nil {
			return err
		}
	}
	if pending := numberOf(t.Post.id); !pending.IsZero() {
		one.PendingID, one.Flags = pending, journal.TransferPost
	}
	if pending := numberOf(t.Void.id); !pending.IsZero() {
		one.PendingID, one.Flags = pending, journal.TransferVoid
	}
	for _, f := range []struct {
		set  bool
		flag journal.TransferFlags
	}{{t.Pending, journal.TransferPending}, {t.KeepRemainder, journal.TransferKeepRemainder}, {t.Linked, journal.TransferLinked}} {
		if f.set {
			one.Flags |= f.flag
		}
	}
	if t.Recorded != nil {
		p.instead[one.ID] = t.Recorded
		if t.Recorded.Created {
			p.refused = append(p.refused, one)
		}
	}
	if p.request = append(p.request, one); t.Linked && len(p.request) < inOnePart {
		return nil
	}
	list := p.request
	p.request = nil
	return p.apply(journal.KindTransfers, journal.Bytes(list))
}

// seal ends the open block and gives it to the watch, as it is or as a faulty ledger records it.
func (p *casePlayer) seal() error {
	if len(p.request) > 0 {
		return errChain
	}
	k, err := p.book.seal()
	if k == nil || err != nil {
		return err
	}
	raw := k.Raw
	if !p.bent {
		p.hash = k.Header.Prev
	}
	d := TakeApart(k)
	d.Transfers(func(event uint32, t *journal.Transfer) {
		if r := p.instead[t.ID]; r != nil {
			p.bent = true
			r.bend(d, event, t)
			p.refused = slices.DeleteFunc(p.refused, func(o journal.Transfer) bool { return o.ID == t.ID })
		}
	})
	for i := range p.refused { // a request of which nothing took effect is in no block
		p.bent = true
		d.Requests = append(d.Requests, Part{journal.KindTransfers, actor, journal.Bytes(p.refused[i : i+1])})
	}
	p.refused = nil
	if p.bent {
		d.Header.Prev = p.hash
		raw = d.Seal()
	}
	p.hash = sha256.Sum256(raw[:journal.HeaderSize])
	p.blocks++
	return p.step(&Step{Kind: StepBlock, Seq: p.blocks, Block: raw})
}

func (r *recorded) bend(d *Draft, event uint32, t *journal.Transfer) {
	if r.Created {
		d.Drop(event)
	}
	if r.Debit != nil {
		t.Debit = numberOf(r.Debit.id)
	}
	if r.Credit != nil {
		t.Credit = numberOf(r.Credit.id)
	}
	if r.Amount == nil {
		return
	}
	if o := d.Outcome(event); o != nil {
		o.Amount = r.Amount.U128
		return
	}
	t.Amount = r.Amount.U128
}

// end lets the last block be seen.
func (p *casePlayer) end() error {
	if p.now == 0 {
		return errFirstTime
	}
	return p.tick()
}
