package devcluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/sterlingrun/sterling/devcluster"
	"github.com/sterlingrun/sterling/router"
)

// TestMain makes this test binary serve as a node: "node" says that it is ready and leads, "broken" ends at once.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[2] == "--config" {
		switch os.Args[1] {
		case "node":
			os.Exit(beNode(os.Args[3]))
		case "broken":
			fmt.Fprintln(os.Stderr, "no such luck")
			os.Exit(7)
		}
	}
	os.Exit(m.Run())
}

func beNode(file string) int {
	b, err := os.ReadFile(file)
	var config struct{ Listen string }
	if err == nil {
		err = yaml.Unmarshal(b, &config)
	}
	l, listenErr := net.Listen("tcp", config.Listen)
	if err = errors.Join(err, listenErr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}()
	fmt.Println("ready")
	<-ctx.Done()
	return 0
}

// memory is a map of cells that outlives its opening.
type memory struct {
	mu    sync.Mutex
	texts [][]byte
}

func (m *memory) Load(context.Context) (uint64, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.texts) == 0 {
		return 0, nil, nil
	}
	return uint64(len(m.texts)), m.texts[len(m.texts)-1], nil
}

func (m *memory) Swap(_ context.Context, was uint64, raw []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was != uint64(len(m.texts)) {
		return false, nil
	}
	m.texts = append(m.texts, raw)
	return true, nil
}

func (*memory) Close() error { return nil }

func options(t *testing.T, as string) devcluster.Options {
	t.Helper()
	maps := &memory{}
	return devcluster.Options{
		Command: []string{os.Args[0], as}, Dir: filepath.Join(t.TempDir(), "c"), DSN: "postgres://secret@h/d",
		Maps: func(context.Context, string) (devcluster.Maps, error) { return maps, nil },
	}
}

func TestGoesOnWithWhatIsThere(t *testing.T) {
	o := options(t, "node")
	o.Nodes = 2
	var first []devcluster.Node
	for range 2 {
		c, err := devcluster.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		leaders, err := c.AwaitLeaders(t.Context())
		nodes := c.Nodes()
		if _, second := devcluster.Start(t.Context(), o); !errors.Is(second, devcluster.ErrOptions) {
			t.Errorf("a second cluster on the folder: error %v", second)
		}
		if err := errors.Join(err, c.Close()); err != nil || len(leaders) != 2 || len(nodes) != 4 {
			t.Fatalf("%d leaders, nodes %+v, error %v", len(leaders), nodes, err)
		}
		if first == nil {
			first = nodes
		}
		for i, n := range nodes {
			if n.Address != first[i].Address {
				t.Errorf("node %d of cell %d was at %s and is at %s", n.Number, n.Cell, first[i].Address, n.Address)
			}
		}
		o.DSN, o.Nodes = "", 0
	}
	for _, name := range []string{"cells.secret", "dsn", "admin.token", "cell-2-node-2/tokens.json", "cell-2-node-2.yaml"} {
		if info, err := os.Stat(filepath.Join(o.Dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, error %v; want mode 0600", name, info.Mode(), err)
		}
	}
	o.Nodes = 3
	if _, err := devcluster.Start(t.Context(), o); !errors.Is(err, devcluster.ErrOptions) {
		t.Errorf("other nodes than the folder has: error %v", err)
	}
}

func TestNodeThatDoesNotStart(t *testing.T) {
	o := options(t, "broken")
	_, err := devcluster.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), ".log") {
		t.Fatalf("error %v, want the node's and where its log is", err)
	}
	o.Command[1] = "node" // nothing is left in its way
	c, err := devcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestNodesThatEnd(t *testing.T) {
	o := options(t, "node")
	o.Cells, o.Nodes = 1, 2
	ended := make(chan devcluster.Node, 2)
	o.Ended = func(n devcluster.Node, _ error) { ended <- n }
	c, err := devcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes() {
		if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if got := <-ended; got != n {
			t.Errorf("%+v ended, killed was %+v", got, n)
		}
	}
	<-c.Gone()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestMapOfOtherCells(t *testing.T) {
	o := options(t, "node")
	maps, err := o.Maps(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := router.Define(t.Context(), maps, []router.Cell{{ID: 1, Nodes: []string{"h:1"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := devcluster.Start(t.Context(), o); !errors.Is(err, router.ErrMap) {
		t.Errorf("error %v, want %v", err, router.ErrMap)
	}
	o.DSN = "" // of a database that could not be used, nothing is kept
	if _, err := devcluster.Start(t.Context(), o); !errors.Is(err, devcluster.ErrNoDatabase) {
		t.Errorf("error %v, want %v", err, devcluster.ErrNoDatabase)
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := devcluster.Read(dir); !errors.Is(err, devcluster.ErrNoCluster) {
		t.Errorf("an empty folder: error %v", err)
	}
	for _, text := range []string{"", "{}", `{"cells":2,"nodes_per_cell":1,"nodes":[]}`, `{"cells":99,"nodes_per_cell":1}`} {
		if err := os.WriteFile(filepath.Join(dir, "cluster.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := devcluster.Read(dir); err == nil {
			t.Errorf("%q was read as %+v", text, s)
		}
	}
}
