package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/grpc"

	"github.com/sterlingrun/sterling/api/internal/codec"
	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/auth/speaker"
	"github.com/sterlingrun/sterling/money"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
	"github.com/sterlingrun/sterling/watch"
)

// What a call and an observation may have at most; watch.proto says the same.
const (
	maxObservations = 10_000
	maxTerms        = 16
	maxName         = 64   // of a source, a flow, a term, bytes
	maxEvidence     = 1024 // of an observation's text, bytes
)

func (s *Server) observeBatch(ctx context.Context, p auth.Principal, r *watchv1.ObserveBatchRequest) (*watchv1.ObserveBatchResponse, error) {
	list, err := s.readObservations(r.GetBatch(), "batch.")
	if err != nil {
		return nil, err
	}
	through, err := s.observed(ctx, p, r.GetBatch(), list)
	if err != nil {
		return nil, err
	}
	return &watchv1.ObserveBatchResponse{Result: &watchv1.ObserveResponse{Source: r.GetBatch().GetSource(), ThroughSeq: through}}, nil
}

// observed hands a message's observations to the watch, if its sender may speak for the source.
func (s *Server) observed(ctx context.Context, p auth.Principal, r *watchv1.ObserveRequest, list []watch.Observation) (through uint64, err error) {
	w, err := s.theWatch()
	if err != nil {
		return 0, err
	}
	if err := s.admitEvents(&p, len(list)); err != nil {
		return 0, err
	}
	if err := s.speaks(ctx, w, p, r.GetSource()); err != nil {
		return 0, err
	}
	through, err = w.Observe(ctx, r.GetSource(), r.GetFirstSeq(), list)
	if errors.Is(err, watch.ErrAhead) {
		err = fmt.Errorf("source %s was taken through %d, and this begins with %d: send from %d on: %w", r.GetSource(), through, r.GetFirstSeq(), through+1, err)
	}
	return through, watchFault(err)
}

// speaks reports why a caller may not speak for a source. Whoever does first is bound to it; admins may and are not.
func (s *Server) speaks(ctx context.Context, w Watch, p auth.Principal, source string) error {
	if p.Role == auth.RoleAdmin {
		return nil
	}
	speakers, err := s.speakers()
	if err != nil {
		return err
	}
	is, bound := speakers.Speaker(source)
	if !bound {
		// A source that the watch does not know is refused before it is bound, so that wrong names use nothing up.
		if _, err := w.Observe(ctx, source, 0, nil); err != nil {
			return watchFault(err)
		}
		if is, err = speakers.Bind(source, p); err != nil {
			if errors.Is(err, speaker.ErrFull) {
				return &fault{code: connect.CodeResourceExhausted, reason: ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED, field: "source", message: err.Error()}
			}
			return err
		}
		s.logger.Info("a source has a speaker now", "source", source, "name", is.Name)
	}
	if is.ID != p.ID {
		return &fault{
			code: connect.CodePermissionDenied, reason: ledgerv1.ErrorReason_ERROR_REASON_SOURCE_TAKEN, field: "source",
			message: fmt.Sprintf("source: %q speaks for %s, and %q may not: use that token, or have an operator release the source", is.Name, source, p.Name),
		}
	}
	return nil
}

// observeHandler serves a stream of observations over gRPC. While one message becomes durable the next is decoded; they
// are taken in their order. The first error ends the stream, and the sender goes on after the last through_seq.
func (s *Server) observeHandler(m *method) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		began := s.config.Clock.Mono()
		v := grpcVisitor(stream.Context())
		p, err := s.admit(m, &v)
		if err == nil {
			err = s.protect(m, func() error { return s.observeStream(m, &v, p, stream) })
		}
		if f := s.end(m, &p, &v, began, nil, err); f != nil {
			return f.grpc()
		}
		return nil
	}
}

// heard is a message that was read, or why none was.
type heard struct {
	request *watchv1.ObserveRequest
	list    []watch.Observation
	err     error
}

