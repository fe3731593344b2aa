package proxy

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingFollowsWhatWasLost: a peer that reads nothing for so long that a write is given up must not get what comes
// after it, as if there had been nothing in between.
func TestNothingFollowsWhatWasLost(t *testing.T) {
	for name, lost := range map[string][]byte{"copied": []byte("lost"), "moved": bytes.Repeat([]byte("l"), smallPiece+1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, from := net.Pipe()
				to, receiver := net.Pipe()
				go func() {
					defer func() { _ = sender.Close() }()
					for _, piece := range [][]byte{[]byte("first"), lost, []byte("later")} {
						if _, err := sender.Write(piece); err != nil {
							return
						}
					}
				}()
				var moved atomic.Int64
				go oneWay(to, from, time.Minute, time.Now(), &moved)
				got := make([]byte, 5)
				if _, err := io.ReadFull(receiver, got); err != nil || string(got) != "first" {
					t.Fatalf("got %q, %v", got, err)
				}
				<-time.After(time.Minute + 2*writeTime) // of the bubble
				if rest, _ := io.ReadAll(receiver); len(rest) > 0 {
					t.Errorf("%d bytes follow a hole: %.10q", len(rest), rest)
				}
			})
		})
	}
}
