package api_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/api"
	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/auth"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

// auditLog is a log of entries in memory.
type auditLog struct {
	key     *audit.Key
	entries []audit.Entry
	failure error
}

func newAuditLog(t *testing.T, n uint64) *auditLog {
	t.Helper()
	key, err := audit.OpenKey(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &auditLog{key: key}
	for i := range n {
		s := audit.Statement{Cell: 7, Seq: i + 1, Made: 100 + i, Totals: []audit.Total{{Asset: "CNY/2", Transfers: i}}, Sources: []audit.Source{{Name: "bank", ThroughSeq: i}}}
		text, err := s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		l.entries = append(l.entries, audit.Entry{Index: i, Statement: text, Signature: key.Sign(text)})
	}
	return l
}

func (l *auditLog) Trusted() audit.Trusted { return audit.Trusted{Key: l.key.Public(), Cell: 7} }

func (l *auditLog) Published() (audit.Checkpoint, error) {
	return audit.Checkpoint{Cell: 7, Size: uint64(len(l.entries)), Note: []byte("a note")}, l.failure
}

func (l *auditLog) Entries(_ context.Context, before uint64, limit int) (list []audit.Entry, err error) {
	for i := min(before-1, uint64(len(l.entries))-1); i < uint64(len(l.entries)) && len(list) < limit; i-- {
		list = append(list, l.entries[i])
	}
	return list, l.failure
}

func (l *auditLog) File(_ context.Context, path string) ([]byte, error) {
	if l.failure != nil {
		return nil, l.failure
	}
	if path == "checkpoint" || path == "tile/0/000.p/3" {
		return []byte("content of " + path), nil
	}
	return nil, fs.ErrNotExist
}

func (l *auditLog) Failure() string {
	if l.failure == nil {
		return ""
	}
	return l.failure.Error()
}

// blocks is a journal of blocks of one size.
type blocks int

func (b blocks) Read(_ context.Context, seq uint64, dst []byte) ([]byte, error) {
	return append(dst[:0], fmt.Sprintf("%0*d", int(b), seq)...), nil
}

func audited(t *testing.T, l *auditLog, public bool) *bank {
	t.Helper()
	return open(t, func(c *api.Config) { c.Audit = api.Audit{Log: l, Blocks: blocks(400 << 10), Public: public} })
}

func (b *bank) get(path, token string) (int, http.Header, string) {
	b.t.Helper()
	return b.request(http.MethodGet, path, token, "")
}

func (b *bank) request(method, path, token, body string) (int, http.Header, string) {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, "http://"+b.addr+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}

// audit calls a method of AuditService.
func (b *bank) audit(method, token, body string) (int, string) {
	b.t.Helper()
	status, _, answer := b.request(http.MethodPost, "/sterling.watch.v1.AuditService/"+method, token, body)
	return status, answer
}

func TestAuditFilesNeedAToken(t *testing.T) {
	l := newAuditLog(t, 3)
	b := audited(t, l, false)
	reader := b.tokens[auth.RoleReader]
	for path, want := range map[string]string{
		"/audit/key": l.Trusted().String() + "\n", "/audit/log/checkpoint": "content of checkpoint", "/audit/log/tile/0/000.p/3": "content of tile/0/000.p/3",
	} {
		if status, _, _ := b.get(path, ""); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d", path, status)
		}
		status, header, body := b.get(path, reader)
		if status != http.StatusOK || body != want || !strings.HasPrefix(header.Get("Cache-Control"), "private, ") {
			t.Errorf("%s: %d, %q, %v", path, status, body, header)
		}
		if immutable := strings.Contains(header.Get("Cache-Control"), "immutable"); immutable != strings.Contains(path, "tile") {
			t.Errorf("%s may be kept: %v", path, immutable)
		}
	}
	for _, path := range []string{"/audit/", "/audit/log/", "/audit/log/tile/0/001", "/audit/signing.key", "/audit/log/..%2f..%2fsigning.key"} {
		if status, _, body := b.get(path, reader); status != http.StatusNotFound || !strings.Contains(body, "NOT_FOUND") && !strings.Contains(body, "CCA") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, body := b.request(http.MethodPost, "/audit/key", reader, "{}"); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d %s", status, body)
	}
	l.failure = audit.ErrLog
	if status, _, body := b.get("/audit/log/checkpoint", reader); status != http.StatusServiceUnavailable || !strings.Contains(body, "payments go on") {
		t.Errorf("a log that can't be read: %d %s", status, body)
	}
}

