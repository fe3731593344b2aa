package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/mesh/proxy"
	"github.com/sterlingrun/sterling/node"
)

func newMeshStatus() *cobra.Command {
	var l meshLook
	c := &cobra.Command{
		Use: "status", Short: "Tell how a node or a control plane is", Args: cobra.NoArgs,
		Long: `It fails if not all is well: a control plane whose file is refused, a workload whose
control plane does not answer, whose configuration is refused, or one of whose addresses
can't be had.`,
		RunE: func(c *cobra.Command, _ []string) error {
			var s node.MeshStatus
			printed, err := l.ask(c, "/status", &s)
			if err != nil {
				return err
			}
			if s.Control != nil {
				return controlStatus(c, s.Control, printed)
			}
			if s.Node != nil {
				return nodeMeshStatus(c, s.Node, printed)
			}
			return errors.New("the answer says nothing: is this another version?")
		},
	}
	l.register(c)
	return c
}

func controlStatus(c *cobra.Command, s *node.MeshControlStatus, printed bool) error {
	if !printed {
		printf(c, "control plane of %s, %s in use as generation %d\n", s.Domain, s.State, s.Generation)
		var rows [][]string
		for _, n := range s.Nodes {
			rows = append(rows, []string{n.Name, strconv.FormatUint(n.Generation, 10), n.Refusal})
		}
		if err := meshTable(c, "DATA-PLANE GENERATION REFUSAL", rows); err != nil {
			return err
		}
	}
	if s.Refusal != "" {
		return fmt.Errorf("the desired state is refused: %s", s.Refusal)
	}
	return nil
}

func nodeMeshStatus(c *cobra.Command, s *node.MeshNodeStatus, printed bool) error {
	var rows [][]string
	var faults []error
	for _, w := range s.Workloads {
		link := "yes"
		if !w.Connected {
			link = "no"
			faults = append(faults, fmt.Errorf("%s: the control plane does not answer: %s", w.ID, w.Reason))
		}
		if w.Refusal != "" {
			faults = append(faults, fmt.Errorf("%s: a configuration is refused: %s", w.ID, w.Refusal))
		}
		for _, address := range slices.Sorted(maps.Keys(w.Faults)) {
			faults = append(faults, fmt.Errorf("%s: %s", w.ID, w.Faults[address]))
		}
		var listeners []string
		for _, name := range slices.Sorted(maps.Keys(w.Listeners)) {
			if address := w.Listeners[name]; "inbound/"+address != name {
				name += "=" + address
			}
			listeners = append(listeners, name)
		}
		rows = append(rows, []string{w.ID, link, w.Version, w.Expires.UTC().Format(time.RFC3339), strings.Join(listeners, " ")})
	}
	if !printed {
		if err := meshTable(c, "WORKLOAD CONNECTED CONFIGURATION CERTIFICATE-UNTIL LISTENERS", rows); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

func newMeshRoutes() *cobra.Command {
	var l meshLook
	c := &cobra.Command{
		Use: "routes", Short: "List the routes in use, in the order in which they are tried", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var list []node.MeshRoutes
			if printed, err := l.ask(c, "/routes", &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, workload := range list {
				config, err := proxy.ParseConfig(workload.Config) // JSON is YAML
				if err != nil {
					return err
				}
				for _, r := range config.Routes {
					rows = append(rows, []string{strings.Join(r.Listeners, " "), matchText(r.Match), routeText(r), strings.Join(r.Allow, " ")})
				}
				for _, k := range config.Listeners {
					if k.Protocol == "tcp" {
						rows = append(rows, []string{k.Name, "(bytes)", k.Cluster, strings.Join(k.Allow, " ")})
					}
				}
			}
			return meshTable(c, "LISTENER MATCH GOES-TO CALLERS", rows)
		},
	}
	l.register(c)
	return c
}

func matchText(m proxy.Match) string {
	text := strings.Join(m.Methods, ",")
	switch {
	case m.Path != "":
		text += " " + m.Path
	case m.Prefix != "":
		text += " " + m.Prefix + "*"
	case m.Regex != "":
		text += " ~" + m.Regex
	default:
		text += " /*"
	}
	for _, h := range m.Headers {
		switch {
		case h.Number != nil:
			text += fmt.Sprintf(" %s=%d-%d", h.Name, h.Number.From, h.Number.To)
		case h.Regex != "":
			text += " " + h.Name + "~" + h.Regex
		default:
			text += " " + h.Name + "=" + h.Is
		}
	}
	return strings.TrimSpace(text)
}

func routeText(r proxy.Route) string {
	if r.Refuse != "" {
		return "refused: " + r.Refuse
	}
	var parts []string
	for _, b := range r.Backends {
		if len(r.Backends) == 1 {
			parts = append(parts, b.Cluster)
		} else {
			parts = append(parts, fmt.Sprintf("%s:%d", b.Cluster, b.Weight))
		}
	}
	if r.Money {
		parts = append(parts, "(money)")
	}
	return strings.Join(parts, " ")
}

func newMeshCerts() *cobra.Command {
	var l meshLook
	c := &cobra.Command{
		Use: "certs", Short: "List the certificates in use, and whom they trust", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var list []node.MeshCerts
			if printed, err := l.ask(c, "/certs", &list); err != nil || printed {
				return err
			}
			var rows [][]string
			for _, cert := range list {
				domains := strings.Join(slices.Sorted(maps.Keys(cert.Trust)), " ")
				rows = append(rows, []string{cert.ID, cert.Serial, cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), domains})
			}
			return meshTable(c, "ID SERIAL FROM UNTIL TRUSTS", rows)
		},
	}
	l.register(c)
	return c
}

// tapLine is what a person sees of a request.
type tapLine struct {
	Time, Listener, Route, Endpoint, Peer, Method, Path, Failure string

	Status int
	Us     int64
	Shadow bool
}

func newMeshTap() *cobra.Command {
	var l meshLook
	var every, count int
	c := &cobra.Command{
		Use: "tap", Short: "Watch requests as they end, without their fields and bodies", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			response, err := l.get(c.Context(), "/tap?every="+strconv.Itoa(every))
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }() // all was read, or nobody reads on
			lines := bufio.NewScanner(response.Body)
			lines.Buffer(nil, 64<<10)
			for n := 0; (count == 0 || n < count) && lines.Scan(); n++ {
				if err := printTapped(c, lines.Bytes(), l.output); err != nil {
					return err
				}
			}
			if err := lines.Err(); err != nil && c.Context().Err() == nil {
				return fmt.Errorf("watch requests: %w", err)
			}
			return nil
		},
	}
	l.register(c)
	c.Flags().IntVar(&every, "every", 1, "show one request in so many")
	c.Flags().IntVar(&count, "count", 0, "end after so many; 0: at an interruption")
	return c
}

func printTapped(c *cobra.Command, line []byte, output string) error {
	if output == "json" {
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", line)
		return err
	}
	var t tapLine
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("read a request: %w", err)
	}
	more := ""
	if t.Failure != "" {
		more += "  " + t.Failure
	}
	if t.Shadow {
		more += "  shadow"
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s  %d %s %s  %s → %s  from %s  %s%s\n",
		t.Time, t.Status, t.Method, t.Path, t.Listener, t.Endpoint, t.Peer, time.Duration(t.Us)*time.Microsecond, more)
	return err
}
