package mysql

import (
	"strings"
	"testing"
)

func TestParseDSN(t *testing.T) {
	for dsn, want := range map[string]string{
		"u:p@tcp(h:1)/d":                    "u p h:1 d",
		"mysql://u:p@h/d":                   "u p h:3306 d",
		"mysql://u:p%40%3A%2Fq@h:1,i,j:2/d": "u p@:/q h:1,i:3306,j:2 d",
		"mysql://u@h/d?timeout=1s":          "u  h:3306 d",
		"mysql://u:p@h,/d":                  "",
		"mysql:///d":                        "",
		"mysql://u:secret%zz@h/d":           "",
		"u:secret@tcp(h":                    "",
	} {
		config, names, err := parseDSN(dsn)
		got := ""
		if err == nil {
			got = strings.Join([]string{config.User, config.Passwd, strings.Join(names, ","), config.DBName}, " ")
		}
		if got != want {
			t.Errorf("%s is %q, want %q (%v)", dsn, got, want, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error of %s tells its password: %v", dsn, err)
		}
	}
}
