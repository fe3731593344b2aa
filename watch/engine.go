package watch

import (
	"errors"
	"io"
)

// ErrUnfinished is what the engine answers until it is written.
var ErrUnfinished = errors.New("unfinished")

// Past finds keys that left memory. It is a function of its arguments: asked again, also after a restart and by a
// replay, it gives the same answer.
type Past interface {
	// Closed returns the state of the newest [Closed] of the key whose effect had a number of at most through; nil:
	// there is none.
	Closed(flow string, key ID, through uint64) []byte
}

// Options of an engine.
type Options struct {
	Cell     uint64
	Flows    []*Flow
	StopLoss StopLoss
	Past     Past
	MaxLegs  int // of one key; 0: 4,096
}

// Engine is the state of the watch. It is owned by one goroutine. Its inputs, in their order, decide everything that it
// says: calls that take no input (Proof, Sources, …) change nothing.
type Engine struct{}

// New returns an engine before the first block.
func New(Options) (*Engine, error) { return nil, ErrUnfinished }

// Block takes the next block of the journal, as it stands there. It must be acknowledged. The engine keeps no reference
// to raw. What is wrong with it, up to bytes that are no block, is a break; a block that was taken already is left out.
func (e *Engine) Block(raw []byte) {}

// Observe takes observations of a source, ascending by Seq. What was taken already with the same content is left out,
// with another content it is a break; what comes after a gap waits, up to a bound, for what is missing.
func (e *Engine) Observe(source string, list []Observation) {}

// Tick tells the time: now (ns since 1970), and how far the journal's word goes: no block after head will have a time
// of horizon or before. Deadlines pass, sources fall silent and the proof moves by ticks alone.
func (e *Engine) Tick(now, head, horizon uint64) {}

// Compare takes balances that the ledger itself had after block seq, which must be the last that Block took.
func (e *Engine) Compare(seq uint64, accounts []AccountBalance) {}

// Decide changes the state of a break by a person's word. ErrNoBreak where there is none that is open or explained.
func (e *Engine) Decide(d Decision) error { return ErrUnfinished }

// Frozen tells what became of a freeze that was wanted: made, or why not.
func (e *Engine) Frozen(id ID, failure string) {}

// Effects appends what came about since the last call, in order.
func (e *Engine) Effects(dst []Effect) []Effect { return dst }

// Proof says how far everything is safe.
func (e *Engine) Proof() Proof { return Proof{} }

// Sources returns the sources, by name; the journal is not among them.
func (e *Engine) Sources() []SourceState { return nil }

// Statement is what a checkpoint says.
func (e *Engine) Statement() Statement { return Statement{} }

// Seq is the sequence number of the last block that was taken.
func (e *Engine) Seq() uint64 { return 0 }

// Account returns an account's balances by watch's own count; ok is false where there is no such account.
func (e *Engine) Account(id ID) (b AccountBalance, ok bool) { return b, false }

// VisitAccounts calls f with all accounts, in the order of their creation.
func (e *Engine) VisitAccounts(f func(AccountBalance)) {}

// AssetName returns the name of an asset such as "CNY/2"; empty where there is none.
func (e *Engine) AssetName(number uint32) string { return "" }

// Snapshot writes the whole state. Its format is the engine's own, with a version and a checksum.
func (e *Engine) Snapshot(w io.Writer) error { return ErrUnfinished }

// Restore returns the engine that wrote a snapshot. Flows that changed since (by content) begin anew; their cases go
// on where the old ones stood, if they have the same legs, and are dropped with a note otherwise.
func Restore(r io.Reader, o Options) (*Engine, error) { return nil, ErrUnfinished }

// ErrNoBreak is a break that isn't there, or is ended.
var ErrNoBreak = errors.New("no such break")

// Decision is a person's word on a break.
type Decision struct {
	Break    ID
	Group    bool // all of its group, too
	State    BreakState
	Who, Why string
}

// AccountBalance is an account's balances, minor units.
type AccountBalance struct {
	Account                                                    ID
	Asset                                                      uint32
	DebitsPosted, CreditsPosted, DebitsPending, CreditsPending Amount
}

// Statement is what watch states at a moment.
type Statement struct {
	Cell    uint64
	Seq     uint64   // last block
	Hash    [32]byte // its hash
	Time    uint64   // its time, ns
	Through uint64   // safe through
	Totals  []AssetTotal
	Sources []SourceState
	Events  uint64
}

// StopLoss says what is frozen at which breaks, and how much at most.
type StopLoss struct {
	DryRun bool `yaml:"dry_run"` // only report
	// Rules are tried in order; the first that matches counts. None: nothing is frozen.
	Rules []StopRule `yaml:"rules"`
	// AccountsPerMinute and AmountPerMinute (minor units by asset) bound what is frozen without a person. A freeze of a
	// flow or the cell is always beyond them unless Unasked is set on its rule.
	AccountsPerMinute int               `yaml:"accounts_per_minute"`
	AmountPerMinute   map[string]uint64 `yaml:"amount_per_minute"`
}

// StopRule maps classes of breaks to what is frozen.
type StopRule struct {
	Classes []Class  `yaml:"classes"` // empty: all
	Flows   []string `yaml:"flows"`   // empty: all
	Freeze  string   `yaml:"freeze"`  // account, flow, cell, none
	Unasked bool     `yaml:"unasked"` // may go beyond the budget
}
