package books

import (
	"crypto/sha256"
	"io"
)

// Classes are the classes of findings, for the test that holds them against those of package watch.
var Classes = [...]string{tamperedHistory, fork, lostUpdate, unbalanced, limitExceeded, movedFrozen, duplicateID, clockJump, sourceGap}

// SnapshotV1 writes a snapshot as programs did that knew no transfers across cells.
func (m *Model) SnapshotV1(w io.Writer) error {
	c := &coder{w: w, sum: sha256.New(), version: 1}
	c.buf = c.all[:0]
	c.emit([]byte(snapshotMagic + "\x01\x00"))
	m.code(c)
	return c.finish()
}
