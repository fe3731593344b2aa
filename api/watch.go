package api

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/sterlingrun/sterling/auth"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1/watchv1connect"
	"github.com/sterlingrun/sterling/watch"
)

// watchMethods are the procedures of the watch. They are there where the watch is switched off, too, and say so. None is
// for callers with a scope: a break, a proof or a source is not about single accounts.
func watchMethods() []*method {
	return []*method{
		{path: watchv1connect.WatchServiceObserveProcedure, permission: auth.Write, observe: true},
		{path: watchv1connect.WatchServiceObserveBatchProcedure, permission: auth.Write, cold: unary((*Server).observeBatch)},
		{path: watchv1connect.WatchServiceGetProofProcedure, permission: auth.Read, cold: unary((*Server).getProof)},
		{path: watchv1connect.WatchServiceListFlowsProcedure, permission: auth.Read, cold: unary((*Server).listFlows)},
		{path: watchv1connect.WatchServiceListSourcesProcedure, permission: auth.Read, cold: unary((*Server).listSources)},
		{path: watchv1connect.WatchServiceReleaseSourceProcedure, permission: auth.Operate, cold: unary((*Server).releaseSource)},
		{path: watchv1connect.WatchServiceListBreaksProcedure, permission: auth.Read, cold: unary((*Server).listBreaks)},
		{path: watchv1connect.WatchServiceGetBreakProcedure, permission: auth.Read, cold: unary((*Server).getBreak)},
		{path: watchv1connect.WatchServiceDecideBreakProcedure, permission: auth.Operate, cold: unary((*Server).decideBreak)},
		{path: watchv1connect.WatchServiceProposeRepairProcedure, permission: auth.Operate, cold: unary((*Server).proposeRepair)},
		{path: watchv1connect.WatchServiceInjectProcedure, permission: auth.Operate, cold: unary((*Server).inject)},
	}
}

// theWatch is the running watch, or the reason why there is none.
func (s *Server) theWatch() (Watch, error) {
	switch {
	case s.config.Watch != nil:
		return s.config.Watch, nil
	case s.config.WatchFault != nil:
		return nil, watchFault(fmt.Errorf("%w, and payments go on: %w", watch.ErrDown, s.config.WatchFault))
	default:
		return nil, &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_WATCH_OFF,
			message: "the watch is switched off on this node: watch.enabled in its configuration",
		}
	}
}

// speakers are those who bind sources. Where the file of them can't be read nobody speaks, rather than everybody.
func (s *Server) speakers() (Speakers, error) {
	if s.config.Speakers == nil {
		return nil, watchFault(fmt.Errorf("%w for sources: who speaks for which can't be read on the server, see its log", watch.ErrDown))
	}
	return s.config.Speakers, nil
}

// watchFault tells the caller what the watch answered: it is theirs to mend, or to wait for.
func watchFault(err error) error {
	f := &fault{message: fmt.Sprint(err)}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, watch.ErrNoBreak):
		f.code, f.reason = connect.CodeNotFound, ledgerv1.ErrorReason_ERROR_REASON_NOT_FOUND
	case errors.Is(err, watch.ErrFilter):
		f = malformed("after", err.Error())
	case errors.Is(err, watch.ErrSource):
		f.code, f.reason, f.field = connect.CodeNotFound, ledgerv1.ErrorReason_ERROR_REASON_SOURCE_UNKNOWN, "source"
	case errors.Is(err, watch.ErrAhead):
		f.code, f.reason, f.field = connect.CodeFailedPrecondition, ledgerv1.ErrorReason_ERROR_REASON_SOURCE_GAP, "firstSeq"
	case errors.Is(err, watch.ErrRepeat):
		f.code, f.reason, f.field = connect.CodeFailedPrecondition, ledgerv1.ErrorReason_ERROR_REASON_SOURCE_REPEAT, "firstSeq"
	case errors.Is(err, watch.ErrBehind), errors.Is(err, watch.ErrStarting):
		f.code, f.reason = connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED
	case errors.Is(err, watch.ErrDown):
		f.code, f.reason = connect.CodeUnavailable, ledgerv1.ErrorReason_ERROR_REASON_WATCH_DOWN
	default:
		return err
	}
	return f
}

