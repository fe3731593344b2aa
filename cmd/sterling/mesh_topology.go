package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func newMeshTopology() *cobra.Command {
	var l meshLook
	c := &cobra.Command{
		Use: "topology", Short: "Tell who calls whom, how often, how long it takes and what fails", Args: cobra.NoArgs,
		Long: `Asks the control plane for what data planes reported: calls of the last 10 to 20 seconds,
and how the data planes are. It fails if the newest desired state is not in use.`,
		Example: `  sterling mesh topology
  sterling mesh topology --data sterling-data/mesh      # of the control plane in "sterling up"`,
		RunE: func(c *cobra.Command, _ []string) error {
			var text json.RawMessage
			printed, err := l.ask(c, "/topology", &text)
			if err != nil {
				return err
			}
			var t ledgerv1.GetTopologyResponse
			if err := protojson.Unmarshal(text, &t); err != nil {
				return fmt.Errorf("read the topology: %w", err)
			}
			if !printed {
				if err := printTopology(c, &t); err != nil {
					return err
				}
			}
			if t.GetRefusal() != "" {
				return errors.New("the desired state is refused: " + t.GetRefusal())
			}
			return nil
		},
	}
	c.Flags().StringVar(&l.data, "data", meshControlData, "folder of the control plane")
	l.registerOutput(c)
	return c
}

func printTopology(c *cobra.Command, t *ledgerv1.GetTopologyResponse) error {
	var rows [][]string
	for _, e := range t.GetEdges() {
		var why []string
		for _, f := range e.GetFailures() {
			kind := strings.ToLower(strings.TrimPrefix(f.GetKind().String(), "MESH_FAILURE_"))
			why = append(why, kind+" "+perSecond(f.GetPerSecond()))
		}
		rows = append(rows, []string{
			cmp.Or(e.GetCaller(), "unknown"), e.GetService(), perSecond(e.GetRequestsPerSecond()), perSecond(e.GetFailuresPerSecond()),
			latency(e.GetP50Seconds()), latency(e.GetP99Seconds()), strings.Join(why, ", "),
		})
	}
	if err := meshTable(c, "CALLER SERVICE CALLS/S FAILED/S P50 P99 WHY", rows); err != nil {
		return err
	}
	rows = nil
	for _, n := range t.GetNodes() {
		state := "generation " + strconv.FormatUint(n.GetGeneration(), 10)
		switch {
		case n.GetRefusal() != "":
			state += ", refuses: " + n.GetRefusal()
		case n.GetGeneration() < t.GetGeneration():
			state += " of " + strconv.FormatUint(t.GetGeneration(), 10)
		}
		until := ""
		if ns := n.GetCertificateUntil(); ns > 0 {
			until = time.Unix(0, int64(ns)).UTC().Format(time.RFC3339) //nolint:gosec // until 2262
		}
		var out []string
		for _, k := range n.GetClusters() {
			if k.GetEjected() > 0 {
				out = append(out, fmt.Sprintf("%s %d of %d", k.GetName(), k.GetEjected(), k.GetEndpoints()))
			}
		}
		rows = append(rows, []string{n.GetName(), n.GetKind(), until, strings.Join(out, ", "), state})
	}
	printf(c, "\n")
	return meshTable(c, "DATA-PLANE KIND CERTIFICATE-UNTIL EJECTED CONFIGURATION", rows)
}

func perSecond(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func latency(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return time.Duration(seconds * float64(time.Second)).Round(10 * time.Microsecond).String()
}
