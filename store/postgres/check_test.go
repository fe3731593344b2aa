package postgres

import (
	"testing"
	"time"
)

func TestQuorum(t *testing.T) {
	for names, want := range map[string]int{
		"": 0, "  ": 0, "a": 1, "a, b": 1, "*": 1, "1 (a, b)": 1, "FIRST 2 (a, b, c)": 2, "any 3 (a,b,c,d)": 3, "ANY 2(a,b)": 2,
		"some (a)": -1, "ANY (a)": -1, "ANY 99999999999999999999 (a)": -1,
	} {
		got, err := quorum(names)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, want %d", names, got, want)
		}
	}
}

func FuzzQuorum(f *testing.F) {
	for _, names := range []string{"", "a, b", "FIRST 2 (a, b, c)", "ANY 1 (a)", "("} {
		f.Add(names)
	}
	f.Fuzz(func(t *testing.T, names string) {
		if n, err := quorum(names); err == nil && n < 0 {
			t.Fatalf("%q: %d", names, n)
		}
	})
}

func TestFlavour(t *testing.T) {
	for version, want := range map[string]string{
		"PostgreSQL 15.18 (Debian 15.18-0+deb12u1) on x86_64-pc-linux-gnu":         PostgreSQL,
		"CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)":          CockroachDB,
		"PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang": YugabyteDB,
	} {
		if got := flavour(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}

func TestConnectTimeout(t *testing.T) {
	for _, c := range []struct {
		asked, whole time.Duration
		hosts        int
		want         time.Duration
	}{
		{0, 5 * time.Second, 1, 2 * time.Second},
		{0, 6 * time.Second, 5, time.Second},
		{time.Second, time.Minute, 2, time.Second},
		{time.Minute, time.Minute, 2, 2 * time.Second},
	} {
		if got := connectTimeout(c.asked, c.whole, c.hosts); got != c.want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