func (s *Server) observeStream(m *method, v *visitor, p auth.Principal, stream grpc.ServerStream) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() { s.watchStream(m, v, ctx.Done(), cancel) })
	watching.Go(func() {
		select {
		case <-s.stopping:
			cancel(&fault{
				code: connect.CodeUnavailable, reason: ledgerv1.ErrorReason_ERROR_REASON_STOPPING,
				message: "the server is stopping: go on after the last through_seq, later or with another server",
			})
		case <-ctx.Done():
		}
	})
	messages := make(chan heard, 1)
	go s.receiveObservations(ctx, m, stream, messages) // ends at the latest when the handler has returned
	for {
		var h heard
		more := false
		select {
		case h, more = <-messages:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if !more || h.err != nil {
			return h.err
		}
		m.metrics.events.Add(float64(len(h.list)))
		through, err := s.observed(ctx, p, h.request, h.list)
		if err == nil {
			err = stream.SendMsg(&watchv1.ObserveResponse{Source: h.request.GetSource(), ThroughSeq: through})
		}
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
	}
}

// receiveObservations reads messages until the sender has no more, and closes messages then, or until one can't be read.
func (s *Server) receiveObservations(ctx context.Context, m *method, stream grpc.ServerStream, messages chan<- heard) {
	for {
		h := heard{request: &watchv1.ObserveRequest{}}
		h.err = stream.RecvMsg(h.request)
		if errors.Is(h.err, io.EOF) {
			close(messages)
			return
		}
		if h.err == nil {
			h.err = s.protect(m, func() (err error) {
				h.list, err = s.readObservations(h.request, "")
				return err
			})
		}
		select {
		case messages <- h:
		case <-ctx.Done():
			return
		}
		if h.err != nil {
			return
		}
	}
}

// readObservations checks and converts a message; path names it in errors. One bad observation refuses all of them.
func (s *Server) readObservations(r *watchv1.ObserveRequest, path string) ([]watch.Observation, error) {
	if err := checkName(path+"source", r.GetSource()); err != nil {
		return nil, err
	}
	n := len(r.GetObservations())
	switch {
	case n > maxObservations:
		return nil, &fault{
			code: connect.CodeInvalidArgument, reason: ledgerv1.ErrorReason_ERROR_REASON_TOO_LARGE, field: path + "observations",
			message: fmt.Sprintf("%sobservations: %d, at most %d in one message", path, n, maxObservations),
		}
	case n == 0:
		return nil, nil
	case r.GetFirstSeq() == 0 || r.GetFirstSeq() > math.MaxInt64:
		return nil, malformed(path+"firstSeq", "a source counts its observations from 1")
	}
	list := make([]watch.Observation, n)
	assets := map[string]bool{} // those that were checked
	for i, m := range r.GetObservations() {
		list[i].Seq = r.GetFirstSeq() + uint64(i)
		if field, problem := readObservation(&list[i], m, assets); problem != "" {
			return nil, malformed(fmt.Sprintf("%sobservations[%d].%s", path, i, field), problem)
		}
	}
	return list, nil
}

// readObservation converts one observation; problem is empty where it is good.
func readObservation(o *watch.Observation, m *watchv1.Observation, assets map[string]bool) (field, problem string) {
	if field, problem = readFrame(o, m); problem != "" || o.Kind == watch.Heartbeat {
		return field, problem
	}
	for _, t := range []struct {
		name, text string
		max        int
	}{{"key", m.GetKey(), watch.MaxKey}, {"id", m.GetId(), maxName}, {"ofKey", m.GetOfKey(), watch.MaxKey}, {"text", m.GetText(), maxEvidence}} {
		if !goodText(t.text, t.max) {
			return t.name, fmt.Sprintf("want up to %d bytes of UTF-8 text without control characters", t.max)
		}
	}
	o.Key, o.KeyText, o.ID, o.IDText = watch.KeyOf(m.GetKey()), m.GetKey(), watch.KeyOf(m.GetId()), m.GetId()
	o.OfKey, o.Text = watch.KeyOf(m.GetOfKey()), m.GetText()
	switch {
	case m.GetKey() == "" && (o.Kind == watch.Instruction || o.Kind == watch.Receipt):
		return "key", "is missing: what belongs together has the same key"
	case m.GetId() == "" && (o.Kind == watch.Receipt || o.Kind == watch.StatementEntry):
		return "id", "is missing: without it, one that is delivered twice counts twice"
	}
	if field, problem = readValue(o, m, assets); problem != "" {
		return field, problem
	}
	for _, t := range []struct {
		name, text string
		dst        *watch.ID
	}{{"debitAccountId", m.GetDebitAccountId(), &o.Debit}, {"creditAccountId", m.GetCreditAccountId(), &o.Credit}} {
		id, err := codec.U128([]byte(t.text))
		if err != nil {
			return t.name, err.Error()
		}
		*t.dst = watchID(id)
	}
	if o.Kind == watch.Balance && o.Debit.IsZero() {
		return "debitAccountId", "is missing: whose balance it is"
	}
	return readTerms(o, m.GetTerms())
}

