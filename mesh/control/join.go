package control

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// The paths of a trust domain that are no workloads', so that no policy can name them.
const (
	controlPath = "/control"
	nodePath    = "/node/"
)

// Joins lets machines that no Unix socket reaches join the mesh. A machine shows a join token once and becomes a node,
// whose certificate it renews with the certificate before; as a node it gets certificates for the workloads that its
// token named, and no others. A certificate that was copied shows: as soon as both copies have been used for a renewal,
// one of them is older than the last but one, and the node is barred until it joins anew.
type Joins struct {
	plane *Plane
	file  string
	key   []byte

	mu    sync.Mutex
	state joinState
}

// joinState is what must outlive the process.
type joinState struct {
	Nodes map[string]*joinedNode `json:"nodes"`
	Used  map[string]int64       `json:"used"` // tokens, with when they are over: seconds since 1970
}

type joinedNode struct {
	Workloads []string `json:"workloads"`
	Serial    string   `json:"serial"` // of its last certificate
	// Previous is the one before, which is good as long as the answer with the last may have been lost.
	Previous string `json:"previous"`
	Barred   bool   `json:"barred"`
}

// OpenJoins reads who has joined from the folder of the plane's root.
func OpenJoins(folder string, plane *Plane) (*Joins, error) {
	j := &Joins{plane: plane, file: filepath.Join(folder, "nodes.json"), state: joinState{Nodes: map[string]*joinedNode{}, Used: map[string]int64{}}}
	var err error
	if j.key, err = ticketKey(folder); err != nil {
		return nil, fmt.Errorf("open the list of nodes: %w", err)
	}
	text, err := os.ReadFile(j.file)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &j.state)
	}
	if err != nil || j.state.Nodes == nil || j.state.Used == nil {
		return nil, fmt.Errorf("open the list of nodes: %s: want what this program wrote: %w", j.file, err)
	}
	return j, nil
}

// ServerTLS is for the listener that Handler serves: callers show a certificate of the mesh, or none in order to join.
func (j *Joins) ServerTLS() *tls.Config {
	a := j.plane.Authority
	return a.serverTLS(tls.VerifyClientCertIfGiven, func(ctx context.Context) (*SVID, error) {
		svid, err := a.issue(ctx, controlPath)
		if err != nil {
			return nil, err
		}
		svid.Chain = append(svid.Chain, a.Roots()...) // who joins knows a root by its hash only
		return svid, nil
	})
}

// Handler serves joining, certificates of nodes, and for those with a certificate of a workload what grpc serves (ADS).
func (j *Joins) Handler(grpc http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /mesh/join", func(w http.ResponseWriter, r *http.Request) { answer(w, r, j.join) })
	mux.HandleFunc("POST /mesh/certify", func(w http.ResponseWriter, r *http.Request) { answer(w, r, j.certify) })
	mux.HandleFunc("POST /mesh/grants", func(w http.ResponseWriter, r *http.Request) { answer(w, r, j.grants) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.TLS == nil || len(r.TLS.VerifiedChains) == 0 && r.URL.Path != "/mesh/join":
			http.Error(w, "want a certificate of the mesh", http.StatusUnauthorized)
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			grpc.ServeHTTP(w, r)
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// certRequest asks for a certificate: with a token for a node that joins, without for one that has.
type certRequest struct {
	Token string `json:"token,omitempty"`
	// Workload is whom the certificate is for; empty: the node itself.
	Workload string `json:"workload,omitempty"`
	CSR      []byte `json:"csr"` // DER
}

// certAnswer has a certificate, and whom to trust.
type certAnswer struct {
	Chain     [][]byte            `json:"chain"` // DER, its own first
	Trust     map[string][][]byte `json:"trust"` // roots in DER by trust domain
	Domain    string              `json:"domain"`
	Workloads []string            `json:"workloads"` // of the node
}

// maxCertRequest bounds what is read of a certRequest.
const maxCertRequest = 64 << 10

// errUnknownNode is a node that may not have what it asks for.
var errUnknownNode = errors.New("refused")

func answer[In, Out any](w http.ResponseWriter, r *http.Request, do func(*http.Request, In) (*Out, error)) {
	var request In
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(callTime)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxCertRequest)).Decode(&request); err != nil {
		http.Error(w, "want a request in JSON", http.StatusBadRequest)
		return
	}
	out, err := do(r, request)
	switch {
	case errors.Is(err, ErrTicket), errors.Is(err, errUnknownNode):
		http.Error(w, err.Error(), http.StatusForbidden)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out) // the caller is gone: it asks again
	}
}

// join makes a node of whoever has a token that nobody used yet.
func (j *Joins) join(r *http.Request, request certRequest) (*certAnswer, error) {
	now := wall(j.plane.Clock)
	t, body, mac, err := parseTicket(request.Token)
	switch {
	case err == nil && !hmac.Equal(mac, seal(j.key, body)):
		err = fmt.Errorf("%w: it is not of this control plane", ErrTicket)
	case err == nil && !now.Before(t.Expires):
		err = fmt.Errorf("%w: it was good until %s", ErrTicket, t.Expires)
	}
	if err != nil {
		j.plane.Log.WarnContext(r.Context(), "a machine was not let in", "from", r.RemoteAddr, "reason", err)
		return nil, err
	}
	out, serial, err := j.sign(r.Context(), nodePath+t.Node, request.CSR)
	if err != nil {
		return nil, err
	}
	node := &joinedNode{Serial: serial}
	for _, id := range t.Workloads {
		node.Workloads = append(node.Workloads, id.String())
	}
	out.Workloads = node.Workloads
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.state.Used[t.number] != 0 {
		j.plane.Log.WarnContext(r.Context(), "a join token was shown again", "node", t.Node, "from", r.RemoteAddr)
		return nil, fmt.Errorf("%w: it was used", ErrTicket)
	}
	for number, over := range j.state.Used {
		if over < now.Unix() {
			delete(j.state.Used, number)
		}
	}
	j.state.Used[t.number], j.state.Nodes[t.Node] = t.Expires.Unix(), node
	if err := j.save(); err != nil {
		return nil, err
	}
	j.plane.Log.InfoContext(r.Context(), "a node joined", "node", t.Node, "from", r.RemoteAddr, "workloads", node.Workloads)
	return out, nil
}

