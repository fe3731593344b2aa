package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/auth"
	"github.com/sterlingrun/sterling/client"
	"github.com/sterlingrun/sterling/node"
	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// tokenEnv is the environment variable that holds a token.
const tokenEnv = "STERLING_TOKEN"

// ledgerFlags are the flags of every command that talks to a server.
type ledgerFlags struct {
	server, data, tokenFile, output string
	deadline                        time.Duration
	tls, plaintext, shadow          bool
	ca, cert, key                   string
}

func (f *ledgerFlags) register(c *cobra.Command) {
	flags := c.PersistentFlags()
	flags.StringVar(&f.server, "server", node.DefaultConfig().Listen, "address of the server, host:port; of several nodes that share a journal, all of them with commas in between")
	flags.StringVar(&f.data, "data", node.DefaultConfig().Data, "data folder, where the admin token is looked for")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token (default: "+tokenEnv+", or else "+auth.AdminFile+" in the data folder)")
	flags.StringVar(&f.output, "output", "text", "text, or json: what the API answers")
	f.registerTLS(flags)
	f.registerShadow(flags)
	flags.DurationVar(&f.deadline, "deadline", 30*time.Second, "how long a call may take")
}

func newLedger() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "ledger", Short: "Talk to a running ledger: accounts, transfers, queries, controls",
		Long: `Talks to the server that "sterling up" started. Ids are decimal numbers of up to 128
bits. Amounts are minor units, or decimals with their asset ("12.34 CNY").

A command that creates something may be repeated with the same ids: what was
recorded the first time answers "exists" and changes nothing.`,
		Example: `  sterling ledger create-accounts --asset CNY/2 --code 1 1 2
  sterling ledger transfer --from 1 --to 2 --amount "12.34 CNY" --code 1
  sterling ledger accounts 1 2
  sterling ledger statement 1`,
	}
	f.register(c)
	c.AddCommand(
		newCreateAccounts(&f), newTransfer(&f), newPost(&f), newVoid(&f), newCreateTransfers(&f),
		newTransaction(&f), newGetTransaction(&f), newSetMetadata(&f),
		newAccounts(&f), newTransfers(&f), newStatement(&f), newAsOf(&f), newTotals(&f), newTrialBalance(&f), newAgeing(&f), newAddresses(&f), newBalances(&f), newQueryAccounts(&f), newQueryTransfers(&f),
		newFreeze(&f), newUnfreeze(&f), newFreezes(&f), newLimits(&f), newAssets(&f), newStatus(&f), newAcceptClock(&f),
	)
	return c
}

// session is a connection to a server, and where its answers go.
type session struct {
	ledgerv1.LedgerServiceClient
	admin  ledgerv1.AdminServiceClient
	client *client.Client // repeats what the server could not take, with the same ids
	flags  *ledgerFlags
	token  tokenSource
	c      *cobra.Command
	listed []*ledgerv1.Asset // the catalogue, once it was asked for
}

// with runs a command's work over a connection, and explains its error.
func (f *ledgerFlags) with(c *cobra.Command, work func(ctx context.Context, s *session) error) (err error) {
	if f.output != "text" && f.output != "json" {
		return usage("--output: want text or json, not %q", f.output)
	}
	token, err := f.token()
	if err != nil {
		return err
	}
	conn, err := f.dial(token.token)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &session{conn.Ledger(), conn.Admin(), conn, f, token, c, nil}
	return s.explain(work(c.Context(), s))
}

// call bounds one call.
func (s *session) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.flags.deadline)
}

// dial connects, encrypted if that is asked for. Beyond loopback it takes --tls, or --plaintext to say that the network
// is trusted with the token.
func (f *ledgerFlags) dial(token string) (*client.Client, error) {
	options := []client.Option{client.WithPatience(f.deadline)}
	if f.tls || f.ca != "" || f.cert != "" || f.key != "" {
		config, err := f.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithTLS(config))
	}
	if f.plaintext {
		options = append(options, client.WithPlaintext())
	}
	if f.shadow {
		options = append(options, client.WithShadow())
	}
	c, err := client.Dial(f.server, token, options...)
	if err != nil {
		return nil, usage("--server: %w (flags: --tls, --ca, --plaintext)", err)
	}
	return c, nil
}

// tokenSource is a token and where it came from, for messages.
type tokenSource struct{ token, from string }

func (f *ledgerFlags) token() (tokenSource, error) {
	path := f.tokenFile
	if path == "" {
		if token := strings.TrimSpace(os.Getenv(tokenEnv)); token != "" {
			return tokenSource{token, tokenEnv}, nil
		}
		if f.cert != "" {
			return tokenSource{"", f.cert}, nil
		}
		path = filepath.Join(f.data, auth.AdminFile)
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && f.tokenFile == "" {
		return tokenSource{}, usage("no token: %s does not exist; give --data FOLDER of the server, --token-file FILE, or set %s", path, tokenEnv)
	}
	if err != nil {
		return tokenSource{}, usage("read the token: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return tokenSource{}, usage("%s holds no token", path)
	}
	return tokenSource{token, path}, nil
}

// usage is an error of the command line: nothing was done.
func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}
