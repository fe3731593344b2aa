package monitor

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sterlingrun/sterling/watch"
)

// A group of the log is a version byte and inputs, each of them a kind and its fields. Numbers are varints, texts have
// their length before them. docs/formats.md describes it.
const groupVersion = 1

// inputKind says what an input is.
type inputKind byte

const (
	inputBlocks   inputKind = 1 + iota // the blocks first…last of the journal were taken
	inputObserve                       // observations of a source
	inputTick                          // the time
	inputCompare                       // balances that differ from watch's own, or did
	inputDecide                        // a person's word on a break
	inputFrozen                        // what became of a freeze
	inputSettings                      // other flows, or another stop-loss, from here on
)

// input is one input of the engine, read from the log.
type input struct {
	kind inputKind

	first, last        uint64 // blocks
	source             string
	observations       []watch.Observation
	now, head, horizon uint64
	seq                uint64 // of a comparison
	accounts           []watch.AccountBalance
	decision           watch.Decision
	freeze             watch.ID
	failure            string
	settings           settings
}

// errLog is a log that can't be read: another version, or altered bytes.
var errLog = errors.New("malformed log of inputs")

func appendText[T ~string](dst []byte, s T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

func appendAmount(dst []byte, a watch.Amount) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, a.Lo), a.Hi)
}

func appendBlocks(dst []byte, first, last uint64) []byte {
	dst = append(dst, byte(inputBlocks))
	return binary.AppendUvarint(binary.AppendUvarint(dst, first), last)
}

func appendTick(dst []byte, now, head, horizon uint64) []byte {
	dst = binary.AppendUvarint(append(dst, byte(inputTick)), now)
	return binary.AppendUvarint(binary.AppendUvarint(dst, head), horizon)
}

func appendCompare(dst []byte, seq uint64, accounts []watch.AccountBalance) []byte {
	dst = binary.AppendUvarint(append(dst, byte(inputCompare)), seq)
	dst = binary.AppendUvarint(dst, uint64(len(accounts)))
	for i := range accounts {
		a := &accounts[i]
		dst = append(dst, a.Account[:]...)
		dst = binary.AppendUvarint(dst, uint64(a.Asset))
		for _, v := range []watch.Amount{a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending} {
			dst = appendAmount(dst, v)
		}
	}
	return dst
}

func appendDecide(dst []byte, d *watch.Decision) []byte {
	dst = append(append(dst, byte(inputDecide)), d.Break[:]...)
	dst = append(dst, boolByte(d.Group), byte(d.State))
	return appendText(appendText(dst, d.Who), d.Why)
}

func appendFrozen(dst []byte, id watch.ID, failure string) []byte {
	return appendText(append(append(dst, byte(inputFrozen)), id[:]...), failure)
}

func appendSettings(dst []byte, encoded []byte) []byte {
	return appendText(append(dst, byte(inputSettings)), string(encoded))
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// appendObserve appends an input with n observations that are encoded already, one after the other.
func appendObserve(dst []byte, source string, n int, encoded []byte) []byte {
	dst = appendText(append(dst, byte(inputObserve)), source)
	dst = binary.AppendUvarint(dst, uint64(n)) //nolint:gosec // ≥ 0
	return append(dst, encoded...)
}

// appendObservation appends an observation: its sequence number, then its content, which begins at the length that is
// returned.
func appendObservation(dst []byte, o *watch.Observation) (_ []byte, content int) {
	dst = binary.AppendUvarint(dst, o.Seq)
	content = len(dst)
	dst = append(dst, byte(o.Kind), byte(o.Outcome), boolByte(o.Minus))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, o.Time), o.Through)
	for _, id := range []*watch.ID{&o.Key, &o.ID, &o.Debit, &o.Credit, &o.OfKey} {
		dst = appendID(dst, id)
	}
	dst = appendAmount(dst, o.Amount)
	for _, s := range []string{o.Flow, o.KeyText, o.IDText, o.Asset, o.Text} {
		dst = appendText(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(o.Terms)))
	for i := range o.Terms {
		dst = binary.AppendVarint(appendText(dst, o.Terms[i].Name), o.Terms[i].Value)
	}
	return dst, content
}

