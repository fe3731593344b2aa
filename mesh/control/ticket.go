package control

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sterlingrun/sterling/durable"
	"github.com/sterlingrun/sterling/mesh"
)

// Bounds of join tokens.
const (
	// MaxTicketLife is how long a join token may wait for its use.
	MaxTicketLife = time.Hour
	maxTicket     = 16 << 10 // bytes of its text
	maxWorkloads  = 64       // of one node
	ticketPrefix  = "sterling-join-1."
)

// ErrTicket is a join token that lets nobody in; the text says why.
var ErrTicket = errors.New("join token")

// Ticket lets one machine join the mesh, once. Its text is a secret until it is used.
type Ticket struct {
	// Node names the machine in the mesh: lower-case letters, digits and "-".
	Node string
	// Workloads are the identities that the node may have for what runs on it.
	Workloads []mesh.ID
	Expires   time.Time
	// Root is the SHA-256 of the authority's root certificate: how the machine knows that it speaks to the mesh.
	Root [sha256.Size]byte

	number string // of the token
}

// ticketJSON is a Ticket in its token.
type ticketJSON struct {
	Number    string   `json:"number"`
	Node      string   `json:"node"`
	Workloads []string `json:"workloads"`
	Expires   int64    `json:"expires"` // seconds since 1970
	Root      []byte   `json:"root"`
}

// NewTicket makes the token of a ticket in the folder of a control plane that has its root there; Root and what makes it
// unique are filled in. now is the time that Expires is measured from.
func NewTicket(folder string, t Ticket, now time.Time) (string, error) {
	if left := t.Expires.Sub(now); left <= 0 || left > MaxTicketLife {
		return "", fmt.Errorf("make a join token: want one that is good for 1s to %s, not %s", MaxTicketLife, left)
	}
	root, err := ticketRoot(folder)
	if err != nil {
		return "", fmt.Errorf("make a join token: %w; has the control plane been started?", err)
	}
	key, err := ticketKey(folder)
	if err != nil {
		return "", fmt.Errorf("make a join token: %w", err)
	}
	t.Root, t.number = sha256.Sum256(root.Raw), rand.Text()
	if err := t.check(); err != nil {
		return "", err
	}
	out := ticketJSON{Number: t.number, Node: t.Node, Expires: t.Expires.Unix(), Root: t.Root[:]}
	for _, id := range t.Workloads {
		if len(root.URIs) == 1 && "spiffe://"+id.Domain != root.URIs[0].String() { // an organisation's root is of no domain
			return "", fmt.Errorf("%w: %s is of another trust domain than the control plane", ErrTicket, id)
		}
		out.Workloads = append(out.Workloads, id.String())
	}
	body, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("make a join token: %w", err)
	}
	return ticketPrefix + encode64(body) + "." + encode64(seal(key, body)), nil
}

// ticketRoot is the root that the control plane's own certificate leads to: its upstream's, where it has one.
func ticketRoot(folder string) (*x509.Certificate, error) {
	text, err := os.ReadFile(filepath.Join(folder, RootsFile))
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(folder, "root.crt"))
	}
	if err != nil {
		return nil, err
	}
	roots, err := parseCertificates(text)
	if err != nil {
		return nil, err
	}
	if len(roots) == 0 {
		return nil, errors.New("no root in its folder")
	}
	return roots[0], nil
}

func encode64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func seal(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(ticketPrefix))
	mac.Write(body)
	return mac.Sum(nil)
}

// ticketKey is what tokens are sealed with, made at its first use.
func ticketKey(folder string) ([]byte, error) {
	file := filepath.Join(folder, "join.key")
	key, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		if _, err := rand.Read(key); err != nil {
			return nil, fmt.Errorf("make %s: %w", file, err)
		}
		return key, durable.WriteFile(file, key)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if len(key) != 32 || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: want 32 bytes that only the owner can read", file)
	}
	return key, nil
}

// ParseTicket reads a token without knowing whether it is genuine: only the control plane does.
func ParseTicket(token string) (Ticket, error) {
	t, _, _, err := parseTicket(token)
	return t, err
}

func parseTicket(token string) (t Ticket, body, mac []byte, err error) {
	rest, ok := strings.CutPrefix(token, ticketPrefix)
	left, right, dot := strings.Cut(rest, ".")
	if !ok || !dot || len(token) > maxTicket {
		return t, nil, nil, fmt.Errorf("%w: want one that `sterling mesh token` made", ErrTicket)
	}
	strict := base64.RawURLEncoding.Strict()
	body, err1 := strict.DecodeString(left)
	mac, err2 := strict.DecodeString(right)
	var in ticketJSON
	if errors.Join(err1, err2) != nil || json.Unmarshal(body, &in) != nil || len(in.Root) != len(t.Root) {
		return t, nil, nil, fmt.Errorf("%w: it is damaged", ErrTicket)
	}
	t = Ticket{Node: in.Node, Expires: time.Unix(in.Expires, 0).UTC(), Root: [sha256.Size]byte(in.Root), number: in.Number}
	for _, text := range in.Workloads {
		id, err := mesh.ParseID(text)
		if err != nil {
			return t, nil, nil, fmt.Errorf("%w: %w", ErrTicket, err)
		}
		t.Workloads = append(t.Workloads, id)
	}
	return t, body, mac, t.check()
}

func (t *Ticket) check() error {
	switch {
	case !mesh.ValidName(t.Node):
		return fmt.Errorf("%w: node %.100q: want lower-case letters, digits and \"-\"", ErrTicket, t.Node)
	case len(t.Workloads) == 0 || len(t.Workloads) > maxWorkloads:
		return fmt.Errorf("%w: %d workloads: want 1 to %d", ErrTicket, len(t.Workloads), maxWorkloads)
	case len(t.number) < 16 || len(t.number) > 64:
		return fmt.Errorf("%w: it is damaged", ErrTicket)
	}
	for _, id := range t.Workloads {
		if err := id.Check(); err != nil {
			return fmt.Errorf("%w: %w", ErrTicket, err)
		}
		if id.Domain != t.Workloads[0].Domain {
			return fmt.Errorf("%w: workloads of two trust domains", ErrTicket)
		}
	}
	return nil
}
