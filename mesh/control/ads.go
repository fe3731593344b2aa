package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/mesh"
)

// Bounds of what a data plane may ask.
const (
	maxStreams = 1 << 14
	maxNames   = 1 << 14
	maxRefusal = 1024 // bytes that are kept of a refusal
)

// xdsStream is what ADS and SDS have in common.
type xdsStream interface {
	Send(*discovery.DiscoveryResponse) error
	Recv() (*discovery.DiscoveryRequest, error)
	Context() context.Context
}

// stream is one data plane's connection. A process may have several (gRPC has one for each of its channels).
type stream struct {
	plane *Plane
	peer  xdsStream
	only  string // the one type that may be asked for; empty: all
	node  string // empty before the first request
	id    mesh.ID
	kind  Kind
	subs  map[string]*subscription
	nonce uint64
	svid  *SVID // for SDS

	// Guarded by plane.mu.
	settled   uint64 // the newest generation that was taken or refused as a whole
	refusal   string // of what it should have by now; empty: it took all
	refusedIn uint64 // the generation that brought what it refused
}

// subscription is what a data plane asked for of one type, and what became of it.
type subscription struct {
	names   map[string]bool              // nil: everything
	sent    map[string][sha256.Size]byte // of what was asked for when it was sent; zero: it was not there
	nonce   string                       // empty: nothing was sent yet
	sentIn  uint64                       // the generation that brought it
	acked   bool
	refusal string // of what was sent last
}

// StreamAggregatedResources implements ADS, state of the world. A data plane's node id is its SPIFFE id, "#" and a name
// of the instance; the id must be the caller's own.
func (p *Plane) StreamAggregatedResources(peer discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return p.serve(peer, "")
}

type secrets struct {
	secretservice.UnimplementedSecretDiscoveryServiceServer
	plane *Plane
}

// StreamSecrets implements SDS for data planes that get their other resources elsewhere.
func (s secrets) StreamSecrets(peer secretservice.SecretDiscoveryService_StreamSecretsServer) error {
	return s.plane.serve(peer, secretType)
}

// serve is a stream's life. Everything that it sends depends only on what was asked and on the newest configuration, so
// it can't get out of step: whatever happens, it compares and sends what differs.
func (p *Plane) serve(peer xdsStream, only string) error {
	s := &stream{plane: p, peer: peer, only: only, subs: map[string]*subscription{}}
	defer p.leave(s)
	ctx := peer.Context()
	requests := make(chan *discovery.DiscoveryRequest)
	go func() { // ends with the stream, whose Recv fails once serve has returned
		defer close(requests)
		for {
			request, err := peer.Recv()
			if err != nil {
				return
			}
			select {
			case requests <- request:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		changed := p.changed.wait()
		if s.node != "" {
			if err := s.push(ctx); err != nil {
				return err
			}
		}
		renew, stop := s.renewal()
		select {
		case request, open := <-requests:
			stop()
			if !open {
				return nil
			}
			if err := s.take(ctx, request); err != nil {
				return err
			}
		case <-changed:
			stop()
		case <-renew:
			s.svid = nil
		case <-ctx.Done():
			stop()
			return ctx.Err()
		}
	}
}

// renewal fires at half the life of the stream's certificate.
func (s *stream) renewal() (<-chan time.Time, func()) {
	if s.svid == nil {
		return nil, func() {}
	}
	return s.plane.Clock.After(s.svid.Renew.Sub(wall(s.plane.Clock)))
}

// SidecarAgent is what a node proxy calls itself (user_agent_name).
const SidecarAgent = "sterling"

var instances = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// parseNode reads the name of a data plane: who it is, and which one.
func parseNode(name string) (mesh.ID, error) {
	spiffe, instance, _ := strings.Cut(name, "#")
	id, err := mesh.ParseID(spiffe)
	if err != nil || !instances.MatchString(instance) {
		return mesh.ID{}, status.Errorf(codes.InvalidArgument, "node id %.200q: want spiffe://DOMAIN/cell/CELL/svc/NAME#INSTANCE", name)
	}
	return id, nil
}

// enter makes sure that the node is who it says.
func (s *stream) enter(ctx context.Context, node *core.Node) error {
	id, err := parseNode(node.GetId())
	if err != nil {
		return err
	}
	s.id, s.kind = id, Proxyless
	switch node.GetUserAgentName() {
	case "envoy":
		s.kind = Envoy
	case SidecarAgent:
		s.kind = Sidecar
	}
	g, err := s.plane.view(node.GetId())
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if err := s.authorized(ctx, g); err != nil {
		return err
	}
	p := s.plane
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.streams) >= maxStreams {
		return status.Errorf(codes.ResourceExhausted, "%d data planes are connected", maxStreams)
	}
	s.node = node.GetId()
	p.streams[s] = true
	p.present[s.node]++
	return nil
}

// authorized tells whether the caller may still be who the node is.
func (s *stream) authorized(ctx context.Context, g *generation) error {
	ids, err := identities(ctx, g.snapshot)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id == s.id {
			return nil
		}
	}
	return status.Errorf(codes.PermissionDenied, "the caller is not %s", s.id)
}

func (p *Plane) leave(s *stream) {
	p.mu.Lock()
	if p.streams[s] {
		delete(p.streams, s)
		if p.present[s.node]--; p.present[s.node] == 0 {
			delete(p.present, s.node)
			p.reports.forget(s.node)
		}
	}
	p.mu.Unlock()
	p.progress.wake()
}

