package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// workCommand is what bench runs in containers: this program is in their roots. It prints numbers, nothing else.
func workCommand() *cobra.Command {
	return &cobra.Command{
		Use: "bench-work", Hidden: true, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[1])
			if err != nil || n < 1 || n > 1e9 {
				return &exitError{exitUsage, fmt.Errorf("%q is no number from 1 to 1000000000", args[1])}
			}
			switch args[0] {
			case "cpu":
				_, err = fmt.Fprintln(cmd.OutOrStdout(), compute(n).Nanoseconds())
			case "flood":
				for range n {
					if f, err := os.Open("/nothing"); err == nil {
						_ = f.Close()
					}
				}
			case "serve":
				var took []time.Duration
				if took, err = serve(cmd.Context(), n); err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), len(took), took[len(took)/2].Nanoseconds(), took[len(took)*99/100].Nanoseconds())
				}
			default:
				err = &exitError{exitUsage, fmt.Errorf("no work %q", args[0])}
			}
			return err
		},
	}
}

// compute does n million steps that touch neither memory nor the kernel.
func compute(n int) time.Duration {
	began := time.Now()
	x := uint64(1)
	for range n * 1_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if x == 0 { // it never is; but now it is needed
		return 0
	}
	return time.Since(began)
}

// serve answers n requests for a file, which is read from the root each time, to 4 clients over TCP on the loopback, and
// returns how long each took, sorted.
func serve(ctx context.Context, n int) ([]time.Duration, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := os.ReadFile("/data")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(text) // the client notices
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	const clients = 4
	took, errs := make([][]time.Duration, clients), make([]error, clients)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() { took[c], errs[c] = load(ctx, "http://"+listener.Addr().String()+"/", n/clients) })
	}
	all.Wait()
	err = errors.Join(append(errs, server.Close())...)
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	sorted := slices.Concat(took...)
	slices.Sort(sorted)
	if err == nil && len(sorted) == 0 {
		err = errors.New("no request")
	}
	return sorted, err
}

// load sends requests one after the other on one connection.
func load(ctx context.Context, url string, n int) ([]time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var took []time.Duration
	for range n {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		answer, err := client.Do(q)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("status %d: %w", answer.StatusCode, err)
		}
		took = append(took, time.Since(began))
	}
	return took, nil
}
