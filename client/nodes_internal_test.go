package client

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestNotSent: what gRPC says where a connection did not come to its first call, and where one was cut off.
func TestNotSent(t *testing.T) {
	for message, want := range map[string]bool{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: true,
		`connection error: desc = "transport: authentication handshake failed: EOF"`:                                   true,
		`connection error: desc = "transport: failed to write client preface: write: broken pipe"`:                     true,
		`connection error: desc = "transport: failed to write window update: write: broken pipe"`:                      true,
		`connection error: desc = "error reading server preface: EOF"`:                                                 true,
		`write tcp 127.0.0.1:43948->127.0.0.1:40083: write: broken pipe`:                                               true,
		`connection error: desc = "error reading from server: EOF"`:                                                    false,
		`error reading from server: write tcp: broken pipe`:                                                            false,
		`the ledger is stopping`: false,
	} {
		if got := notSent(status.Error(codes.Unavailable, message)); got != want {
			t.Errorf("%s: %v", message, got)
		}
	}
	if notSent(status.Error(codes.Internal, "write tcp: broken pipe")) || notSent(errors.New("write tcp: broken pipe")) {
		t.Error("another status")
	}
}
