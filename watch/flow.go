package watch

import (
	"crypto/sha256"
	"time"
)

// Flow is what people declare: what belongs together, within which time, on which terms. Parse reads it, and only what
// was parsed can be used. It doesn't change.
type Flow struct {
	Name, Title string

	text   string
	digest [sha256.Size]byte // of the text

	claims  boolRule // which movements belong here
	codes   []uint16 // the only codes that claims can be true for; nil: any
	keyedBy keyField
	order   *owed
	receipt *owed
	settle  uint64 // ns: reservations end by then; 0: no bound
	since   uint64 // ns: cases that began before are not judged; 0: all are
	legs    []leg  // the first that is no fee is the main one
	main    int
	refunds string // name of the flow whose payments are paid back; empty: none
	rules   []rule
	terms   []string // names that the rules use, in the order in which cases keep their values
	silence map[string]uint64
	cel     []string // expressions that run in CEL, for `sterling watch check`
}

// keyField says what of a movement is its key.
type keyField uint8

const (
	keyUserData128 keyField = iota
	keyUserData64
	keyTransfer
	keyReservation // the same: what ends a reservation belongs to it
)

// owed is a witness that a flow waits for.
type owed struct {
	source    string
	within    uint64 // ns
	statement bool   // lines of a statement instead of receipts
	minus     bool   // of a statement: money that left the bank
	settled   uint8  // bits of outcomes that say: paid
}

// party is one side of a leg.
type party struct {
	of      partyOf
	account ID
}

type partyOf uint8

const (
	anybody partyOf = iota
	orderDebit
	orderCredit
	paymentDebit
	paymentCredit
	fixed
)

// leg is one of the movements that a flow consists of.
type leg struct {
	name     string
	when     boolRule // nil: every movement
	data32   uint32   // what user_data_32 is compared with there; 0: unknown
	from, to party
	amount   numberRule // nil: any
	asset    string     // empty: the order's
	fee      bool
	atMost   bool // less is fine
	parts    bool // may come in several movements, so that less is judged at the deadline
	optional bool
	together bool            // moves in the same block as the main leg, so that its absence is judged at once
	classes  map[Class]Class // special names of what can be wrong with it
}

func (l *leg) class(c Class) Class {
	if special, ok := l.classes[c]; ok {
		return special
	}
	return c
}

// rule is a condition that every complete case fulfils.
type rule struct {
	class  Class
	unless boolRule
	text   string
	early  bool // judged when the order comes, not when the money has moved
}

// Definition returns the file that the flow was read from.
func (f *Flow) Definition() string { return f.text }

// Sources returns the names of the witnesses that the flow needs beside the journal.
func (f *Flow) Sources() []string {
	var names []string
	for _, o := range []*owed{f.order, f.receipt} {
		if o != nil && (len(names) == 0 || names[0] != o.source) {
			names = append(names, o.source)
		}
	}
	return names
}

// Interpreted returns the expressions that are slow, since they run in CEL's interpreter: a microsecond each.
func (f *Flow) Interpreted() []string { return f.cel }

// defaultSilence is how long a source may say nothing.
const defaultSilence = uint64(10 * time.Second)

// forgets reports whether something that happened then is so old that no case that is judged can have it.
func (f *Flow) forgets(moment uint64) bool { return f.since != 0 && moment+f.longest() < f.since }

// longest is how long a case may take from its order on.
func (f *Flow) longest() uint64 {
	var sum uint64
	for _, o := range []*owed{f.order, f.receipt} {
		if o != nil {
			sum += o.within
		}
	}
	return max(sum, f.settle)
}