func (s *Server) getProof(context.Context, auth.Principal, *watchv1.GetProofRequest) (*watchv1.GetProofResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	head := s.config.Cell.Head() // before the proof: so that it never seems ahead of the ledger
	p, st := w.Proof(), w.Statement()
	response := &watchv1.GetProofResponse{
		SafeThrough: p.Through, Now: s.config.Clock.Wall(), Reason: p.Reason, OpenBreaks: p.Open, Flows: flowProofs(p.Flows),
		AppliedSeq: st.Seq, HeadSeq: max(head, st.Seq), Events: p.Events, OpenKeys: p.Keys, DryRun: w.DryRun(),
	}
	for _, a := range p.AtRisk {
		response.AtRisk = append(response.AtRisk, &watchv1.AssetAmount{Asset: a.Asset, Amount: decimalAmount(a.Amount)})
	}
	names := s.assetTable()
	for i := range st.Totals {
		t := &st.Totals[i]
		response.Totals = append(response.Totals, &watchv1.AssetTotals{
			Asset: names.Name(t.Asset), DebitsPosted: decimalAmount(t.DebitsPosted), CreditsPosted: decimalAmount(t.CreditsPosted),
			DebitsPending: decimalAmount(t.DebitsPending), CreditsPending: decimalAmount(t.CreditsPending), Transfers: t.Transfers,
			TransitOut: decimalAmount(t.TransitOut), TransitIn: decimalAmount(t.TransitIn), Outgoing: t.Outgoing, Incoming: t.Incoming,
		})
	}
	return response, nil
}

func flowProofs(list []watch.FlowProof) (out []*watchv1.FlowProof) {
	for i := range list {
		f := &list[i]
		out = append(out, &watchv1.FlowProof{
			Flow: f.Flow, Title: f.Title, Proven: f.Proven, SafeThrough: f.Through, Reason: f.Reason, OpenKeys: f.Keys, OpenBreaks: f.Breaks,
			ClosedKeys: f.Closed, LateKeys: f.Late, Sources: f.Sources, LatenessP50: f.LatenessP50, LatenessP99: f.LatenessP99,
		})
	}
	return out
}

func (s *Server) listFlows(context.Context, auth.Principal, *watchv1.ListFlowsRequest) (*watchv1.ListFlowsResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	response := &watchv1.ListFlowsResponse{Flows: flowProofs(w.Proof().Flows)}
	texts := map[string]string{}
	for _, d := range w.Flows() {
		texts[d.Name] = d.Text
	}
	for _, f := range response.Flows {
		response.Definitions = append(response.Definitions, texts[f.GetFlow()]) // what no flow claims has none
	}
	return response, nil
}

func (s *Server) listSources(context.Context, auth.Principal, *watchv1.ListSourcesRequest) (*watchv1.ListSourcesResponse, error) {
	w, err := s.theWatch()
	if err != nil {
		return nil, err
	}
	response := &watchv1.ListSourcesResponse{}
	for _, x := range w.Sources() {
		m := &watchv1.Source{
			Name: x.Name, ThroughSeq: x.Seq, ThroughTime: x.Through, Heard: x.Heard, Observations: x.Observations, Silent: x.Silent,
			MissingFrom: x.MissingFrom, MissingTo: x.MissingTo,
		}
		if s.config.Speakers != nil {
			is, _ := s.config.Speakers.Speaker(x.Name)
			m.Speaker = is.Name
		}
		response.Sources = append(response.Sources, m)
	}
	return response, nil
}

func (s *Server) releaseSource(_ context.Context, p auth.Principal, r *watchv1.ReleaseSourceRequest) (*watchv1.ReleaseSourceResponse, error) {
	if _, err := s.theWatch(); err != nil {
		return nil, err
	}
	if err := checkName("source", r.GetSource()); err != nil {
		return nil, err
	}
	speakers, err := s.speakers()
	if err != nil {
		return nil, err
	}
	was, ok, err := speakers.Release(r.GetSource())
	if err != nil {
		return nil, err
	}
	if ok {
		s.logger.Warn("a source was released: the next caller speaks for it", "source", r.GetSource(), "was", was.Name, "by", p.Name)
	}
	return &watchv1.ReleaseSourceResponse{Speaker: was.Name}, nil
}

func (s *Server) inject(ctx context.Context, p auth.Principal, r *watchv1.InjectRequest) (*watchv1.InjectResponse, error) {
	if _, err := s.theWatch(); err != nil {
		return nil, err
	}
	if p.Role != auth.RoleAdmin {
		return nil, roleRefused(p, "Inject")
	}
	if s.config.Injector == nil {
		return nil, &fault{
			code: connect.CodeFailedPrecondition, reason: ledgerv1.ErrorReason_ERROR_REASON_NOT_DEMO,
			message: "faults are made in the folder of a demonstration only, which this is not; nothing was done",
		}
	}
	if err := checkName("class", r.GetClass()); err != nil {
		return nil, err
	}
	what, key, err := s.config.Injector.Inject(ctx, watch.Class(r.GetClass()))
	if errors.Is(err, ErrNotConfigured) {
		return nil, malformed("class", err.Error())
	}
	if err != nil {
		return nil, watchFault(err)
	}
	s.logger.Warn("a fault was injected", "class", r.GetClass(), "key", key, "by", p.Name)
	return &watchv1.InjectResponse{What: what, Key: key}, nil
}
