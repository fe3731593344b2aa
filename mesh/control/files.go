package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// The files that KeepFiles writes, for programs that read certificates from files.
const (
	CertificateFile = "svid.pem"
	KeyFile         = "svid.key"
	RootsFile       = "roots.pem"    // of the mesh's own trust domain
	BundlesFile     = "bundles.json" // of every trusted domain, SPIFFE's bundle map
	IdentityFile    = "identity.pem" // certificate and key in one, which always belong together
)

// KeepFiles keeps the certificate of id, which must be an identity of the calling process, in files of folder (mode
// 0600), until ctx ends. It is a client of the Workload API at socket and runs beside the workload; what it wrote stays
// when the control plane is away. onUpdate is called after each update.
func KeepFiles(ctx context.Context, socket, folder string, id mesh.ID, log *slog.Logger, onUpdate func()) error {
	keeper := &keeper{id: id.String(), folder: folder, log: log, onUpdate: onUpdate}
	err := workloadapi.WatchX509Context(ctx, keeper, workloadapi.WithAddr("unix://"+socket))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("keep certificates in %s: %w", folder, err)
}

type keeper struct {
	id       string
	folder   string
	log      *slog.Logger
	onUpdate func()
}

// OnX509ContextUpdate implements workloadapi.X509ContextWatcher.
func (k *keeper) OnX509ContextUpdate(x *workloadapi.X509Context) {
	if err := k.write(x); err != nil {
		k.log.Error("certificates are not written: the old ones stay", "folder", k.folder, "error", err)
		return
	}
	k.onUpdate()
}

// OnX509ContextWatchError implements workloadapi.X509ContextWatcher.
func (k *keeper) OnX509ContextWatchError(err error) {
	if status.Code(err) == codes.Canceled {
		return // it is us who end
	}
	k.log.Warn("the control plane does not answer: certificates stay as they are", "error", err)
}

// write replaces the files one by one. A reader that catches a new key with an old certificate finds that they do not
// belong together, and looks again.
func (k *keeper) write(x *workloadapi.X509Context) error {
	mine := slices.IndexFunc(x.SVIDs, func(s *x509svid.SVID) bool { return s.ID.String() == k.id })
	if mine < 0 {
		return fmt.Errorf("%s is no identity of this process", k.id)
	}
	svid := x.SVIDs[mine]
	chain, key, err := svid.Marshal()
	if err != nil {
		return fmt.Errorf("encode a certificate: %w", err)
	}
	own, err := x.Bundles.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
	if err != nil {
		return fmt.Errorf("find the roots of %s: %w", svid.ID.TrustDomain(), err)
	}
	domains := map[string]json.RawMessage{}
	for _, bundle := range x.Bundles.Bundles() {
		text, err := spiffebundle.FromX509Bundle(bundle).Marshal()
		if err != nil {
			return fmt.Errorf("encode the roots of %s: %w", bundle.TrustDomain(), err)
		}
		domains[bundle.TrustDomain().Name()] = text
	}
	bundles, err := json.Marshal(map[string]any{"trust_domains": domains})
	if err != nil {
		return fmt.Errorf("encode the bundles: %w", err)
	}
	return errors.Join(
		durable.WriteFile(filepath.Join(k.folder, RootsFile), encodeCertificates(own.X509Authorities())),
		durable.WriteFile(filepath.Join(k.folder, BundlesFile), bundles),
		durable.WriteFile(filepath.Join(k.folder, KeyFile), key),
		durable.WriteFile(filepath.Join(k.folder, CertificateFile), chain),
		durable.WriteFile(filepath.Join(k.folder, IdentityFile), slices.Concat(chain, key)),
	)
}

// Bootstrap returns the xDS bootstrap of a proxyless gRPC program (GRPC_XDS_BOOTSTRAP_CONFIG): the control plane at a
// Unix socket, and the certificates that KeepFiles keeps in folder. node is the SPIFFE id, "#" and the instance's name.
func Bootstrap(socket, folder, node string) ([]byte, error) {
	in := func(name string) string { return filepath.Join(folder, name) }
	return json.Marshal(map[string]any{
		"xds_servers": []any{map[string]any{
			"server_uri": "unix://" + socket, "channel_creds": []any{map[string]any{"type": "insecure"}}, "server_features": []any{"xds_v3"},
		}},
		"node": map[string]any{"id": node},
		"certificate_providers": map[string]any{ProviderName: map[string]any{
			"plugin_name": "file_watcher",
			"config": map[string]any{
				"certificate_file": in(CertificateFile), "private_key_file": in(KeyFile), "ca_certificate_file": in(RootsFile),
				"spiffe_trust_bundle_map_file": in(BundlesFile), "refresh_interval": "1s",
			},
		}},
		"server_listener_resource_name_template": inboundPrefix + "%s",
	})
}
