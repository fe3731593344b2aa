package supervisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
)

// Client calls the supervisor of a folder.
type Client struct{ Dir string }

// maxAnswer bounds what a supervisor may answer.
const maxAnswer = 64 << 20

func (c Client) do(ctx context.Context, method, path string, in any) (*http.Response, error) {
	socket := filepath.Join(c.Dir, Socket)
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://supervisor"+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("%w; does a supervisor run in %s?", err, c.Dir)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close() //nolint:errcheck // the text is all there is
	said, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	err = fmt.Errorf("%s", strings.TrimSpace(string(said)))
	switch response.StatusCode {
	case http.StatusNotFound:
		err = &called{err, ErrNotFound}
	case http.StatusUnprocessableEntity:
		err = &called{err, ErrRefused}
	}
	return nil, err
}

// called is an error of the supervisor, as which it counts.
type called struct {
	error
	kind error
}

// Unwrap implements what errors.Is asks.
func (c *called) Unwrap() error { return c.kind }

func (c Client) ask(ctx context.Context, method, path string, in, out any) error {
	response, err := c.do(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // all was read
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("read the supervisor's answer: %w", err)
	}
	return nil
}

// Apply calls Supervisor.Apply. The error wraps ErrRefused where the declaration is wrong.
func (c Client) Apply(ctx context.Context, d Declaration) (changed bool, err error) {
	var out struct{ Changed bool }
	err = c.ask(ctx, http.MethodPut, "/services", d, &out)
	return out.Changed, err
}

// Overview calls Supervisor.Overview.
func (c Client) Overview(ctx context.Context) (*Overview, error) {
	out := &Overview{}
	return out, c.ask(ctx, http.MethodGet, "/services", nil, out)
}

// Status calls Supervisor.Status.
func (c Client) Status(ctx context.Context, name string) (*Status, error) {
	out := &Status{}
	return out, c.ask(ctx, http.MethodGet, "/services/"+url.PathEscape(name), nil, out)
}

// Stop calls Supervisor.Stop.
func (c Client) Stop(ctx context.Context, name string) error {
	return c.ask(ctx, http.MethodPost, "/services/"+url.PathEscape(name)+"/stop", nil, &struct{}{})
}

// Remove calls Supervisor.Remove.
func (c Client) Remove(ctx context.Context, name string) error {
	return c.ask(ctx, http.MethodDelete, "/services/"+url.PathEscape(name), nil, &struct{}{})
}

// Logs writes what a replica wrote.
func (c Client) Logs(ctx context.Context, replica string, to io.Writer) error {
	response, err := c.do(ctx, http.MethodGet, "/logs/"+url.PathEscape(replica), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // all was read
	_, err = io.Copy(to, response.Body)
	return err
}
