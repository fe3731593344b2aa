package mysql

import (
	"strings"
	"testing"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"u:p@tcp(h:1)/d":                        "u p h:1 d",
		"mysql://u:p@h/d":                       "u p h:3306 d",
		"mysql://u:p%40%3A%2Fq@h:1,i,j:2/d":     "u p@:/q h:1,i:3306,j:2 d",
		"mysql://u@h/d?timeout=1s":              "u  h:3306 d",
		"mysql://u:a@b@h/d":                     "u a@b h:3306 d",
		"mysql://h/d":                           "  h:3306 d",
		"mysql://u:p@h,/d":                      "",
		"mysql:///d":                            "",
		"mysql://u:%zz@h/d":                     "",
		"mysql://u:p@h":                         "u p h:3306 ",
		"mysql://u:p@h/d?parseTime=notaboolean": "",
		"u:p@tcp(h:1)":                          "",
	} {
		c, servers, err := parseDSN(dsn)
		if want == "" {
			if err == nil {
				t.Errorf("%s was taken", dsn)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := strings.Join([]string{c.User, c.Passwd, strings.Join(servers, ","), c.DBName}, " "); got != want {
			t.Errorf("%s: got %q, want %q", dsn, got, want)
		}
	}
}

func FuzzParseDSN(f *testing.F) {
	for _, dsn := range []string{"u:p@tcp(h:1)/d", "mysql://u:p%40@h:1,i,j:2/d?timeout=1s", "mysql://@,/", "mysql://"} {
		f.Add(dsn)
	}
	f.Fuzz(func(t *testing.T, dsn string) {
		c, servers, err := parseDSN(dsn)
		if err == nil && (c == nil || len(servers) == 0) {
			t.Fatalf("%q: no error, and no servers", dsn)
		}
	})
}

func TestProviderOption(t *testing.T) {
	options := "base_dir = /x; pc.ignore_quorum = NO;pc.ignore_sb = true; pc.recovery = 1; "
	for name, want := range map[string]string{"pc.ignore_quorum": "no", "pc.ignore_sb": "true", "pc.recovery": "1", "pc.ignore": ""} {
		if got := providerOption(options, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestFlavour(t *testing.T) {
	for version, want := range map[string]string{
		"10.11.6-MariaDB-0+deb12u1": MariaDB, "8.4.2": MySQL, "8.0.11-TiDB-v8.5.0": TiDB, "5.7.25-OceanBase-v4.3.0": OceanBase,
	} {
		if got := flavour(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}