// readFrame reads what every observation has.
func readFrame(o *watch.Observation, m *watchv1.Observation) (field, problem string) {
	if m.GetKind() < watchv1.ObservationKind_OBSERVATION_KIND_INSTRUCTION || m.GetKind() > watchv1.ObservationKind_OBSERVATION_KIND_HEARTBEAT {
		return "kind", fmt.Sprintf("%d is unknown", m.GetKind())
	}
	o.Kind, o.Time, o.Through, o.Flow = watch.ObservationKind(m.GetKind()), m.GetTime(), m.GetThrough(), m.GetFlow() //nolint:gosec // checked
	outcome := m.GetOutcome()
	o.Outcome = watch.Outcome(outcome) //nolint:gosec // checked below
	switch {
	case o.Time > math.MaxInt64:
		return "time", "beyond the year 2262: want nanoseconds since 1970"
	case o.Through > math.MaxInt64:
		return "through", "beyond the year 2262: want nanoseconds since 1970"
	case o.Kind == watch.Heartbeat && o.Through == 0:
		return "through", "is missing: a heartbeat says nothing else"
	case o.Kind != watch.Heartbeat && o.Time == 0:
		return "time", "is missing: when it happened, nanoseconds since 1970"
	case o.Flow != "" && checkName("", o.Flow) != nil:
		return "flow", nameRule
	case outcome < 0 || outcome > watchv1.Outcome_OUTCOME_CHARGED_BACK:
		return "outcome", fmt.Sprintf("%d is unknown", outcome)
	case (o.Kind == watch.Receipt) != (outcome != watchv1.Outcome_OUTCOME_UNSPECIFIED):
		return "outcome", "a receipt has one, nothing else has"
	}
	return "", ""
}

// readValue reads the amount and its asset.
func readValue(o *watch.Observation, m *watchv1.Observation, assets map[string]bool) (field, problem string) {
	text := m.GetAmount()
	if o.Kind == watch.Balance || o.Kind == watch.StatementEntry {
		text, o.Minus = strings.CutPrefix(text, "-")
	}
	if text == "" && o.Kind == watch.Receipt && o.Outcome == watch.Failed { // nothing was paid
		return "", ""
	}
	amount, err := codec.Amount([]byte(text))
	if err != nil {
		return "amount", err.Error()
	}
	o.Amount, o.Asset = watch.Amount{Lo: amount.Lo, Hi: amount.Hi}, m.GetAsset()
	if !assets[o.Asset] {
		if _, err := money.ParseAsset(o.Asset); err != nil {
			return "asset", err.Error()
		}
		assets[o.Asset] = true
	}
	return "", ""
}

func readTerms(o *watch.Observation, terms map[string]int64) (field, problem string) {
	if len(terms) > maxTerms {
		return "terms", fmt.Sprintf("%d, at most %d", len(terms), maxTerms)
	}
	for _, name := range slices.Sorted(maps.Keys(terms)) {
		if checkName("", name) != nil {
			return "terms", fmt.Sprintf("%.80q: %s", name, nameRule)
		}
		o.Terms = append(o.Terms, watch.Term{Name: name, Value: terms[name]})
	}
	return "", ""
}

const nameRule = "want 1 to 64 letters, digits, and . _ - :"

// checkName checks the name of a source, a flow, a class or a term.
func checkName(field, name string) error {
	if name == "" || len(name) > maxName {
		return malformed(field, nameRule)
	}
	for _, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && bytes.IndexByte([]byte("._-:"), c) < 0 {
			return malformed(field, nameRule)
		}
	}
	return nil
}

// goodText reports whether a text can be shown to people as it is.
func goodText(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func watchID(v money.U128) (id watch.ID) {
	v.PutLE(id[:])
	return id
}

func decimalAmount(a watch.Amount) string { return money.U128{Lo: a.Lo, Hi: a.Hi}.String() }
