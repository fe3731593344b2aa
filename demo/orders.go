package demo

import (
	"strconv"
	"time"

	"github.com/sterlingrun/sterling/client"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// The witnesses of the bank, as its flows name them.
const (
	Orders     = "orders"      // instructions of all kinds
	CardScheme = "card-scheme" // receipts of card payments and refunds
	OtherBank  = "bank"        // lines of the settlement account's statement: deposits and payouts
)

// flow is the name of a kind's flow; empty: nobody but the ledger speaks of it.
func (k Kind) flow() string {
	switch k {
	case Deposit:
		return "deposit"
	case Card:
		return "card-payment"
	case Refund:
		return "refund"
	case Payment:
		return "payment"
	case Salary:
		return "salary"
	case Instalment:
		return "instalment"
	case Lending:
		return "lending"
	case CashBack:
		return "promotion"
	case Conversion:
		return "exchange"
	case Payout:
		return "settlement"
	default:
		return ""
	}
}

// order says that the bank was told to make these transfers of the step.
func (s *Step) order(transfers ...*client.Transfer) *Step {
	for _, one := range transfers {
		s.Orders = append(s.Orders, &client.Observation{
			Kind: watchv1.ObservationKind_OBSERVATION_KIND_INSTRUCTION, Flow: s.Kind.flow(), Key: one.GetUserData_128(), Id: "o-" + one.GetId(),
			Amount: one.GetAmount(), Asset: one.GetAsset(), DebitAccountId: one.GetDebitAccountId(), CreditAccountId: one.GetCreditAccountId(),
			Text: s.Kind.String(),
		})
	}
	return s
}

// longestWord is how long a card scheme or another bank takes to say something, at most.
const longestWord = 400 * time.Millisecond

func (t *teller) later() time.Duration {
	return time.Duration(20+t.random.IntN(int((longestWord-20*time.Millisecond)/time.Millisecond))) * time.Millisecond
}

// settled has the card scheme say what became of a payment, or a refund: id is the receipt's.
func (s *Step) settled(t *teller, payment *client.Transfer, id string, amount int, outcome watchv1.Outcome) {
	o := &client.Observation{
		Kind: watchv1.ObservationKind_OBSERVATION_KIND_RECEIPT, Flow: s.Kind.flow(), Key: payment.GetUserData_128(), Id: "r-" + id,
		Outcome: outcome, Amount: strconv.Itoa(amount), Asset: payment.GetAsset(), Text: s.Kind.String(),
	}
	s.Words = append(s.Words, Word{Source: CardScheme, After: t.later(), Observation: o})
}

// booked has the other bank list the money on its statement: with the sign "-" what left the bank, where the amount is
// known only afterwards.
func (s *Step) booked(t *teller, moved *client.Transfer, sign string) {
	o := &client.Observation{
		Kind: watchv1.ObservationKind_OBSERVATION_KIND_STATEMENT_ENTRY, Flow: s.Kind.flow(), Key: moved.GetUserData_128(), Id: "b-" + moved.GetId(),
		Amount: sign + moved.GetAmount(), Asset: moved.GetAsset(), Text: s.Kind.String(),
	}
	if sign != "" {
		o.Amount = ""
	}
	s.Words = append(s.Words, Word{Source: OtherBank, After: t.later(), Observation: o})
}
