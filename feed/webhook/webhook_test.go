package webhook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/sterlingrun/sterling/clock"
	"github.com/sterlingrun/sterling/feed"
	"github.com/sterlingrun/sterling/feed/webhook"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func key(id string) webhook.Key {
	return webhook.Key{ID: id, Secret: []byte("the secret of key " + id)}
}

const now = 1_700_000_000

func open(t *testing.T, url string, change func(*webhook.Options)) *webhook.Sink {
	t.Helper()
	o := webhook.Options{URL: url, Keys: []webhook.Key{key("k1")}, Clock: clock.NewFake(now * 1e9), PrivateNetwork: true}
	if change != nil {
		change(&o)
	}
	s, err := webhook.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func delivery() *feed.Delivery {
	p := feed.Position{Cell: 1, Seq: 4, Index: 2}
	return &feed.Delivery{ID: "1-4-2", Resume: p, Events: []*ledgerv1.FeedEvent{{
		Position: p.Message(), KindName: "transfer_created", Body: &ledgerv1.FeedEvent_Transfer{Transfer: &ledgerv1.Transfer{Id: "77"}},
	}}}
}

func TestADeliveryIsSignedJSON(t *testing.T) {
	var problems []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m ledgerv1.SubscribeResponse
		err = errors.Join(err, protojson.Unmarshal(body, &m))
		header := r.Header.Get(webhook.SignatureHeader)
		for _, k := range []string{"k1", "k2"} { // while keys are rotated, a receiver may have either
			err = errors.Join(err, webhook.Verify([]webhook.Key{key(k)}, header, body, time.Unix(now+10, 0), time.Minute))
		}
		if err != nil || r.Method != http.MethodPost || m.GetEvents()[0].GetTransfer().GetId() != "77" || m.GetResumeAfter().GetSeq() != 4 ||
			r.Header.Get(webhook.DeliveryHeader) != "1-4-2" || r.Header.Get("Content-Type") != "application/json" {
			problems = append(problems, r.Method, string(body), header, errors.Join(err).Error())
		}
		for name, verify := range map[string]error{
			"another key":  webhook.Verify([]webhook.Key{key("k3")}, header, body, time.Unix(now, 0), time.Minute),
			"another body": webhook.Verify([]webhook.Key{key("k1")}, header, append(body, ' '), time.Unix(now, 0), time.Minute),
			"too old":      webhook.Verify([]webhook.Key{key("k1")}, header, body, time.Unix(now+61, 0), time.Minute),
			"too new":      webhook.Verify([]webhook.Key{key("k1")}, header, body, time.Unix(now-61, 0), time.Minute),
			"another time": webhook.Verify([]webhook.Key{key("k1")}, strings.Replace(header, "t=17", "t=16", 1), body, time.Unix(now-100_000_000, 0), time.Minute),
			"none":         webhook.Verify([]webhook.Key{key("k1")}, "", body, time.Unix(now, 0), time.Minute),
		} {
			if !errors.Is(verify, webhook.ErrSignature) {
				problems = append(problems, name, "was accepted")
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	s := open(t, server.URL, func(o *webhook.Options) { o.Keys = append(o.Keys, key("k2")) })
	if err := s.Deliver(context.Background(), delivery()); err != nil || len(problems) > 0 {
		t.Errorf("%v, %q", err, problems)
	}
}

func TestOnlySuccessIsAnAcknowledgement(t *testing.T) {
	followed := false
	var code int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
			return
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	defer server.Close()
	s := open(t, server.URL, nil)
	for code = range map[int]bool{201: true, 301: false, 302: false, 307: false, 308: false, 400: false, 404: false, 429: false, 500: false, 503: false} {
		err := s.Deliver(context.Background(), delivery())
		if (err == nil) != (code == 201) {
			t.Errorf("%d: %v", code, err)
		}
	}
	if followed {
		t.Error("a redirect was followed")
	}
}

func TestAReceiverThatHangsIsGivenUpInTime(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-release
	}))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := open(t, server.URL, nil).Deliver(ctx, delivery()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	reached := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s := open(t, server.URL, func(o *webhook.Options) { o.PrivateNetwork, o.TLS = false, &tls.Config{RootCAs: roots} })
	err := s.Deliver(context.Background(), delivery())
	if !errors.Is(err, webhook.ErrPrivate) || reached {
		t.Errorf("%v, reached %v", err, reached)
	}
	if strings.Contains(err.Error(), server.URL) {
		t.Errorf("the error tells the URL: %v", err)
	}
	s = open(t, server.URL, func(o *webhook.Options) { o.TLS = &tls.Config{RootCAs: roots} })
	if err := s.Deliver(context.Background(), delivery()); err != nil || !reached {
		t.Errorf("allowed: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for says, change := range map[string]func(*webhook.Options){
		"want https":           func(o *webhook.Options) { o.URL = "ftp://x/y" },
		"plain http only":      func(o *webhook.Options) { o.URL = "http://example.com/" },
		"no user or password":  func(o *webhook.Options) { o.URL = "https://u:p@example.com/" },
		"want one, or two":     func(o *webhook.Options) { o.Keys = nil },
		"has 5 bytes":          func(o *webhook.Options) { o.Keys[0].Secret = []byte("short") },
		"two are called k1":    func(o *webhook.Options) { o.Keys = append(o.Keys, key("k1")) },
		`id "k,1": want`:       func(o *webhook.Options) { o.Keys[0].ID = "k,1" },
		"not 3":                func(o *webhook.Options) { o.Keys = append(o.Keys, key("k2"), key("k3")) },
		"url: want https://HO": func(o *webhook.Options) { o.URL = "https://secret\x7f" },
	} {
		o := webhook.Options{URL: "https://example.com/hook", Keys: []webhook.Key{key("k1")}, Clock: clock.NewSystem()}
		change(&o)
		if _, err := webhook.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q, got %v", says, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	body := []byte("body")
	good := webhook.Sign([]webhook.Key{key("k1")}, time.Unix(now, 0), body)
	for _, s := range []string{good, "", "t=1,kid=k1,v1=", "t=,v1=00", good + ",t=5", "kid=k1," + good} {
		f.Add(s, body)
	}
	f.Fuzz(func(t *testing.T, header string, b []byte) {
		// Nobody without the secret makes a signature: what verifies carries the one that Sign makes.
		if webhook.Verify([]webhook.Key{key("k1")}, header, b, time.Unix(now, 0), time.Hour) == nil && string(b) != string(body) {
			t.Errorf("%q is accepted for %q", header, b)
		}
	})
}
