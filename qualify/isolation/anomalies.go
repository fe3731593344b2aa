package isolation

import (
	"database/sql"
	"fmt"
)

// Anomaly is something that transactions of two sessions may do to each other, and the schedule that shows it.
type Anomaly struct {
	ID       string
	Name     string
	Schedule string // for the report
	Why      string // it matters for money
	// From is the weakest level at which an engine must exclude it; weaker ones are only noted.
	From sql.IsolationLevel

	play func(s *stage) func() (observed bool, seen string)
}

// levels are tried from the weakest on. The ledger's stores append with one statement at READ COMMITTED, which needs no
// more than that a statement's condition and its write are one.
var levels = []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable}

// Anomalies are those that matter where money is kept.
func Anomalies() []Anomaly {
	return []Anomaly{
		{
			"dirty-read", "Dirty read (G1a)", "T1 writes x; T2 reads x; T1 rolls back; T2 commits",
			"a decision about money that never was", sql.LevelReadCommitted, dirtyRead,
		},
		{
			"g1c", "Circular information flow (G1c)", "T1 writes x; T2 writes y; T1 reads y; T2 reads x; both commit",
			"two transactions that each rest on the other have no order", sql.LevelReadCommitted, circular,
		},
		{
			"conditional-update", "Lost update of a conditional write", "T1 and T2 each: UPDATE … SET x = own WHERE x = 10; both commit",
			"a compare-and-set that two may win moves the same money twice; leases and positions rest on it", sql.LevelReadCommitted, conditional,
		},
		{
			"read-skew", "Read skew (G-single)", "T1 reads x; T2 writes x and y and commits; T1 reads y",
			"a report must not add up one side before a transfer and the other side after it", sql.LevelRepeatableRead, readSkew,
		},
		{
			"lost-update", "Lost update (P4)", "T1 and T2 read x; T1 writes x + 1; T2 writes x + 1; both commit",
			"one of two payments into the same balance vanishes", sql.LevelSerializable, lostUpdate,
		},
		{
			"write-skew", "Write skew (G2-item)", "T1 and T2 read x and y; T1 writes x = 0 because y covers it; T2 writes y = 0 because x covers it; both commit",
			"two withdrawals, each allowed on its own, overdraw together", sql.LevelSerializable, writeSkew,
		},
	}
}

func constant(n int) func() int { return func() int { return n } }

func dirtyRead(s *stage) func() (bool, string) {
	s.t1.write(x, constant(101))
	got := s.t2.read(x)
	s.t1.rollback()
	s.t2.commit()
	return func() (bool, string) { return *got == 101, fmt.Sprintf("T2 read %d", *got) }
}

func circular(s *stage) func() (bool, string) {
	s.t1.write(x, constant(11))
	s.t2.write(y, constant(22))
	gotY := s.t1.read(y)
	gotX := s.t2.read(x)
	s.t1.commit()
	s.t2.commit()
	return func() (bool, string) {
		return s.t1.committed && s.t2.committed && *gotY == 22 && *gotX == 11, fmt.Sprintf("T1 read y = %d, T2 read x = %d", *gotY, *gotX)
	}
}

func conditional(s *stage) func() (bool, string) {
	one := s.t1.swap(x, 10, 11)
	two := s.t2.swap(x, 10, 12)
	s.t1.commit()
	s.t2.commit()
	return func() (bool, string) {
		return s.t1.committed && s.t2.committed && *one+*two != 1, fmt.Sprintf("T1 changed %d rows, T2 %d", *one, *two)
	}
}

func readSkew(s *stage) func() (bool, string) {
	gotX := s.t1.read(x)
	s.t2.write(x, constant(5))
	s.t2.write(y, constant(25))
	s.t2.commit()
	gotY := s.t1.read(y)
	s.t1.commit()
	return func() (bool, string) {
		return s.t1.committed && s.t2.committed && *gotX == 10 && *gotY == 25, fmt.Sprintf("T1 read x = %d, y = %d", *gotX, *gotY)
	}
}

func lostUpdate(s *stage) func() (bool, string) {
	one := s.t1.read(x)
	two := s.t2.read(x)
	s.t1.write(x, func() int { return *one + 1 })
	s.t2.write(x, func() int { return *two + 1 })
	s.t1.commit()
	s.t2.commit()
	return func() (bool, string) {
		return s.t1.committed && s.t2.committed && *one == 10 && *two == 10, fmt.Sprintf("T1 read %d, T2 read %d", *one, *two)
	}
}

func writeSkew(s *stage) func() (bool, string) {
	oneX, oneY := s.t1.read(x), s.t1.read(y)
	twoX, twoY := s.t2.read(x), s.t2.read(y)
	s.t1.write(x, constant(0))
	s.t2.write(y, constant(0))
	s.t1.commit()
	s.t2.commit()
	return func() (bool, string) {
		both := s.t1.committed && s.t2.committed && *oneX == 10 && *oneY == 20 && *twoX == 10 && *twoY == 20
		return both, fmt.Sprintf("T1 read %d and %d, T2 %d and %d", *oneX, *oneY, *twoX, *twoY)
	}
}
