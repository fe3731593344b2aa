package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/demo/pay"
)

// paymentsEnd is how long payments that are under way may take when the service is stopped.
const paymentsEnd = 10 * time.Second

func newDemoPayments() *cobra.Command {
	var socket, server, tokenFile string
	c := &cobra.Command{
		Use: "payments", Short: "Serve POST /payments on a Unix socket, a service as a bank has them", Args: cobra.NoArgs,
		Long: `Checks each order and has the ledger record it as one transfer; answers when that is
durable. Whoever reaches the socket may pay. It is what "sterling bench sandbox"
measures, and made to run in a sandbox (docs/sandbox.md): there the ledger is a socket.`,
		Example: `  sterling demo payments --listen /run/listen/http --server unix:/run/services/ledger --token-file /run/secrets/token
  curl --unix-socket payments.sock http://payments/payments \
    -d '{"id": "1", "from": "100", "to": "101", "amount": "12.34", "asset": "CNY/2"}'`,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			token, err := (&ledgerFlags{tokenFile: tokenFile}).token()
			if err != nil {
				return err
			}
			ledger, err := client.Dial(server, token.token, client.WithPlaintext()) // a socket, or loopback's
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, ledger.Close()) }()
			return servePayments(c.Context(), socket, pay.Handler(ledger, slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))))
		},
	}
	flags := c.Flags()
	flags.StringVar(&socket, "listen", "payments.sock", "path of the socket, which must not exist")
	flags.StringVar(&server, "server", "", "the ledger: host:port, or unix:PATH")
	flags.StringVar(&tokenFile, "token-file", "", "file with the token, of a teller")
	for _, name := range []string{"server", "token-file"} {
		_ = c.MarkFlagRequired(name) // it is defined above
	}
	return c
}

// servePayments serves until ctx ends.
func servePayments(ctx context.Context, socket string, handler http.Handler) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen for payments: %w", err)
	}
	server := &http.Server{Handler: handler, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve payments: %w", err)
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), paymentsEnd)
	defer cancel()
	err = server.Shutdown(ending)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}