// save comes before an answer: what a crash forgets was never said.
func (j *Joins) save() error {
	text, err := json.Marshal(j.state)
	if err != nil {
		return fmt.Errorf("keep the list of nodes: %w", err)
	}
	return durable.WriteFile(j.file, text)
}

// nodeOf is the node whose certificate the caller showed, and which one it was.
func (j *Joins) nodeOf(r *http.Request) (name, serial string, err error) {
	cert := r.TLS.PeerCertificates[0]
	ok := len(cert.URIs) == 1
	if ok && cert.URIs[0].Host == j.plane.Authority.domain {
		name, ok = strings.CutPrefix(cert.URIs[0].Path, nodePath)
	}
	if !ok || name == "" {
		return "", "", fmt.Errorf("%w: want a node's certificate", errUnknownNode)
	}
	return name, cert.SerialNumber.String(), nil
}

// certify renews a node's certificate, or makes one for a workload on it.
func (j *Joins) certify(r *http.Request, request certRequest) (*certAnswer, error) {
	name, serial, err := j.nodeOf(r)
	if err != nil || request.Token != "" {
		return nil, fmt.Errorf("%w: want a node's certificate, and no token", errUnknownNode)
	}
	workloads, err := j.admit(r.Context(), name, serial)
	if err != nil {
		return nil, err
	}
	if request.Workload != "" {
		if !slices.Contains(workloads, request.Workload) || !j.plane.has(request.Workload) {
			return nil, fmt.Errorf("%w: node %s has no workload %.200q, or no Identity says so", errUnknownNode, name, request.Workload)
		}
		id, err := mesh.ParseID(request.Workload)
		if err != nil {
			return nil, err
		}
		out, _, err := j.sign(r.Context(), pathOf(id), request.CSR)
		return out, err
	}
	out, next, err := j.sign(r.Context(), nodePath+name, request.CSR)
	if err != nil {
		return nil, err
	}
	out.Workloads = workloads
	j.mu.Lock()
	defer j.mu.Unlock()
	node := j.state.Nodes[name]
	if node == nil || node.Barred || node.Serial != serial && node.Previous != serial {
		return nil, fmt.Errorf("%w: node %s changed meanwhile", errUnknownNode, name)
	}
	node.Previous, node.Serial = serial, next
	return out, j.save()
}

// admit returns a node's workloads. A certificate that neither the last nor the one before is a copy, or has one.
func (j *Joins) admit(ctx context.Context, name, serial string) ([]string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	node := j.state.Nodes[name]
	switch {
	case node == nil:
		return nil, fmt.Errorf("%w: no node %.100q has joined", errUnknownNode, name)
	case node.Barred:
		return nil, fmt.Errorf("%w: node %s is barred: its certificate was used in two places; join it anew", errUnknownNode, name)
	case node.Serial != serial && node.Previous != serial:
		node.Barred = true
		j.plane.Log.ErrorContext(ctx, "a node is barred: its certificate was used in two places", "node", name)
		return nil, errors.Join(fmt.Errorf("%w: node %s is barred: its certificate was used in two places; join it anew", errUnknownNode, name), j.save())
	}
	return node.Workloads, nil
}

// sign certifies the key of a certificate request.
func (j *Joins) sign(ctx context.Context, path string, csr []byte) (*certAnswer, string, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err == nil {
		err = request.CheckSignature()
	}
	if err != nil {
		return nil, "", fmt.Errorf("%w: certificate request: %w", errUnknownNode, err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, "", fmt.Errorf("%w: certificate request: want an ECDSA key on P-256", errUnknownNode)
	}
	g, err := j.plane.view("")
	if err != nil {
		return nil, "", err
	}
	chain, err := j.plane.Authority.certify(ctx, path, request.PublicKey)
	if err != nil {
		return nil, "", fmt.Errorf("issue a certificate for %s: %w", path, err)
	}
	out := &certAnswer{Trust: map[string][][]byte{}, Domain: g.snapshot.Domain}
	for _, c := range chain {
		out.Chain = append(out.Chain, c.Raw)
	}
	for domain, roots := range j.plane.trust(g) {
		for _, c := range roots {
			out.Trust[domain] = append(out.Trust[domain], c.Raw)
		}
	}
	return out, chain[0].SerialNumber.String(), nil
}

// has tells whether the configuration has an Identity of this id.
func (p *Plane) has(id string) bool {
	g, err := p.view("")
	return err == nil && slices.ContainsFunc(g.snapshot.Identities, func(i mesh.Identity) bool {
		return mesh.ID{Domain: g.snapshot.Domain, Cell: i.Cell, Service: i.Service}.String() == id
	})
}