// appendID appends an id: its length without the zeros at its end, then its bytes.
func appendID(dst []byte, id *watch.ID) []byte {
	n := len(id)
	for n > 0 && id[n-1] == 0 {
		n--
	}
	return append(append(dst, byte(n)), id[:n]...)
}

// reader reads fields until they end or are wrong. After a fault it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() { r.b, r.failed = nil, true }

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	part := r.b[:n]
	r.b = r.b[n:]
	return part
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string         { return string(r.bytes(r.number())) }
func (r *reader) amount() watch.Amount { return watch.Amount{Lo: r.number(), Hi: r.number()} }

func (r *reader) id() (id watch.ID) {
	copy(id[:], r.bytes(uint64(len(id))))
	return id
}

func (r *reader) shortID() (id watch.ID) {
	n := r.byte()
	if int(n) > len(id) {
		r.fail()
	}
	copy(id[:], r.bytes(uint64(n)))
	return id
}

// count reads how many things of at least size bytes follow.
func (r *reader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.b)/size) { //nolint:gosec // size > 0
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // bounded by the bytes that are there
}

func (r *reader) observation() (o watch.Observation) {
	o.Seq = r.number()
	o.Kind, o.Outcome, o.Minus = watch.ObservationKind(r.byte()), watch.Outcome(r.byte()), r.byte() != 0
	o.Time, o.Through = r.number(), r.number()
	for _, id := range []*watch.ID{&o.Key, &o.ID, &o.Debit, &o.Credit, &o.OfKey} {
		*id = r.shortID()
	}
	o.Amount = r.amount()
	for _, s := range []*string{&o.Flow, &o.KeyText, &o.IDText, &o.Asset, &o.Text} {
		*s = r.text()
	}
	if n := r.count(2); n > 0 {
		o.Terms = make([]watch.Term, n)
		for i := range o.Terms {
			o.Terms[i] = watch.Term{Name: r.text(), Value: r.signed()}
		}
	}
	return o
}

// smallestObservation and smallestBalance are the least bytes that one can have.
const (
	smallestObservation = 19
	smallestBalance     = 25
)

func (r *reader) input() (in input) {
	in.kind = inputKind(r.byte())
	switch in.kind {
	case inputBlocks:
		in.first, in.last = r.number(), r.number()
		if in.first == 0 || in.last < in.first {
			r.fail()
		}
	case inputObserve:
		in.source = r.text()
		in.observations = make([]watch.Observation, r.count(smallestObservation))
		for i := range in.observations {
			in.observations[i] = r.observation()
		}
	case inputTick:
		in.now, in.head, in.horizon = r.number(), r.number(), r.number()
	case inputCompare:
		in.seq = r.number()
		in.accounts = make([]watch.AccountBalance, r.count(smallestBalance))
		for i := range in.accounts {
			a := &in.accounts[i]
			a.Account, a.Asset = r.id(), uint32(r.number()) //nolint:gosec // written from 32 bits
			a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending = r.amount(), r.amount(), r.amount(), r.amount()
		}
	case inputDecide:
		in.decision = watch.Decision{Break: r.id(), Group: r.byte() != 0, State: watch.BreakState(r.byte()), Who: r.text(), Why: r.text()}
	case inputFrozen:
		in.freeze, in.failure = r.id(), r.text()
	case inputSettings:
		if json.Unmarshal(r.bytes(r.number()), &in.settings) != nil {
			r.fail()
		}
	default:
		r.fail()
	}
	return in
}

// readGroup calls apply with the inputs of a group in order. It returns errLog for bytes that are no group, or what
// apply returned.
func readGroup(b []byte, apply func(*input) error) error {
	if len(b) == 0 || b[0] != groupVersion {
		return fmt.Errorf("%w: want version %d", errLog, groupVersion)
	}
	r := reader{b: b[1:]}
	for len(r.b) > 0 {
		in := r.input()
		if r.failed {
			return fmt.Errorf("%w: at byte %d of %d", errLog, len(b)-len(r.b), len(b))
		}
		if err := apply(&in); err != nil {
			return err
		}
	}
	return nil
}
