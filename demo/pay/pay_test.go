package pay_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo/pay"
	"github.com/sterlingrun/sterling/money"
)

// ledger answers each transfer with what a test wants, and keeps it.
type ledger struct {
	sent    client.Entry
	existed bool
	err     error
}

func (l *ledger) Transfer(_ context.Context, e client.Entry) (client.Result, error) {
	l.sent = e
	return client.Result{ID: e.ID, Timestamp: 1_800_000_000_000_000_000, Existed: l.existed}, l.err
}

const order = `{"id": "340282366920938463463374607431768211454", "from": "100", "to": "101", "amount": "12.34", "asset": "CNY/2"}`

func post(l *ledger, body string) (int, pay.Answer, error) {
	w := httptest.NewRecorder()
	pay.Handler(l, slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/payments", strings.NewReader(body)))
	var a pay.Answer
	return w.Code, a, json.Unmarshal(w.Body.Bytes(), &a)
}

// TestPayment: an order is the transfer that it says, and its answer what the ledger said of it.
func TestPayment(t *testing.T) {
	for name, c := range map[string]struct {
		ledger ledger
		status int
		says   string
	}{
		"recorded": {ledger{}, http.StatusCreated, ""},
		"repeated": {ledger{existed: true}, http.StatusOK, ""},
		"refused":  {ledger{err: &client.StatusError{Status: client.ErrExceedsCredits}}, http.StatusConflict, "exceeds"},
		"unknown":  {ledger{err: &client.UnknownError{Err: errors.New("10.0.0.7 is gone")}}, http.StatusServiceUnavailable, "send the same order again"},
	} {
		status, a, err := post(&c.ledger, order)
		if err != nil || status != c.status || !strings.Contains(a.Error, c.says) || (a.Error == "") != (c.says == "") || strings.Contains(a.Error, "10.0.0.7") {
			t.Errorf("%s: %d %+v, %v", name, status, a, err)
		}
		if a.ID != "340282366920938463463374607431768211454" || a.Time.IsZero() != (c.says != "") {
			t.Errorf("%s: %+v", name, a)
		}
		if e := c.ledger.sent; e.Debit != money.From(100) || e.Credit != money.From(101) || e.Amount.String() != "12.34 CNY" || e.ID.String() != a.ID {
			t.Errorf("%s: sent %+v", name, e)
		}
	}
}

// TestNoPayment: what is no order reaches no ledger.
func TestNoPayment(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":    "",
		"no number":  strings.Replace(order, `"100"`, `"alice"`, 1),
		"nobody":     strings.Replace(order, `"100"`, `"0"`, 1),
		"no id":      strings.Replace(order, `"id"`, `"ID2"`, 1),
		"no payment": strings.Replace(order, "12.34", "0.00", 1),
		"places":     strings.Replace(order, "12.34", "12.345", 1),
		"negative":   strings.Replace(order, "12.34", "-12.34", 1),
		"no asset":   strings.Replace(order, "CNY/2", "", 1),
		"too long":   strings.Replace(order, "12.34", strings.Repeat("1", 5000), 1),
	} {
		var l ledger
		if status, a, err := post(&l, body); err != nil || status != http.StatusBadRequest || a.Error == "" || !l.sent.ID.IsZero() {
			t.Errorf("%s: %d %+v, %v; sent %+v", name, status, a, err, l.sent)
		}
	}
}
