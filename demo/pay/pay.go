// Package pay is a small front of a ledger, as a bank's service has one: POST /payments checks an order and has the
// ledger record it as one transfer. It keeps nothing itself: the order's id makes it safe to repeat, and the answer comes
// when the ledger has said that the transfer is durable. It knows no callers: who reaches its socket may pay.
//
// Start reading at [Handler].
package pay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/money"
)

const (
	maxOrder = 4 << 10         // bytes
	patience = 5 * time.Second // for the ledger
	code     = 1               // of the transfers
)

// Ledger is what records transfers: a [client.Client].
type Ledger interface {
	Transfer(ctx context.Context, e client.Entry) (client.Result, error)
}

// Order is the body of a request. Ids are decimal numbers of up to 128 bits.
type Order struct {
	ID     string `json:"id"` // of this payment, and no other
	From   string `json:"from"`
	To     string `json:"to"`
	Amount string `json:"amount"` // decimal, such as "12.34"
	Asset  string `json:"asset"`  // such as "CNY/2"
}

// Answer is the body of an answer. Error is empty where the payment is durable, now (201) or since an earlier attempt
// (200). Otherwise: 400, the order can't be; 409, the ledger refuses it; 503, send it again with its id.
type Answer struct {
	ID    string    `json:"id,omitempty"`
	Time  time.Time `json:"time,omitzero"` // the ledger's
	Error string    `json:"error,omitempty"`
}

// Handler answers POST /payments, and GET /healthz. It logs why the ledger did not answer, which is not the callers' to know.
func Handler(ledger Ledger, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /payments", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		status, answer := record(ctx, ledger, log, http.MaxBytesReader(w, r.Body, maxOrder))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer) // a caller that is gone asks again
	})
	return mux
}

func record(ctx context.Context, ledger Ledger, log *slog.Logger, body io.Reader) (int, Answer) {
	entry, err := read(body)
	if err != nil {
		return http.StatusBadRequest, Answer{Error: err.Error()}
	}
	done, err := ledger.Transfer(ctx, entry)
	answer := Answer{ID: entry.ID.String()}
	var refused *client.StatusError
	switch {
	case errors.As(err, &refused):
		answer.Error = refused.Status.Error()
		return http.StatusConflict, answer
	case err != nil:
		log.Error("the ledger did not answer", "payment", answer.ID, "error", err)
		answer.Error = "the ledger did not answer: send the same order again"
		return http.StatusServiceUnavailable, answer
	}
	answer.Time = done.Time()
	if done.Existed {
		return http.StatusOK, answer
	}
	return http.StatusCreated, answer
}

// read checks an order by itself; the ledger does so against the accounts.
func read(body io.Reader) (client.Entry, error) {
	var o Order
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return client.Entry{}, fmt.Errorf("read the order: %w", err)
	}
	e := client.Entry{Code: code}
	for _, id := range []struct {
		name, text string
		to         *money.U128
	}{{"id", o.ID, &e.ID}, {"from", o.From, &e.Debit}, {"to", o.To, &e.Credit}} {
		var err error
		if *id.to, err = money.Parse(id.text); err != nil {
			return client.Entry{}, fmt.Errorf("%s: %w", id.name, err)
		}
		if id.to.IsZero() {
			return client.Entry{}, fmt.Errorf("%s: 0 is none", id.name)
		}
	}
	var err error
	if e.Amount, err = client.ParseAmount(o.Amount, o.Asset); err != nil {
		return client.Entry{}, err
	}
	if e.Amount.Minor.IsZero() {
		return client.Entry{}, errors.New("amount: there is nothing to pay")
	}
	return e, nil
}
