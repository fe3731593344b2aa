package client

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// TestALeaderThatRefusesIsNotLeft: an answer is no silence. Only a node that leads says that it is overloaded, or that
// its index is being built; one that stops, or does not know what became of a call, is better left.
func TestALeaderThatRefusesIsNotLeft(t *testing.T) {
	for reason, left := range map[ledgerv1.ErrorReason]bool{
		ledgerv1.ErrorReason_ERROR_REASON_OVERLOADED:        false,
		ledgerv1.ErrorReason_ERROR_REASON_INDEX_BUILDING:    false,
		ledgerv1.ErrorReason_ERROR_REASON_WATCH_DOWN:        false,
		ledgerv1.ErrorReason_ERROR_REASON_STOPPING:          true,
		ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN:   true,
		ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED:       true, // no word of the server
		ledgerv1.ErrorReason_ERROR_REASON_ACCESS_LOG_FAILED: false,
	} {
		s := status.New(codes.Unavailable, "no")
		if reason != 0 {
			var err error
			if s, err = s.WithDetails(&ledgerv1.ErrorDetail{Reason: reason}); err != nil {
				t.Fatal(err)
			}
		}
		n := nodes{list: []*server{{address: "a"}, {address: "b"}, {address: "c"}}}
		if n.heard(0, s.Err(), 0) {
			t.Errorf("%v: taken for another's call", reason)
		}
		if got := n.at.Load() != 0 || !n.list[0].answers(); got != left {
			t.Errorf("%v: the node was left: %v, want %v", reason, got, left)
		}
	}
}

// TestAnImpatientCallerLeavesNoLeader: a caller that waits for some milliseconds only learns nothing about the node.
func TestAnImpatientCallerLeavesNoLeader(t *testing.T) {
	for took, left := range map[time.Duration]bool{20 * time.Millisecond: false, attemptOfMany: true} {
		n := nodes{list: []*server{{address: "a"}, {address: "b"}, {address: "c"}}}
		n.heard(0, status.Error(codes.DeadlineExceeded, "late"), took)
		if got := n.at.Load() != 0 || !n.list[0].answers(); got != left {
			t.Errorf("after %v: the node was left: %v, want %v", took, got, left)
		}
	}
}
