package watch

import (
	"fmt"
	"slices"

	"github.com/sterlingrun/sterling/watch/internal/books"
)

// watchedAccount is an account of which somebody else's books told the balance: its own balance after its last
// movements is kept, so that a word about a moment that is over can be judged.
type watchedAccount struct {
	changes []balanceAt // ascending by time
	claims  []claim     // what was said and can't be judged yet
}

type balanceAt struct {
	time   uint64
	amount number // credits posted minus debits posted, after the movement
}

type claim struct {
	time   uint64
	amount number
	source uint16
	seq    uint64
	asset  string
}

const (
	blockSpan  = 1 << 14 // ns: events of one block are a nanosecond apart, and fewer
	maxWatched = 1_024
	maxChanges = 1_024
	maxClaims  = 64
)

func (e *Engine) balanceOf(id ID) (number, bool) {
	b, ok := e.books.Account(id)
	if !ok {
		return number{}, false
	}
	n, _ := positive(b.CreditsPosted).add(positive(b.DebitsPosted).negate())
	return n, true
}

// touchWatched notes what a movement made of the balances of watched accounts.
func (e *Engine) touchWatched(m *Movement) {
	if m.Phase == books.Hand {
		e.handWatched(m)
	}
	if m.Phase != books.Single && m.Phase != books.Capture {
		return
	}
	for _, side := range [2]struct {
		account ID
		by      number
	}{{m.Debit, signed(true, m.Amount)}, {m.Credit, positive(m.Amount)}} {
		w := e.watched[side.account]
		if w == nil {
			continue
		}
		if len(w.changes) == maxChanges {
			w.changes = slices.Delete(w.changes, 0, maxChanges/2)
		}
		amount, _ := w.changes[len(w.changes)-1].amount.add(side.by) // of the ledger's 128 bits
		w.changes = append(w.changes, balanceAt{m.Time, amount})
	}
}

// handWatched notes that an account left for another cell, or came from there: of one that left, nothing is judged here
// any more; of the clearing account, what it has now is what it had from then on.
func (e *Engine) handWatched(m *Movement) {
	for _, id := range [2]ID{m.Debit, m.Credit} {
		w := e.watched[id]
		if w == nil {
			continue
		}
		now, _ := e.balanceOf(id)
		w.changes = append(w.changes, balanceAt{m.Time, now})
		if e.books.Moved(id) {
			delete(e.watched, id)
			e.watchOrder = slices.DeleteFunc(e.watchOrder, func(o ID) bool { return o == id })
		}
	}
}

// balance takes the balance of an account by somebody else's books.
func (e *Engine) balance(i uint16, o *Observation, moment uint64) {
	if e.books.Moved(o.Debit) {
		return // it is another cell's account
	}
	w := e.watched[o.Debit]
	if w == nil {
		now, ok := e.balanceOf(o.Debit)
		if !ok || len(e.watched) == maxWatched {
			e.misplaced(i, o, "its account is not in the ledger, or too many are watched")
			return
		}
		w = &watchedAccount{changes: []balanceAt{{e.books.Time() + blockSpan, now}}}
		e.watched[o.Debit] = w
		e.watchOrder = append(e.watchOrder, o.Debit)
	}
	if len(w.claims) == maxClaims {
		w.claims = w.claims[1:]
	}
	w.claims = append(w.claims, claim{time: moment, amount: signed(o.Minus, o.Amount), source: i, seq: o.Seq, asset: string([]byte(o.Asset))})
}

// settleBalances judges what was said about moments that the journal has passed.
func (e *Engine) settleBalances() {
	for _, id := range e.watchOrder {
		w := e.watched[id]
		w.claims = slices.DeleteFunc(w.claims, func(c claim) bool {
			if e.sources[0].through < c.time {
				return false
			}
			e.judgeBalance(id, w, c)
			return true
		})
	}
}

func (e *Engine) judgeBalance(id ID, w *watchedAccount, c claim) {
	at := -1
	for n := range w.changes {
		if w.changes[n].time <= c.time {
			at = n
		}
	}
	if at < 0 {
		return // before the account was watched: its balance then is not known here
	}
	own := w.changes[at].amount
	cause := "balance " + e.sources[c.source].name
	if own == c.amount {
		e.mend(breakID(BalanceMismatch, "", id, cause), "a later balance agrees")
		return
	}
	difference, _ := own.add(c.amount.negate())
	e.report(breakOf{
		class: BalanceMismatch, key: id, cause: cause, happened: max(c.time, 1), risk: difference.size, asset: c.asset, accounts: []ID{id},
		summary: fmt.Sprintf("account %s: source %s says %s, the journal says %s", id, e.sources[c.source].name, signedMoney(c.amount, c.asset), signedMoney(own, c.asset)),
		evidence: []Evidence{{What: "balance", Source: e.sources[c.source].name, Seq: c.seq, Time: c.time, Fields: []Field{
			{Name: "balance", Value: signedMoney(c.amount, c.asset), Wrong: true}, {Name: "by the journal", Value: signedMoney(own, c.asset)},
		}}},
	})
}

func signedMoney(n number, asset string) string {
	if n.negative {
		return "-" + money(n.size, asset)
	}
	return money(n.size, asset)
}

// Compare takes balances that the ledger itself had after block seq, which must be the last that Block took; others are
// left out. A difference is a break until a later comparison agrees.
func (e *Engine) Compare(seq uint64, accounts []AccountBalance) {
	if seq != e.books.Seq() {
		return
	}
	for n := range accounts {
		got := accounts[n]
		found, ok := e.books.Account(got.Account)
		own := AccountBalance(found)
		id := breakID(BalanceMismatch, "", got.Account, "ledger")
		if ok && own == got {
			e.mend(id, "a later comparison agrees")
			continue
		}
		e.report(e.mismatch(seq, &got, &own, ok))
	}
}

func (e *Engine) mismatch(seq uint64, got, own *AccountBalance, known bool) breakOf {
	asset := e.AssetName(got.Asset)
	ev := Evidence{What: "balance", Source: "ledger", Seq: seq, Time: e.now}
	var risk Amount
	for _, f := range []struct {
		name      string
		got, want Amount
	}{
		{"debits posted", got.DebitsPosted, own.DebitsPosted},
		{"credits posted", got.CreditsPosted, own.CreditsPosted},
		{"debits pending", got.DebitsPending, own.DebitsPending},
		{"credits pending", got.CreditsPending, own.CreditsPending},
	} {
		ev.Fields = append(ev.Fields, Field{Name: f.name, Value: money(f.got, asset), Wrong: f.got != f.want}, Field{Name: f.name + " by the journal", Value: money(f.want, asset)})
		if risk.Less(apart(f.got, f.want)) {
			risk = apart(f.got, f.want)
		}
	}
	summary := fmt.Sprintf("account %s: the ledger's balance is not what its journal adds up to", got.Account)
	if !known {
		summary = fmt.Sprintf("account %s: the ledger has it, and its journal does not", got.Account)
	}
	return breakOf{
		class: BalanceMismatch, key: got.Account, cause: "ledger", happened: max(e.books.Time(), 1), risk: risk, asset: asset, accounts: []ID{got.Account},
		summary: summary, evidence: []Evidence{ev}, group: e.journalRoot,
	}
}