// take learns from a request what is asked for, and whether the last answer was accepted.
func (s *stream) take(ctx context.Context, r *discovery.DiscoveryRequest) error {
	if s.node == "" {
		if err := s.enter(ctx, r.GetNode()); err != nil {
			return err
		}
	}
	typeURL := r.GetTypeUrl()
	known := false
	for _, t := range pushOrder {
		known = known || t == typeURL && (s.only == "" || s.only == t)
	}
	if !known || len(r.GetResourceNames()) > maxNames {
		return status.Errorf(codes.InvalidArgument, "%d resources of type %.200q: want at most %d, of a known type", len(r.GetResourceNames()), typeURL, maxNames)
	}
	if typeURL == secretType {
		if err := local(ctx); err != nil {
			return err
		}
	}
	sub := s.subs[typeURL]
	if sub == nil {
		sub = &subscription{}
		s.subs[typeURL] = sub
	} else if r.GetResponseNonce() != sub.nonce {
		return nil // about an older answer; the one about the last is on its way
	}
	if r.GetResponseNonce() != "" && sub.nonce == r.GetResponseNonce() {
		sub.acked = true
		if detail := r.GetErrorDetail(); detail != nil {
			sub.refusal = fmt.Sprintf("%s: %.*s", typeURL[strings.LastIndexByte(typeURL, '.')+1:], maxRefusal, printable(detail.GetMessage()))
			s.plane.Log.WarnContext(ctx, "a data plane refused its configuration", "node", s.node, "reason", sub.refusal)
		}
	}
	if s.kind == Envoy && len(r.GetResourceNames()) == 0 && sub.names == nil {
		return nil // a wildcard of the old kind
	}
	sub.names = make(map[string]bool, len(r.GetResourceNames()))
	for _, name := range r.GetResourceNames() {
		sub.names[name] = true
	}
	if sub.names["*"] {
		sub.names = nil
	}
	return nil
}

// printable is a data plane's text without what would do something to the terminal of who reads it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}

// push sends what differs from what was sent, in an order that never refers to what is not there yet. What was refused
// is not sent again: only something else is.
func (s *stream) push(ctx context.Context) error {
	g, err := s.plane.view(s.node)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	if err := s.authorized(ctx, g); err != nil {
		s.plane.dismiss(s.node)
		return err
	}
	all, err := g.resources(s.id, s.kind)
	if err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	for _, typeURL := range pushOrder {
		sub := s.subs[typeURL]
		if sub == nil {
			continue
		}
		from := all
		if typeURL == secretType {
			if from, err = s.secrets(ctx, g); err != nil {
				return status.Error(codes.Unavailable, err.Error())
			}
		}
		if sub.news(from[typeURL]) {
			sub.sentIn = g.number
			if err := s.send(sub, typeURL, from[typeURL]); err != nil {
				return err
			}
		}
	}
	s.report(g.number)
	return nil
}

// asked returns the hashes of what is asked for, zero for what is not there: its absence is an answer, too.
func (sub *subscription) asked(of map[string]resource) map[string][sha256.Size]byte {
	out := map[string][sha256.Size]byte{}
	for name := range sub.names {
		out[name] = of[name].hash
	}
	if sub.names == nil {
		for name, r := range of {
			out[name] = r.hash
		}
	}
	return out
}

// news tells whether anything that is asked for is not as it was sent. To ask for less is none.
func (sub *subscription) news(of map[string]resource) bool {
	now := sub.asked(of)
	for name, hash := range now {
		if before, known := sub.sent[name]; !known || before != hash {
			return true
		}
	}
	return sub.nonce == "" || sub.names == nil && len(now) != len(sub.sent)
}

func (s *stream) send(sub *subscription, typeURL string, of map[string]resource) error {
	s.nonce++
	sub.sent, sub.nonce, sub.acked, sub.refusal = sub.asked(of), strconv.FormatUint(s.nonce, 10), false, ""
	version := sha256.New()
	response := &discovery.DiscoveryResponse{TypeUrl: typeURL, Nonce: sub.nonce}
	for _, name := range slices.Sorted(maps.Keys(sub.sent)) {
		hash := sub.sent[name]
		version.Write([]byte(name))
		version.Write(hash[:])
		if r, there := of[name]; there {
			response.Resources = append(response.Resources, r.body)
		}
	}
	response.VersionInfo = hex.EncodeToString(version.Sum(nil)[:12])
	return s.peer.Send(response)
}

// report tells a rollout when the data plane has answered everything that it was sent of a generation.
func (s *stream) report(generation uint64) {
	refusal, refusedIn := "", uint64(0)
	for _, sub := range s.subs {
		if !sub.acked && sub.nonce != "" {
			return
		}
		if sub.refusal != "" && sub.sentIn >= refusedIn {
			refusal, refusedIn = sub.refusal, sub.sentIn
		}
	}
	s.plane.mu.Lock()
	news := s.settled != generation || s.refusal != refusal
	s.settled, s.refusal, s.refusedIn = generation, refusal, refusedIn
	s.plane.mu.Unlock()
	if news {
		s.plane.progress.wake()
	}
}

// secrets returns the node's certificate, a new one where there is none, and what it trusts. If none can be issued, the
// stream ends: the data plane keeps the one that it has, and comes again.
func (s *stream) secrets(ctx context.Context, g *generation) (resources, error) {
	if s.svid == nil {
		svid, err := s.plane.Authority.Issue(ctx, s.id)
		if err != nil {
			return nil, err
		}
		s.svid = svid
	}
	b := &builder{out: resources{}}
	b.secrets(s.svid, s.plane.trust(g))
	if b.err != nil {
		return nil, errors.Join(errors.New("encode secrets"), b.err)
	}
	return b.out, nil
}
