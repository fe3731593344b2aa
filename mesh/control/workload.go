package control

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/spiffe/go-spiffe/v2/proto/spiffe/workload"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/mesh"
)

// workloadAPI is the SPIFFE Workload API for X.509. JWT-SVIDs are not issued: those calls answer UNIMPLEMENTED, as the
// specification has it for profiles that are not offered.
type workloadAPI struct {
	workload.UnimplementedSpiffeWorkloadAPIServer
	source workloadSource
	clock  clock.Clock
	// again is after how long bundles are sent again, which may have changed without a word.
	again time.Duration
}

// workloadSource is who knows the workloads: the control plane, or the agent of a machine that joined.
type workloadSource interface {
	// news is closed when identities or trust may have changed. Take it before granted.
	news() <-chan struct{}
	granted() (*grants, error)
	issue(ctx context.Context, id mesh.ID) (*SVID, error)
}

// grants are who may be whom, and the roots of every trusted domain. Nobody changes them.
type grants struct {
	snapshot *mesh.Snapshot // its domain and identities
	trust    map[string][]*x509.Certificate
}

// planeSource is the control plane as a workloadSource.
type planeSource struct{ *Plane }

func (p planeSource) news() <-chan struct{} { return p.changed.wait() }

func (p planeSource) granted() (*grants, error) {
	g, err := p.view("")
	if err != nil {
		return nil, err
	}
	return &grants{g.snapshot, p.trust(g)}, nil
}

func (p planeSource) issue(ctx context.Context, id mesh.ID) (*SVID, error) {
	return p.Authority.Issue(ctx, id)
}

// callers returns who a process may be.
func (w workloadAPI) callers(ctx context.Context) (*grants, []mesh.ID, error) {
	if header := metadata.ValueFromIncomingContext(ctx, "workload.spiffe.io"); !slices.Equal(header, []string{"true"}) {
		return nil, nil, status.Error(codes.InvalidArgument, "want the metadata workload.spiffe.io: true")
	}
	if err := local(ctx); err != nil {
		return nil, nil, err
	}
	g, err := w.source.granted()
	if err != nil {
		return nil, nil, status.Error(codes.Unavailable, err.Error())
	}
	ids, err := identities(ctx, g.snapshot)
	return g, ids, err
}

// FetchX509SVID sends the caller's identities, again at half their life and whenever identities or trust change.
func (w workloadAPI) FetchX509SVID(_ *workload.X509SVIDRequest, to grpc.ServerStreamingServer[workload.X509SVIDResponse]) error {
	ctx := to.Context()
	var sentIDs []mesh.ID
	var sentTrust map[string][]*x509.Certificate
	var renew time.Time
	for {
		changed := w.source.news()
		g, ids, err := w.callers(ctx)
		if err != nil {
			return err
		}
		trust := g.trust
		if !wall(w.clock).Before(renew) || !slices.Equal(ids, sentIDs) || !sameTrust(trust, sentTrust) {
			response, until, err := w.svids(ctx, g.snapshot.Domain, ids, trust)
			if err != nil {
				return status.Error(codes.Unavailable, err.Error())
			}
			if err := to.Send(response); err != nil {
				return err
			}
			sentIDs, sentTrust, renew = ids, trust, until
		}
		if err := w.pause(ctx, changed, renew); err != nil {
			return err
		}
	}
}

// svids issues certificates for ids and tells when to renew them.
func (w workloadAPI) svids(ctx context.Context, domain string, ids []mesh.ID, trust map[string][]*x509.Certificate) (*workload.X509SVIDResponse, time.Time, error) {
	response := &workload.X509SVIDResponse{FederatedBundles: map[string][]byte{}}
	for other, roots := range trust {
		if other != domain {
			response.FederatedBundles["spiffe://"+other] = concatenated(roots)
		}
	}
	var renew time.Time
	for _, id := range ids {
		svid, err := w.source.issue(ctx, id)
		if err != nil {
			return nil, renew, err
		}
		key, err := x509.MarshalPKCS8PrivateKey(svid.Key)
		if err != nil {
			return nil, renew, errors.New("encode a key") // without the parser's words about it
		}
		if renew.IsZero() || svid.Renew.Before(renew) {
			renew = svid.Renew
		}
		response.Svids = append(response.Svids, &workload.X509SVID{
			SpiffeId: id.String(), X509Svid: concatenated(svid.Chain), X509SvidKey: key, Bundle: concatenated(trust[domain]),
		})
	}
	return response, renew, nil
}

func sameTrust(a, b map[string][]*x509.Certificate) bool {
	return maps.EqualFunc(a, b, func(a, b []*x509.Certificate) bool {
		return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
	})
}

// FetchX509Bundles sends the roots of every trusted domain, again whenever they may have changed.
func (w workloadAPI) FetchX509Bundles(_ *workload.X509BundlesRequest, to grpc.ServerStreamingServer[workload.X509BundlesResponse]) error {
	ctx := to.Context()
	for {
		changed := w.source.news()
		g, _, err := w.callers(ctx)
		if err != nil {
			return err
		}
		response := &workload.X509BundlesResponse{Bundles: map[string][]byte{}}
		for domain, roots := range g.trust {
			response.Bundles["spiffe://"+domain] = concatenated(roots)
		}
		if err := to.Send(response); err != nil {
			return err
		}
		if err := w.pause(ctx, changed, wall(w.clock).Add(w.again)); err != nil {
			return err
		}
	}
}

// pause waits until something changed or until a time.
func (w workloadAPI) pause(ctx context.Context, changed <-chan struct{}, until time.Time) error {
	fired, stop := w.clock.After(until.Sub(wall(w.clock)))
	defer stop()
	select {
	case <-changed:
	case <-fired:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// concatenated is how the Workload API sends certificates: DER after DER.
func concatenated(certs []*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, c.Raw...)
	}
	return out
}
