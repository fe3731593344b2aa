package watch

import (
	"fmt"
	"slices"
	"time"
)

// budget is what was frozen without a person in one minute of the engine's time.
type budget struct {
	minute   uint64
	accounts int
	amount   map[string]Amount
}

// Reasons why a freeze is not made.
const (
	withheldDryRun = "dry run"
	withheldAsked  = "asked"
)

// checkStopLoss refuses rules that could never mean anything.
func checkStopLoss(s StopLoss) error {
	for n, r := range s.Rules {
		switch r.Freeze {
		case "account", "flow", "cell", "none":
		default:
			return fmt.Errorf("%w: stop_loss.rules[%d].freeze: %q: want account, flow, cell or none", ErrOptions, n, r.Freeze)
		}
		for _, c := range r.Classes {
			if !slices.Contains(Classes(), c) {
				return fmt.Errorf("%w: stop_loss.rules[%d].classes: %q is no class of breaks", ErrOptions, n, string(c))
			}
		}
	}
	return nil
}

// stopLoss wants the freeze that the first matching rule gives for a new break. Breaks that follow from another are not
// frozen again: the first of their group was.
func (e *Engine) stopLoss(k *kept) {
	if k.Group != k.ID {
		return
	}
	for n := range e.loss.Rules {
		r := &e.loss.Rules[n]
		if len(r.Classes) > 0 && !slices.Contains(r.Classes, k.Class) || len(r.Flows) > 0 && !slices.Contains(r.Flows, k.Flow) {
			continue
		}
		for _, f := range e.freezes(r, k) {
			f.Withheld = e.withheld(r, k, f)
			e.emit(Effect{Kind: FreezeWanted, Freeze: f, Who: whoWatch, Why: k.Summary})
		}
		return
	}
}

// freezes returns what a rule freezes for a break.
func (e *Engine) freezes(r *StopRule, k *kept) []*Freeze {
	make1 := func(s FreezeSelector, account ID, code uint16) *Freeze {
		f := &Freeze{Break: k.ID, Selector: s, Account: account, Code: code, Reason: fmt.Sprintf("watch: %s %.16s", k.Class, hexOf(k.ID))}
		f.ID = breakID(Class(fmt.Sprintf("freeze %d %d", s, code)), "", k.ID, string(account[:]))
		f.Reason = f.Reason[:min(len(f.Reason), 64)]
		return f
	}
	switch r.Freeze {
	case "account":
		for _, id := range k.Accounts {
			if k.flow < 0 || !slices.Contains(e.running[k.flow].fixed, id) {
				return []*Freeze{make1(FreezeAccount, id, 0)}
			}
		}
	case "flow":
		var list []*Freeze
		if k.flow >= 0 {
			for _, code := range e.codesOf(k) {
				list = append(list, make1(FreezeCode, ID{}, code))
			}
		}
		return list
	case "cell":
		return []*Freeze{make1(FreezeCell, ID{}, 0)}
	}
	return nil
}

// codesOf returns the transfer codes of a break's flow: the declared ones, or those of the case's movements.
func (e *Engine) codesOf(k *kept) []uint16 {
	codes := e.flows[k.flow].codes
	if len(codes) > 0 || k.index == 0 {
		return codes
	}
	for p := e.cases.at(k.index).first; p != 0; {
		one := e.facts.at(p)
		p = one.next
		if one.isMovement() && !slices.Contains(codes, one.code) {
			codes = append(codes, one.code)
		}
	}
	return codes
}

// withheld decides whether a freeze is within the budget of its minute, and spends it.
func (e *Engine) withheld(r *StopRule, k *kept, f *Freeze) string {
	if e.loss.DryRun {
		return withheldDryRun
	}
	if r.Unasked {
		return ""
	}
	if f.Selector != FreezeAccount {
		return withheldAsked
	}
	if minute := e.now / uint64(time.Minute); minute != e.spent.minute {
		e.spent = budget{minute: minute}
	}
	sum := e.spent.amount[k.Asset].AddSat(k.AtRisk)
	limit, bounded := e.loss.AmountPerMinute[k.Asset]
	if e.spent.accounts >= e.loss.AccountsPerMinute || bounded && (Amount{Lo: limit}).Less(sum) {
		return withheldAsked
	}
	e.spent.accounts++
	if e.spent.amount == nil {
		e.spent.amount = map[string]Amount{}
	}
	e.spent.amount[k.Asset] = sum
	return ""
}

// Frozen tells what became of a freeze that was wanted: made, or why not. A failure opens the budget again, so that the
// next freeze is not held back by one that was never made.
func (e *Engine) Frozen(_ ID, failure string) {
	if failure != "" && e.spent.accounts > 0 {
		e.spent.accounts--
	}
}
