package keystore_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/sterlingrun/sterling/keystore"
)

// TestGolden: what version 1 wrote stays readable: an export (which has a keyring and segments as they are on the disk)
// by master key 01 00 … 00, and a value that one of its keys sealed.
func TestGolden(t *testing.T) {
	const exportFile, sealedFile = "testdata/export-v1.hex", "testdata/sealed-v1.hex"
	text := func(path string) []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", ""))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	s := imported(t, text(exportFile))
	v := value("customer-1", 7, "name", "Wang Xiaoming")
	v.Sealed = text(sealedFile)
	want(t, "read", read(t, s, []keystore.Value{v, value("customer-2", 1, "name", "")}), "Wang Xiaoming", "erased")
	if again := seal(t, s, v)[0].Sealed; string(again) != string(text(sealedFile)) {
		t.Fatalf("the value is sealed to other bytes: %x", again)
	}
	if got, err := s.Subject("customer-2"); err != nil || got != (keystore.Subject{State: keystore.Erased, Since: 9, By: [16]byte{9}, ID: [16]byte{9, 9}}) {
		t.Fatalf("the erased subject: %+v, %v", got, err)
	}
	if got := s.Stats(); got != (keystore.Stats{Subjects: 2, Erased: 1, Files: 1}) {
		t.Fatalf("stats: %+v", got)
	}
}