func TestPublicAuditFiles(t *testing.T) {
	b := audited(t, newAuditLog(t, 3), true)
	if status, header, _ := b.get("/audit/log/tile/0/000.p/3", ""); status != http.StatusOK || strings.Contains(header.Get("Cache-Control"), "private") {
		t.Errorf("%d, %v", status, header)
	}
	if status, body := b.audit("ListCheckpoints", "", "{}"); status != http.StatusUnauthorized {
		t.Errorf("the service is not public: %d %s", status, body)
	}
}

func TestAuditService(t *testing.T) {
	l := newAuditLog(t, 60)
	b := audited(t, l, false)
	reader, auditor := b.tokens[auth.RoleReader], b.tokens[auth.RoleAuditor]
	list := func(body string) *watchv1.ListCheckpointsResponse {
		t.Helper()
		status, answer := b.audit("ListCheckpoints", reader, body)
		r := &watchv1.ListCheckpointsResponse{}
		if err := protojson.Unmarshal([]byte(answer), r); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", body, status, answer, err)
		}
		return r
	}
	r := list(`{}`).GetCheckpoints()
	if len(r) != 50 || r[0].GetIndex() != 59 || r[0].GetSeq() != 60 || r[0].GetMade() != 159 || r[0].GetTotals()[0].GetTransfers() != 59 || r[0].GetSources()[0].GetThroughSeq() != 59 {
		t.Errorf("the newest of %d: %v", len(r), r[0])
	}
	if !audit.Verify(l.key.Public(), r[3].GetEntry(), r[3].GetSignature()) {
		t.Error("an entry's signature is not of it")
	}
	if r := list(`{"before": "2", "limit": 10}`).GetCheckpoints(); len(r) != 2 || r[1].GetIndex() != 0 {
		t.Errorf("before entry 2: %v", r)
	}
	if status, body := b.audit("ListCheckpoints", reader, `{"limit": 501}`); status != http.StatusBadRequest {
		t.Errorf("too many: %d %s", status, body)
	}
	status, body := b.audit("GetAuditStatus", reader, `{}`)
	if status != http.StatusOK || !strings.Contains(body, `"size":"60"`) || !strings.Contains(body, `"lastMade":"159"`) || !strings.Contains(body, `"failure":""`) {
		t.Errorf("status: %d %s", status, body)
	}

	if status, body := b.audit("GetBlocks", reader, `{"fromSeq": 1}`); status != http.StatusForbidden {
		t.Errorf("blocks for a reader: %d %s", status, body)
	}
	if status, body := b.audit("GetBlocks", auditor, `{}`); status != http.StatusBadRequest {
		t.Errorf("blocks from 0 on: %d %s", status, body)
	}
	b.seed()
	status, body = b.audit("GetBlocks", auditor, `{"fromSeq": 2}`)
	blocks := &watchv1.GetBlocksResponse{}
	if err := protojson.Unmarshal([]byte(body), blocks); err != nil || status != http.StatusOK {
		t.Fatalf("blocks: %d, %v", status, err)
	}
	if n := len(blocks.GetBlocks()); n != min(2, int(blocks.GetHead())-1) || !strings.HasSuffix(string(blocks.GetBlocks()[0]), "0002") {
		t.Errorf("%d blocks through %d, that begin with %.20q", n, blocks.GetHead(), blocks.GetBlocks()[0])
	}

	l.failure = fmt.Errorf("%w: no space left", audit.ErrLog)
	if status, body := b.audit("ListCheckpoints", reader, `{}`); status != http.StatusServiceUnavailable {
		t.Errorf("a log that can't be read: %d %s", status, body)
	}
	if status, body := b.audit("GetAuditStatus", reader, `{}`); status != http.StatusOK || !strings.Contains(body, "no space left") {
		t.Errorf("its status: %d %s", status, body)
	}
}

func TestNoAuditLog(t *testing.T) {
	b := open(t, nil)
	for _, method := range []string{"ListCheckpoints", "GetAuditStatus", "GetBlocks"} {
		if status, body := b.audit(method, b.tokens[auth.RoleAuditor], `{}`); status != http.StatusNotImplemented {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
	if status, _, _ := b.get("/audit/log/checkpoint", b.tokens[auth.RoleReader]); status != http.StatusNotFound {
		t.Errorf("files: %d", status)
	}
}
