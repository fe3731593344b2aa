package demo

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
)

// Kind is what a story is about. It is the code of the story's transfers.
type Kind uint16

// The kinds.
const (
	Opening Kind = iota + 1
	Deposit
	Card
	Refund
	Payment
	Salary
	Instalment
	Lending
	CashBack
	Conversion
	Payout
	kinds
)

// String is the kind's name in the summary.
func (k Kind) String() string {
	switch k {
	case Opening:
		return "opening"
	case Deposit:
		return "deposit"
	case Card:
		return "card payment"
	case Refund:
		return "refund"
	case Payment:
		return "payment"
	case Salary:
		return "salary"
	case Instalment:
		return "instalment"
	case Lending:
		return "loan paid out"
	case CashBack:
		return "promotion"
	case Conversion:
		return "exchange"
	case Payout:
		return "merchant payout"
	default:
		return fmt.Sprintf("Kind(%d)", uint16(k))
	}
}

// Step is one call: transfers that move together or not at all.
type Step struct {
	Story uint64        // steps of one story follow each other, and end when one is refused
	Last  bool          // of its story
	Kind  Kind          // of this step
	Due   time.Duration // since the plan began
	// Transfers are sent in one call, linked where there are several.
	Transfers []*client.Transfer
	// Orders are what the bank was told to do with it, for the watch; without their time, which is when the call begins.
	Orders []*client.Observation
	// Words are what others say once it is done.
	Words []Word
}

// Word is what a card scheme or another bank says of money that moved.
type Word struct {
	Source string
	After  time.Duration // the call was answered
	// Observation lacks its time; and its amount, where that is known only afterwards: it is what transfer number Of of
	// the step moved. Where that is nothing, nothing is said.
	Observation *client.Observation
	Of          int
}

// Plan makes steps in the order in which they are due. It is a pure function of its arguments.
type Plan struct {
	bank  bank
	seed  uint64
	rate  float64
	day   time.Duration
	until time.Duration // when the last story begins; 0: never

	story uint64
	next  time.Duration // when the next story begins
	due   steps
	order uint64
}

// NewPlan returns a plan of rate stories a second on average, whose day takes day, for a bank with so many customers.
// It begins stories until a duration has passed (0: for ever); a story takes up to a fiftieth of a day.
func NewPlan(seed uint64, customers int, rate float64, day, until time.Duration) *Plan {
	return &Plan{bank: newBank(customers), seed: seed, rate: rate, day: day, until: until}
}

// opens is the time of day when a plan begins: something is to be seen at once.
const opens = 9 * time.Hour

// TimeOfDay is what the bank's clocks show when due has passed.
func (p *Plan) TimeOfDay(due time.Duration) time.Duration {
	const day = 24 * time.Hour
	return (opens + time.Duration(float64(due%p.day)/float64(p.day)*float64(day))) % day
}

// Next returns the next step; ok is false after the last one.
func (p *Plan) Next() (s *Step, ok bool) {
	for (p.until == 0 || p.next < p.until) && (len(p.due) == 0 || p.next <= p.due[0].step.Due) {
		p.begin()
	}
	if len(p.due) == 0 {
		return nil, false
	}
	return heap.Pop(&p.due).(ordered).step, true
}

// begin adds the steps of one more story.
func (p *Plan) begin() {
	at := p.TimeOfDay(p.next)
	t := &teller{
		plan: p, at: p.next, tick: p.day / 2000, story: p.story,
		random: rand.New(rand.NewPCG(p.seed, p.story)), //nolint:gosec // G404: repeatable, not secret
	}
	t.tell(at)
	for i, s := range t.steps {
		s.Last = i == len(t.steps)-1
		heap.Push(&p.due, ordered{s, p.order})
		p.order++
	}
	p.story++
	p.next += time.Duration(float64(time.Second) / (p.rate * Profile(at)))
}

// ordered is a step with its number among all, so that steps due at the same moment have an order.
type ordered struct {
	step  *Step
	order uint64
}

// steps is a heap by due time.
type steps []ordered

func (s steps) Len() int { return len(s) }

func (s steps) Less(i, j int) bool {
	if s[i].step.Due != s[j].step.Due {
		return s[i].step.Due < s[j].step.Due
	}
	return s[i].order < s[j].order
}

func (s steps) Swap(i, j int) { s[i], s[j] = s[j], s[i] }

// Push implements heap.Interface.
func (s *steps) Push(x any) { *s = append(*s, x.(ordered)) }

// Pop implements heap.Interface.
func (s *steps) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// transferID is an id that only these arguments have.
func transferID(what string, a, b uint64) string {
	sum := sha256.Sum256([]byte("sterling demo " + what + " " + strconv.FormatUint(a, 10) + " " + strconv.FormatUint(b, 10)))
	return money.U128{Lo: binary.LittleEndian.Uint64(sum[:]), Hi: binary.LittleEndian.Uint64(sum[8:])}.String()
}
