package watch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The names of alerts. deploy/prometheus/sterling.rules.yaml has the same ones, from metrics.
const (
	AlertBreak    = "SterlingWatchBreak"        // breaks of a class are open in a flow
	AlertStanding = "SterlingWatchStanding"     // safe_through stands
	AlertSilent   = "SterlingWatchSourceSilent" // a witness says nothing
	AlertBehind   = "SterlingWatchBehind"       // the watch doesn't keep up with the journal
	AlertDown     = "SterlingWatchDown"         // the watch doesn't run
	AlertFrozen   = "SterlingWatchFrozen"       // a freeze was made
	AlertAsked    = "SterlingWatchFreezeAsked"  // a freeze would be beyond the budget: a person decides
)

// The severities of alerts.
const (
	Critical = "critical" // somebody has to look now
	Warning  = "warning"  // somebody has to look today
)

// Alert is what people are told at once. Those with the same labels are one, and a later one takes the place of an
// earlier one.
type Alert struct {
	Name     string // one of the above
	Severity string
	Class    Class  // of breaks
	Flow     string // of breaks, freezes
	Source   string // of a silent witness
	// Texts for people: one sentence, and what else helps. Neither has personal data.
	Summary, Description string
	Since                uint64 // ns: when it began
	Until                uint64 // ns: when it ended; 0: it goes on
}

// Key is what makes an alert one: its labels.
func (a *Alert) Key() string {
	return strings.Join([]string{a.Name, a.Severity, string(a.Class), a.Flow, a.Source}, "\x00")
}

// AlertOfBreaks tells that n breaks of a class are open in a flow, of which newest is the newest; 0: none is any more,
// since now (ns). Breaks that are not the first of their group need no alert of their own.
func AlertOfBreaks(newest *Break, n int, since, now uint64) Alert {
	a := Alert{
		Name: AlertBreak, Severity: newest.Class.Severity(), Class: newest.Class, Flow: newest.Flow, Since: since,
		Summary:     "no break " + string(newest.Class) + " is open any more",
		Description: "sterling watch break " + HexID(newest.ID),
	}
	if newest.Flow != "" {
		a.Summary += " in flow " + newest.Flow
	}
	if n == 0 {
		a.Until = now
		return a
	}
	a.Summary = newest.Summary
	if n > 1 {
		a.Summary = strconv.Itoa(n) + " breaks " + string(newest.Class) + ", the newest: " + newest.Summary
	}
	return a
}

// AlertOfProof tells that safe_through stands, for the reason that the proof gives.
func AlertOfProof(p *Proof, since uint64) Alert {
	return Alert{
		Name: AlertStanding, Severity: Critical, Since: since,
		Summary:     "money is not proven safe beyond " + clockTime(p.Through),
		Description: p.Reason,
	}
}

// AlertOfSource tells that a witness says nothing.
func AlertOfSource(s *SourceState, since uint64) Alert {
	return Alert{
		Name: AlertSilent, Severity: Warning, Source: s.Name, Since: since,
		Summary:     "source " + s.Name + " is silent since " + clockTime(s.Heard),
		Description: "nothing that only it witnesses counts as safe; sterling watch sources",
	}
}

// AlertOfFreeze tells that a freeze was made, or that a person is asked whether to make it.
func AlertOfFreeze(f *Freeze, flow string, time uint64) Alert {
	a := Alert{
		Name: AlertFrozen, Severity: Critical, Flow: flow, Since: time,
		Summary:     f.Covers() + " was frozen: " + f.Reason,
		Description: "sterling watch break " + HexID(f.Break),
	}
	if f.Withheld != "" {
		a.Name, a.Summary = AlertAsked, "freeze of "+f.Covers()+" is not made ("+f.Withheld+"): "+f.Reason
	}
	return a
}

// Covers says what a freeze is of: "account 42", "code 3", "the cell".
func (f *Freeze) Covers() string {
	switch f.Selector {
	case FreezeAccount:
		return "account " + DecimalID(f.Account)
	case FreezeCode:
		return fmt.Sprintf("code %d", f.Code)
	default:
		return "the cell"
	}
}

// Severity says how soon somebody has to look at a break of a class.
func (c Class) Severity() string {
	if slices.Contains([]Class{SilentSource, SourceGap, SourceRepeat, OversizedKey, UnknownAsset, RuleFailed, MissingReceipt}, c) {
		return Warning
	}
	return Critical
}
