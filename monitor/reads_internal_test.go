package monitor

import "testing"

// TestBehindSince: an idle ledger's last block is old, and a watch that has not begun has none; neither means that the
// watch was behind since then.
func TestBehindSince(t *testing.T) {
	const second = 1_000_000_000
	s := &session{}
	if since := s.behindSince(5, 100*second); since != 100*second {
		t.Errorf("before the first block: since %d", since)
	}
	s.blockTime = 101 * second
	if since := s.behindSince(3, 102*second); since != 101*second {
		t.Errorf("while it catches up: since %d", since)
	}
	s.behindSince(0, 103*second)
	s.behindSince(0, 3700*second)
	if since := s.behindSince(1, 3701*second); since != 3700*second {
		t.Errorf("a block after an hour without any: since %d", since)
	}
	s.blockTime = 3701 * second
	if since := s.behindSince(9, 3800*second); since != 3701*second {
		t.Errorf("it stands: since %d", since)
	}
	restarted := &session{blockTime: 3701 * second}
	if since := restarted.behindSince(9, 9000*second); since != 3701*second {
		t.Errorf("started again after hours: since %d", since)
	}
}
