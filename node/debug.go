package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// debugServer serves profiles of this process.
type debugServer struct {
	server  *http.Server
	serving chan error
}

const (
	debugRequest = 10 * time.Second // to send a request
	debugAnswer  = 5 * time.Minute  // to take a profile and read it
)

// startDebug listens where the configuration says so; it does nothing where it does not.
func (n *Node) startDebug(ctx context.Context) error {
	if n.config.Debug.Listen == "" {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", n.config.Debug.Listen)
	if err != nil {
		return fmt.Errorf("serve profiles: %w; choose another debug.listen", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	d := &debugServer{
		server:  &http.Server{Handler: mux, ReadTimeout: debugRequest, WriteTimeout: debugAnswer, IdleTimeout: debugAnswer},
		serving: make(chan error, 1),
	}
	go func() { d.serving <- d.server.Serve(l) }()
	n.debug = d
	n.logger.Info("profiles are served", "address", l.Addr().String())
	return nil
}

// close ends requests in flight, too.
func (d *debugServer) close() error {
	err := d.server.Close()
	if ended := <-d.serving; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve profiles: %w", ended))
	}
	return err
}
