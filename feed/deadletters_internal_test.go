package feed

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

func aDelivery(seq uint64) *Delivery {
	at := Position{1, seq, 3}
	return &Delivery{ID: deliveryID(at), Resume: at, Events: []*ledgerv1.FeedEvent{{Position: at.Message(), KindName: "x"}}}
}

func deadLettersOf(t *testing.T, dir string) *deadLetters {
	t.Helper()
	d := &deadLetters{shelf: Folder(dir), prefix: deadPrefix("x"), limit: 1 << 20}
	if err := d.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// A delivery that is given up a second time, because a crash came before the cursor, is one dead letter.
func TestADeadLetterIsThereOnce(t *testing.T) {
	dir := t.TempDir()
	d := deadLettersOf(t, dir)
	for _, seq := range []uint64{20, 3, 20, 100} {
		if err := d.put(t.Context(), aDelivery(seq), 1, errors.New("no"), 5); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "x.dead", ".new-123"), []byte("half"), 0o600); err != nil { // a crash in the middle
		t.Fatal(err)
	}
	_, bytes := d.size()
	for range 2 { // as it is, and opened again
		var order []uint64
		for _, l := range d.after("", 10) {
			order = append(order, l.GetFirst().GetSeq())
		}
		if n, b := d.size(); n != 3 || b != bytes || len(order) != 3 || order[0] != 3 || order[1] != 20 || order[2] != 100 {
			t.Errorf("%d dead letters, %d bytes, %v", n, b, order)
		}
		if list := d.after(deliveryID(Position{1, 3, 3}), 1); len(list) != 1 || list[0].GetFirst().GetSeq() != 20 {
			t.Errorf("after the first: %v", list)
		}
		d = deadLettersOf(t, dir)
	}
}

// A file that was altered is shown, can't be delivered, and can be dropped.
func TestADamagedDeadLetterIsShown(t *testing.T) {
	dir := t.TempDir()
	d := deadLettersOf(t, dir)
	v := aDelivery(7)
	if err := d.put(t.Context(), v, 1, errors.New("no"), 5); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, d.name(v.ID)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = deadLettersOf(t, dir)
	if list := d.after("", 10); len(list) != 1 || list[0].GetId() != v.ID || list[0].GetError() == "" {
		t.Errorf("%v", list)
	}
	if _, _, err := d.get(t.Context(), v.ID); err == nil {
		t.Error("it was read")
	}
	if err := d.remove(t.Context(), v.ID); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeDead(f *testing.F) {
	good, err := encodeDead(&ledgerv1.DeadLetter{Id: "1"}, aDelivery(5))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(good), "", "{}", `{"letter":{},"events":{}}`, `{"letter":{"id":"1"},"events":{"resumeAfter":{"cell":"1"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		letter, d, err := decodeDead(b)
		if err == nil && (d.ID != letter.GetId() || len(d.Events) == 0 || d.Resume.check() != nil) {
			t.Errorf("%v, %+v", letter, d)
		}
	})
}
