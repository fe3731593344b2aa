package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sterlingrun/sterling/audit"
	"github.com/sterlingrun/sterling/node"
	watchv1 "github.com/sterlingrun/sterling/proto/gen/sterling/watch/v1"
)

func newAudit() *cobra.Command {
	var f ledgerFlags
	c := &cobra.Command{
		Use: "audit", Short: "Prove from outside what a ledger says about itself",
		Long: `Every second a ledger signs what it states about itself (its last block, totals, how far
all is proven safe) and puts it into a transparency log: one that nobody can rewrite
unnoticed, also not who runs it. "verify" proves such a log from another machine, with
nothing but the public key.`,
		Example: `  sterling audit key --offline --data sterling-data      # on the server, once; keep it
  sterling audit verify https://ledger:7600 --key FILE --since state.json
  sterling audit status
  sterling audit checkpoints --limit 10`,
	}
	f.register(c)
	c.AddCommand(newAuditVerify(&f), newAuditStatus(&f), newAuditCheckpoints(&f), newAuditKey(&f))
	return c
}

func newAuditStatus(f *ledgerFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Tell how the transparency log is", Args: cobra.NoArgs,
		Long: `Tells how large the log is and when its last checkpoint was made. It ends with 1 while no
checkpoints are signed.`,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				r, err := s.auditStatus(ctx)
				if err != nil {
					return err
				}
				if f.output == "json" {
					err = s.printJSON(r)
				} else {
					s.printf("entries    %d\nroot       %x\nlast made  %s\nkey        %x\n", r.GetSize(), r.GetRoot(), stamp(r.GetLastMade()), r.GetPublicKey())
				}
				if err == nil && r.GetFailure() != "" {
					err = fmt.Errorf("no checkpoints are signed: %s", r.GetFailure())
				}
				return err
			})
		},
	}
}

func (s *session) auditStatus(ctx context.Context) (*watchv1.GetAuditStatusResponse, error) {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return s.client.Audit().GetAuditStatus(ctx, &watchv1.GetAuditStatusRequest{})
}

func newAuditCheckpoints(f *ledgerFlags) *cobra.Command {
	var limit uint32
	var before uint64
	c := &cobra.Command{
		Use: "checkpoints", Short: "List signed checkpoints, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(c, func(ctx context.Context, s *session) error {
				ctx, cancel := s.call(ctx)
				defer cancel()
				r, err := s.client.Audit().ListCheckpoints(ctx, &watchv1.ListCheckpointsRequest{Limit: limit, Before: before})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, x := range r.GetCheckpoints() {
					rows = append(rows, []string{
						strconv.FormatUint(x.GetIndex(), 10), stamp(x.GetMade()), strconv.FormatUint(x.GetSeq(), 10), fmt.Sprintf("%.8x", x.GetBlockHash()),
						safeThrough(x.GetSafeThrough()), strconv.FormatUint(x.GetEvents(), 10), strconv.Itoa(len(x.GetTotals())), strconv.Itoa(len(x.GetSources())),
					})
				}
				return s.print(r, "ENTRY\tMADE\tBLOCK\tHASH\tSAFE THROUGH\tEVENTS\tASSETS\tSOURCES", rows)
			})
		},
	}
	c.Flags().Uint32Var(&limit, "limit", 0, "how many, up to 500 (default 50)")
	c.Flags().Uint64Var(&before, "before", 0, "only entries before this one")
	return c
}

func safeThrough(ns uint64) string {
	if ns == 0 {
		return "not yet"
	}
	return stamp(ns)
}

func newAuditKey(f *ledgerFlags) *cobra.Command {
	var offline bool
	c := &cobra.Command{
		Use: "key", Short: "Print the public key that verifies the transparency log", Args: cobra.NoArgs,
		Long: `Prints the verifier key, one line: "sterling/CELL+checksum+key". Fetch it once, by a way
you trust, and keep it where nobody who runs the server can change it. --offline reads it
in the data folder.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if offline {
				return printFolderVerifier(c, f.data)
			}
			return f.with(c, func(ctx context.Context, s *session) error {
				r, err := s.auditStatus(ctx)
				if err != nil {
					return err
				}
				point, err := audit.Trusted{Key: r.GetPublicKey()}.OpenCheckpoint(r.GetNote())
				if err != nil {
					return fmt.Errorf("the server has no signed log yet: %s: %w", r.GetFailure(), err)
				}
				s.printf("%v\n", audit.Trusted{Key: r.GetPublicKey(), Cell: point.Cell})
				return nil
			})
		},
	}
	c.Flags().BoolVar(&offline, "offline", false, "read it in the folder named by --data; takes no token")
	return c
}

func printFolderVerifier(c *cobra.Command, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, audit.KeyFile)); err != nil { // OpenKey would make one
		return usage("%s holds no signing key: the first start makes it: %w", dir, err)
	}
	key, err := audit.OpenKey(dir)
	if err != nil {
		return err
	}
	folder, err := audit.FindFolder(dir)
	if err != nil {
		return usage("%w: the first start makes it", err)
	}
	point, err := audit.ReadCheckpoint(c.Context(), folder, audit.Trusted{Key: key.Public()})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), audit.Trusted{Key: key.Public(), Cell: point.Cell})
	return err
}

// readVerifier reads a public key, or the file that holds one.
func readVerifier(text string) (audit.Trusted, error) {
	if text == "" {
		return audit.Trusted{}, usage("--key: the public key is what everything is proven by; `sterling audit key` on the server prints it")
	}
	t, err := audit.ParseTrusted(text)
	if err == nil {
		return t, nil
	}
	b, fileErr := os.ReadFile(text)
	if fileErr != nil {
		return t, usage("--key: neither a key nor a file with one: %w", errors.Join(err, fileErr))
	}
	if t, err = audit.ParseTrusted(strings.TrimSpace(string(b))); err != nil {
		return t, usage("--key %s: %w", text, err)
	}
	return t, nil
}

// failedProof is how a failed verification is printed as JSON.
type failedProof struct {
	Proven bool   `json:"proven"`
	Proof  string `json:"proof,omitempty"`
	Where  string `json:"where,omitempty"`
	Error  string `json:"error"`
}

// provenAudit is how a verification is printed as JSON.
type provenAudit struct {
	Proven bool `json:"proven"`
	*node.AuditReport
	Statement string `json:"statement,omitempty"` // the last one, as it was signed
}
