package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/sterlingrun/sterling/keystore"
)

// stepFS calls step before everything that changes the disk, and fails the step that it is told to.
type stepFS struct {
	vfs.FS
	mu    sync.Mutex
	steps int
	fail  int // number of the step that fails; 0: none
	step  func()
}

var errDisk = errors.New("input/output error")

func (f *stepFS) at() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.steps++
	if f.step != nil {
		f.step()
	}
	if f.steps == f.fail {
		return errDisk
	}
	return nil
}

func (f *stepFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.at(); err != nil {
		return nil, err
	}
	file, err := f.FS.Create(name, c)
	return &stepFile{file, f}, err
}

func (f *stepFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return &stepFile{file, f}, err
}

func (f *stepFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return &stepFile{file, f}, err
}

func (f *stepFS) Rename(from, to string) error {
	if err := f.at(); err != nil {
		return err
	}
	return f.FS.Rename(from, to)
}

func (f *stepFS) Remove(name string) error {
	if err := f.at(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

type stepFile struct {
	vfs.File
	fs *stepFS
}

func (f *stepFile) Write(b []byte) (int, error) {
	if err := f.fs.at(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *stepFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.fs.at(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, at)
}

func (f *stepFile) Sync() error {
	if err := f.fs.at(); err != nil {
		return err
	}
	return f.File.Sync()
}

// life is what was acknowledged in a store's life: nothing of it may be lost.
type life struct {
	sealed []keystore.Value
	erased []string
}

// run makes keys, erases, changes the master and erases again. Each deed is noted once it is acknowledged. erasing
// counts the erasures that were begun.
func (l *life) run(ctx context.Context, o keystore.Options, erasing func(subject string)) error {
	s, err := keystore.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	for round := range 3 {
		for i := range 3 {
			var values []keystore.Value
			for k := range 40 * (i + 1) { // over several pages of the disk
				values = append(values, value(fmt.Sprintf("c-%d-%d-%d", round, i, k), 1, "name", fmt.Sprint("x", k)))
			}
			if err := s.Seal(ctx, values); err != nil {
				return err
			}
			l.sealed = append(l.sealed, values...)
		}
		for _, subject := range []string{fmt.Sprintf("c-%d-1-2", round), fmt.Sprintf("nobody-%d", round)} {
			erasing(subject)
			if _, err := s.Erase(ctx, erasure(subject, 1)); err != nil {
				return err
			}
			l.erased = append(l.erased, subject)
		}
	}
	return nil
}

// check opens what a fault left, applies the erasures that the journal had (those that were begun), and wants
// everything acknowledged to be there, and a store that goes on.
func (l *life) check(ctx context.Context, o keystore.Options, begun string) error {
	s, err := keystore.Open(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, subject := range l.erased {
		if got, err := s.Subject(subject); err != nil || got.State != keystore.Erased {
			return fmt.Errorf("erased subject %s: %+v, %w", subject, got, err)
		}
	}
	journaled := l.erased
	if begun != "" {
		journaled = append(slices.Clone(journaled), begun)
	}
	_, err = s.ApplyErasures(ctx, func(yield func(keystore.Erasure) bool) {
		for _, subject := range journaled {
			if !yield(erasure(subject, 1)) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	values := slices.Clone(l.sealed)
	if err := s.Open(values); err != nil {
		return err
	}
	for i, v := range values {
		gone := slices.Contains(journaled, v.Subject)
		if gone != (v.State == keystore.Erased) || !gone && !bytes.Equal(v.Clear, l.sealed[i].Clear) {
			return fmt.Errorf("value of %s: state %d, %q", v.Subject, v.State, v.Clear)
		}
	}
	return l.goesOn(ctx, s, o)
}

func (l *life) goesOn(ctx context.Context, s *keystore.Store, o keystore.Options) error {
	for _, subject := range []string{"later-1", "later-2"} {
		if err := s.Seal(ctx, []keystore.Value{value(subject, 1, "n", "v")}); err != nil {
			return err
		}
	}
	if _, err := s.Erase(ctx, erasure("later-1", 1)); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	s, err := keystore.Open(ctx, o)
	if err != nil {
		return fmt.Errorf("open once more: %w", err)
	}
	return s.Close()
}

// TestPowerLossAtEveryStep cuts the power before every single write, sync, rename, creation and removal, with none, some
// and all of what was not synced having reached the disk.
func TestPowerLossAtEveryStep(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &stepFS{FS: mem}
	var l life
	begun, crashes, failures := "", 0, 0
	fs.step = func() {
		for i, percent := range []int{0, 20, 50, 80, 100} {
			crashed := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(uint64(fs.steps), uint64(i)))})
			crashes++
			if err := l.check(t.Context(), options(t, crashed), begun); err != nil {
				if failures++; failures <= 5 {
					t.Errorf("step %d, %d%% of what was not synced: %v", fs.steps, percent, err)
				}
			}
		}
	}
	if err := l.run(t.Context(), options(t, fs), func(subject string) { begun = subject }); err != nil {
		t.Fatal(err)
	}
	if crashes < 300 {
		t.Errorf("only %d crashes were tried", crashes)
	}
	t.Logf("%d steps, %d crashes, %d failures", fs.steps, crashes, failures)
}

// TestFaultAtEveryStep fails every single step once: the store then refuses to write, still reads what was acknowledged,
// and has it after a restart.
func TestFaultAtEveryStep(t *testing.T) {
	probe := &stepFS{FS: vfs.NewMem()}
	var whole life
	if err := whole.run(t.Context(), options(t, probe), func(string) {}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= probe.steps; n++ {
		mem := vfs.NewMem()
		fs := &stepFS{FS: mem, fail: n}
		var l life
		begun := ""
		err := l.run(t.Context(), options(t, fs), func(subject string) { begun = subject })
		if !errors.Is(err, errDisk) {
			t.Fatalf("step %d failed, and the answer was %v", n, err)
		}
		if err := l.check(t.Context(), options(t, mem), begun); err != nil {
			t.Fatalf("after step %d failed: %v", n, err)
		}
	}
}

func TestBrokenStoreReads(t *testing.T) {
	fs := &stepFS{FS: vfs.NewMem()}
	s := open(t, fs)
	sealed := seal(t, s, value("c", 1, "name", "Wang"))
	fs.fail = fs.steps + 2 // the sync
	for range 2 {
		if err := s.Seal(t.Context(), []keystore.Value{value("d", 1, "name", "Li")}); !errors.Is(err, keystore.ErrBroken) || !errors.Is(err, errDisk) {
			t.Fatalf("got %v, want ErrBroken", err)
		}
	}
	if _, err := s.Erase(t.Context(), erasure("c", 1)); !errors.Is(err, keystore.ErrBroken) {
		t.Fatalf("got %v, want ErrBroken", err)
	}
	if err := s.Err(); !errors.Is(err, keystore.ErrBroken) {
		t.Fatalf("got %v, want ErrBroken", err)
	}
	want(t, "read", read(t, s, sealed), "Wang")
	seal(t, s, value("c", 1, "name", "Wang"))
}

// TestDamageIsNamed flips one bit, cuts, and removes: each is an error that names the file, and nothing is changed.
func TestDamageIsNamed(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	for i := range 8 {
		seal(t, s, value(fmt.Sprint("c-", i), 1, "name", "Wang"))
	}
	erase(t, s, "c-3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, fs)
	for name, b := range whole {
		for at := 0; at < len(b); at++ {
			if at > 700 && at < len(b)-200 {
				continue
			}
			broken := slices.Clone(b)
			broken[at] ^= 1 << (at % 8)
			mustRefuse(t, whole, name, broken, fmt.Sprintf("bit %d of byte %d", at%8, at))
		}
		for _, n := range []int{0, 1, 31, 100, 511, 512, len(b) - 1, len(b) - 128} {
			if n >= 0 && n < len(b) {
				mustRefuse(t, whole, name, b[:n], fmt.Sprintf("cut to %d bytes", n))
			}
		}
		mustRefuse(t, whole, name, nil, "gone")
		zeroed := slices.Clone(b)
		clear(zeroed[len(zeroed)/2:][:16])
		mustRefuse(t, whole, name, zeroed, "16 bytes zeroed")
	}
}

func mustRefuse(t *testing.T, whole map[string][]byte, name string, b []byte, what string) {
	t.Helper()
	fs := vfs.NewMem()
	put(t, fs, whole)
	if b == nil {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			t.Fatal(err)
		}
	} else {
		put(t, fs, map[string][]byte{name: b})
	}
	s, err := keystore.Open(t.Context(), options(t, fs))
	if err == nil {
		s.Close()
	}
	if err == nil || !errors.Is(err, keystore.ErrDamaged) && !errors.Is(err, keystore.ErrMaster) || !strings.Contains(err.Error(), name) {
		t.Fatalf("%s, %s: got %v, want an error that names the file", name, what, err)
	}
	for n, was := range contents(t, fs) {
		if n != name && !bytes.Equal(was, whole[n]) {
			t.Fatalf("%s, %s: %s was changed", name, what, n)
		}
	}
}

// TestTornBatch: of a write that the power interrupted, some records may be there and others not. None counts, and none
// comes back behind records that are added later.
func TestTornBatch(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	sealed := seal(t, s, value("a-1", 1, "n", "v1"), value("a-2", 1, "n", "v2"))
	var torn []keystore.Value
	for i := range 40 {
		torn = append(torn, value(fmt.Sprint("b-", i), 1, "n", "v"))
	}
	seal(t, s, torn...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, b := range contents(t, fs) {
		if strings.HasSuffix(name, ".seg") {
			clear(b[512+2*128:][:4*128])
			put(t, fs, map[string][]byte{name: b})
		}
	}
	s = open(t, fs)
	want(t, "read", read(t, s, append(slices.Clone(sealed), torn[0], torn[39])), "v1", "v2", "unknown", "unknown")
	for _, n := range []int{1, 4, 9} {
		var more []keystore.Value
		for i := range n {
			more = append(more, value(fmt.Sprintf("c-%d-%d", n, i), 1, "n", fmt.Sprint(i)))
		}
		sealed = append(sealed, seal(t, s, more...)...)
		s = again(t, s, fs)
		read(t, s, sealed)
		if got := s.Stats(); got.Subjects != len(sealed) {
			t.Fatalf("%d subjects, want %d", got.Subjects, len(sealed))
		}
	}
}

// TestOlderKeyring: an older copy of the keyring beside newer keys never makes the newer ones go away.
func TestOlderKeyring(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	empty := contents(t, fs)["keyring"]
	seal(t, s, value("c", 1, "name", "Wang"))
	put(t, fs, map[string][]byte{"keyring": empty})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, fs)
	if _, err := keystore.Open(t.Context(), options(t, fs)); !errors.Is(err, keystore.ErrDamaged) || !strings.Contains(err.Error(), ".seg") {
		t.Fatalf("got %v, want ErrDamaged", err)
	}
	for name, b := range contents(t, fs) {
		if !bytes.Equal(b, before[name]) {
			t.Fatalf("%s was changed", name)
		}
	}
}

func TestWrongMaster(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, fs)
	sealed := seal(t, s, value("c", 1, "name", "Wang"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := options(t, fs)
	o.Master = master(t, 2)
	if _, err := keystore.Open(t.Context(), o); !errors.Is(err, keystore.ErrMaster) || !strings.Contains(err.Error(), o.Master.(*keystore.FileMaster).ID()) {
		t.Fatalf("got %v, want ErrMaster that names the key", err)
	}
	want(t, "read", read(t, open(t, fs), sealed), "Wang")
}

func TestOneProcess(t *testing.T) {
	fs := vfs.NewMem()
	open(t, fs)
	if _, err := keystore.Open(t.Context(), options(t, fs)); err == nil || !strings.Contains(err.Error(), dir) {
		t.Fatalf("a second one on the folder: got %v", err)
	}
}

// outage is a master that can't be reached now and then.
type outage struct {
	keystore.Master
	down bool
}

var errDown = errors.New("key service is down")

func (m *outage) Wrap(ctx context.Context, root [32]byte) ([]byte, error) {
	if m.down {
		return nil, errDown
	}
	return m.Master.Wrap(ctx, root)
}

// TestMasterOutage: while the master is away, erasures and exports fail and change nothing; afterwards they work.
func TestMasterOutage(t *testing.T) {
	fs := vfs.NewMem()
	o := options(t, fs)
	m := &outage{Master: o.Master}
	o.Master = m
	s, err := keystore.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	sealed := seal(t, s, value("c", 1, "name", "Wang"))
	m.down = true
	if _, err := s.Erase(t.Context(), erasure("c", 1)); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	if err := s.Export(t.Context(), io.Discard); !errors.Is(err, errDown) {
		t.Fatalf("got %v", err)
	}
	want(t, "read", read(t, s, sealed), "Wang")
	m.down = false
	erase(t, s, "c")
	s = again(t, s, fs)
	want(t, "read after the erasure", read(t, s, sealed), "erased")
	if names, _ := fs.List(dir); len(names) != 3 {
		t.Fatalf("files: %v", names)
	}
}

// flaky is a master that fails the first calls, once all callers have come.
type flaky struct {
	keystore.Master
	come *sync.WaitGroup
	mu   sync.Mutex
	left int
}

func (m *flaky) Wrap(ctx context.Context, root [32]byte) ([]byte, error) {
	m.come.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left > 0 {
		m.left--
		return nil, errDown
	}
	return m.Master.Wrap(ctx, root)
}

// TestOneFailsForItself: who writes the keys of others, and fails, takes none of them down with it.
func TestOneFailsForItself(t *testing.T) {
	for range 20 {
		o := options(t, vfs.NewMem())
		var come sync.WaitGroup
		m := &flaky{Master: o.Master, come: &come}
		o.Master = m
		s, err := keystore.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		const callers, failing = 8, 3
		m.left = failing
		come.Add(callers)
		errs := make([]error, callers)
		var group sync.WaitGroup
		for i := range callers {
			group.Go(func() {
				come.Done()
				errs[i] = s.Seal(context.Background(), []keystore.Value{value(fmt.Sprint("c-", i), 1, "n", "v")})
			})
		}
		group.Wait()
		failed := 0
		for i, err := range errs {
			if err != nil && !errors.Is(err, errDown) {
				t.Fatalf("caller %d: %v", i, err)
			}
			if err != nil {
				failed++
			}
		}
		if failed != failing {
			t.Fatalf("%d calls failed, want %d", failed, failing)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
