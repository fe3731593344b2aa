package monitor

import (
	"sync"
	"time"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/watch"
)

// alarms turns what happens into alerts, and counts open breaks. Alerts are told when they change; who is told repeats
// them as needed.
type alarms struct {
	to    Alerts
	clock clock.Clock

	mu       sync.Mutex
	breaks   map[breakLabels]*openBreaks
	through  uint64 // of the newest view
	moved    uint64 // ns, when it last rose
	standing *watch.Alert
	behind   *watch.Alert
	stopped  *watch.Alert
	silent   map[string]watch.Alert
}

// breakLabels are what breaks of one alert have in common.
type breakLabels struct {
	class watch.Class
	flow  string
}

type openBreaks struct {
	n, roots int
	since    uint64 // ns
	newest   watch.Break
}

const (
	// standsLong is how long the proof may stand before people are told, behindLong how far the watch may be behind the
	// journal.
	standsLong = 10 * time.Second
	behindLong = 10 * time.Second
)

func (a *alarms) init(to Alerts, c clock.Clock) {
	if to == nil {
		to = nobody{}
	}
	a.to, a.clock, a.silent, a.breaks, a.moved = to, c, map[string]watch.Alert{}, map[breakLabels]*openBreaks{}, c.Wall()
}

type nobody struct{}

// Notify implements Alerts.
func (nobody) Notify([]watch.Alert) {}

// forgetBreaks begins to count anew, at a start.
func (a *alarms) forgetBreaks() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.breaks)
}

// count takes a break's change into account, and returns its alert where that changed; nil otherwise.
func (a *alarms) count(t told) *watch.Alert {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.change(t)
}

// change is count with mu held.
func (a *alarms) change(t told) *watch.Alert {
	if t.from == t.to {
		return nil
	}
	l := breakLabels{t.b.Class, t.b.Flow}
	o := a.breaks[l]
	if o == nil {
		o = &openBreaks{}
		a.breaks[l] = o
	}
	d, r := 0, 0
	switch {
	case t.to == watch.Open:
		d = 1
	case t.from == watch.Open:
		d = -1
	}
	if isRoot(t.b) {
		r = d
	}
	if o.n += d; o.n < 0 {
		o.n = 0
	}
	if o.roots = max(0, o.roots+r); d > 0 && r > 0 {
		o.newest = *t.b
		if o.roots == 1 {
			o.since = t.b.FirstSeen
		}
	}
	if r == 0 {
		return nil
	}
	alert := watch.AlertOfBreaks(&o.newest, o.roots, o.since, a.clock.Wall())
	return &alert
}

// open returns how many breaks are open, by class.
func (a *alarms) open() map[watch.Class]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := map[watch.Class]uint64{}
	for l, o := range a.breaks {
		m[l.class] += uint64(o.n) //nolint:gosec // ≥ 0
	}
	return m
}

// tell makes alerts of what was stored. v may be nil.
func (a *alarms) tell(list []told, v *view) {
	var alerts []watch.Alert
	changed := map[string]watch.Alert{}
	a.mu.Lock()
	for _, t := range list {
		if t.freeze != nil {
			alerts = append(alerts, watch.AlertOfFreeze(t.freeze, "", t.at))
		} else if alert := a.change(t); alert != nil {
			changed[alert.Key()] = *alert
		}
	}
	if v != nil {
		alerts = append(alerts, a.look(v)...)
	}
	a.mu.Unlock()
	for _, alert := range changed {
		alerts = append(alerts, alert)
	}
	if len(alerts) > 0 {
		a.to.Notify(alerts)
	}
}

// look makes alerts of a view. mu is held.
func (a *alarms) look(v *view) (alerts []watch.Alert) {
	now := a.clock.Wall()
	if v.proof.Through > a.through || v.proof.Reason == "" {
		a.through, a.moved = v.proof.Through, now
	}
	standing := watch.AlertOfProof(&v.proof, a.moved)
	alerts = follow(alerts, &a.standing, now > a.moved+uint64(standsLong), standing, now)
	behind := watch.Alert{
		Name: watch.AlertBehind, Severity: watch.Warning, Since: now,
		Summary: "the watch is behind the journal", Description: "payments go on; what they did is not proven yet",
	}
	late := now > v.since+uint64(behindLong) && v.lag > 0
	alerts = follow(alerts, &a.behind, late, behind, now)
	for i := range v.sources {
		src := &v.sources[i]
		was, told := a.silent[src.Name]
		switch {
		case src.Silent && !told:
			a.silent[src.Name] = watch.AlertOfSource(src, now)
			alerts = append(alerts, a.silent[src.Name])
		case told && !src.Silent:
			was.Until = now
			delete(a.silent, src.Name)
			alerts = append(alerts, was)
		}
	}
	return alerts
}

// follow adds an alert that begins or ends. at is the one that goes on, nil where none does.
func follow(alerts []watch.Alert, at **watch.Alert, on bool, alert watch.Alert, now uint64) []watch.Alert {
	switch {
	case on && *at == nil:
		*at = &alert
		return append(alerts, alert)
	case !on && *at != nil:
		ended := **at
		ended.Until, *at = now, nil
		return append(alerts, ended)
	}
	return alerts
}

// down tells that the watch does not run, up that it does again.
func (a *alarms) down(err error) {
	a.run(true, watch.Alert{
		Name: watch.AlertDown, Severity: watch.Critical, Since: a.clock.Wall(),
		Summary: "the watch does not run: nothing more is proven, and payments go on", Description: err.Error(),
	})
}

func (a *alarms) up() { a.run(false, watch.Alert{}) }

func (a *alarms) run(down bool, alert watch.Alert) {
	a.mu.Lock()
	alerts := follow(nil, &a.stopped, down, alert, a.clock.Wall())
	a.mu.Unlock()
	if len(alerts) > 0 {
		a.to.Notify(alerts)
	}
}
