package api

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

const (
	maxBreaks = 1000 // of a page
	maxGroup  = 100  // others that are shown beside a break
	maxWhy    = 512  // bytes
)

func (s *Server) listBreaks(ctx context.Context, _ auth.Principal, r *watchv1.ListBreaksRequest) (*watchv1.ListBreaksResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	f := watch.Filter{
		State: watch.BreakState(r.GetState()), Flow: r.GetFlow(), Class: watch.Class(r.GetClass()), Roots: r.GetRoots(), //nolint:gosec // checked below
		Limit: int(r.GetLimit()), After: r.GetAfter(),
	}
	if f.Limit == 0 {
		f.Limit = defaultRows
	}
	switch {
	case r.GetState() < 0 || r.GetState() > watchv1.BreakState_BREAK_STATE_ACCEPTED:
		return nil, malformed("state", fmt.Sprintf("%d is unknown", r.GetState()))
	case f.Flow != "" && checkName("", f.Flow) != nil:
		return nil, malformed("flow", nameRule)
	case f.Class != "" && checkName("", string(f.Class)) != nil:
		return nil, malformed("class", nameRule)
	case f.Limit > maxBreaks:
		return nil, malformed("limit", fmt.Sprintf("want up to %d", maxBreaks))
	case !goodText(f.After, maxEvidence):
		return nil, malformed("after", "want next of the last response")
	}
	page, next, err := w.Breaks(ctx, f)
	if err != nil {
		return nil, watchFault(err)
	}
	response := &watchv1.ListBreaksResponse{Next: next}
	for i := range page {
		response.Breaks = append(response.Breaks, shortBreak(&page[i]))
	}
	return response, nil
}

func (s *Server) getBreak(ctx context.Context, _ auth.Principal, r *watchv1.GetBreakRequest) (*watchv1.GetBreakResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	found, err := findBreak(ctx, w, r.GetId())
	if err != nil {
		return nil, err
	}
	response := &watchv1.GetBreakResponse{Found: breakMessage(found)}
	others, _, err := w.Breaks(ctx, watch.Filter{Group: found.Group, Limit: maxGroup + 1}) // it is one of them itself
	if err != nil {
		return nil, watchFault(err)
	}
	for i := range others {
		if others[i].ID != found.ID && len(response.Group) < maxGroup {
			response.Group = append(response.Group, shortBreak(&others[i]))
		}
	}
	return response, nil
}

func findBreak(ctx context.Context, w Watch, id string) (*watch.Record, error) {
	key, err := watch.ParseHexID(id)
	if err != nil {
		return nil, malformed("id", err.Error())
	}
	found, err := w.Break(ctx, key)
	if err != nil {
		return nil, watchFault(fmt.Errorf("break %s: %w", id, err))
	}
	return &found, nil
}

// ended says that nothing can be decided about a break any more.
func ended(r *watch.Record) *fault {
	return &fault{
		code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_BREAK_ENDED, field: "id",
		message: fmt.Sprintf("break %s is %s: nothing is left to decide", watch.HexID(r.ID), stateName(r.State)),
	}
}

func stateName(s watch.BreakState) string {
	return strings.ToLower(strings.TrimPrefix(watchv1.BreakState(s).String(), "BREAK_STATE_"))
}

func (s *Server) decideBreak(ctx context.Context, p auth.Principal, r *watchv1.DecideBreakRequest) (*watchv1.DecideBreakResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	switch r.GetState() {
	case watchv1.BreakState_BREAK_STATE_OPEN, watchv1.BreakState_BREAK_STATE_EXPLAINED, watchv1.BreakState_BREAK_STATE_ACCEPTED:
	default:
		return nil, malformed("state", "want BREAK_STATE_EXPLAINED, BREAK_STATE_ACCEPTED or BREAK_STATE_OPEN: the watch itself sees what is repaired")
	}
	if err := checkWhy(r.GetWhy(), maxWhy); err != nil {
		return nil, err
	}
	found, err := findBreak(ctx, w, r.GetId())
	if err != nil {
		return nil, err
	}
	d := watch.Decision{Break: found.ID, Group: r.GetGroup(), State: watch.BreakState(r.GetState()), Who: p.Name, Why: r.GetWhy()} //nolint:gosec // checked
	switch {
	case decidedSo(found, &d):
		return &watchv1.DecideBreakResponse{Found: breakMessage(found)}, nil
	case found.State != watch.Open && found.State != watch.Explained:
		return nil, ended(found)
	}
	if err := w.Decide(ctx, d); err != nil {
		return nil, watchFault(err)
	}
	s.logger.Info("a break was decided", "break", r.GetId(), "state", stateName(d.State), "group", d.Group, "by", p.Name)
	if found, err = findBreak(ctx, w, r.GetId()); err != nil {
		return nil, err
	}
	return &watchv1.DecideBreakResponse{Found: breakMessage(found)}, nil
}

func checkWhy(why string, most int) error {
	if strings.TrimSpace(why) == "" || !goodText(why, most) {
		return malformed("why", fmt.Sprintf("want 1 to %d bytes of UTF-8 text without control characters", most))
	}
	return nil
}

// shortBreak leaves out evidence and history.
func shortBreak(r *watch.Record) *watchv1.Break {
	m := &watchv1.Break{
		Id: watch.HexID(r.ID), Class: string(r.Class), Flow: r.Flow, Key: r.KeyText, AmountAtRisk: decimalAmount(r.AtRisk), Asset: r.Asset,
		State: watchv1.BreakState(r.State), FirstSeen: r.FirstSeen, Happened: r.Happened, Changed: r.Changed, Group: watch.HexID(r.Group),
		Others: uint32(r.Others), Summary: r.Summary, //nolint:gosec // bounded by the watch
	}
	if m.Key == "" && !r.Key.IsZero() {
		m.Key = watch.DecimalID(r.Key)
	}
	for _, a := range r.Accounts {
		m.AccountIds = append(m.AccountIds, watch.DecimalID(a))
	}
	if r.Stop != nil {
		m.StopLoss = &watchv1.StopLoss{State: r.Stop.State, Selector: r.Stop.Covers(), FreezeId: watch.DecimalID(r.Stop.ID), Time: r.Stop.Time}
	}
	if !r.Proposal.IsZero() {
		m.RepairProposalId = watch.DecimalID(r.Proposal)
	}
	return m
}

func breakMessage(r *watch.Record) *watchv1.Break {
	m := shortBreak(r)
	for i := range r.Evidence {
		e := &r.Evidence[i]
		x := &watchv1.Evidence{What: e.What, Source: e.Source, Seq: e.Seq, Index: uint32(max(0, e.Index)), Time: e.Time} //nolint:gosec // within a block
		for _, f := range e.Fields {
			x.Fields = append(x.Fields, &watchv1.Field{Name: f.Name, Value: f.Value, Wrong: f.Wrong})
		}
		m.Evidence = append(m.Evidence, x)
	}
	for _, e := range r.History {
		m.History = append(m.History, &watchv1.BreakEvent{Time: e.Time, State: watchv1.BreakState(e.State), Who: e.Who, Why: e.Why})
	}
	m.Repair = suggested(r)
	return m
}

// decidedSo reports whether a decision was taken already: its answer was lost, and it came again.
func decidedSo(r *watch.Record, d *watch.Decision) bool {
	if r.State != d.State || len(r.History) == 0 {
		return false
	}
	last := r.History[len(r.History)-1]
	return last.State == d.State && last.Who == d.Who && last.Why == d.Why
}
