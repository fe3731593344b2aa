package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

// nodes are the servers of one ledger. Calls go to the one that is believed to lead; where it says that another does,
// nothing was done, and the call goes there.
type nodes struct {
	list []*server
	at   atomic.Uint32 // index of the one that is believed to lead
	// said is who was last heard to lead, by itself or by another; len(list): nobody.
	said atomic.Uint32

	patience time.Duration
}

// server is one node, over one or more connections.
type server struct {
	address string
	conns   []*grpc.ClientConn
	next    atomic.Uint32
	silent  atomic.Int64 // until then (ns since 1970) it is believed not to answer
}

const (
	// attemptOfMany bounds one attempt of a write where there are other nodes to try.
	attemptOfMany = 2 * time.Second
	// patientCaller is how long a call has to be without an answer to tell something about the node: a caller may have
	// set a deadline that no node can keep.
	patientCaller = attemptOfMany / 2
	// silence is how long a node that did not answer is passed by, even if others still believe that it leads.
	silence = time.Second
)

// splitAddresses takes a list of host:port apart.
func splitAddresses(list string) []string {
	var out []string
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// dial opens the connections to every node; they connect when they are first used.
func (n *nodes) dial(addresses []string, connections int, options []grpc.DialOption) error {
	if len(addresses) > 1 {
		options = append(options, grpc.WithChainUnaryInterceptor(n.unary), grpc.WithChainStreamInterceptor(n.stream))
	}
	for _, address := range addresses {
		s := &server{address: address}
		n.list = append(n.list, s)
		for range connections {
			conn, err := grpc.NewClient(address, options...)
			if err != nil {
				return fmt.Errorf("dial %s: %w", address, err)
			}
			s.conns = append(s.conns, conn)
		}
	}
	return nil
}

func (n *nodes) close() (err error) {
	for _, s := range n.list {
		for _, conn := range s.conns {
			err = errors.Join(err, conn.Close())
		}
	}
	return err
}

// conn returns one of the connections to the node that is believed to lead.
func (n *nodes) conn() *grpc.ClientConn { return n.list[n.at.Load()].conn() }

func (s *server) conn() *grpc.ClientConn { return s.conns[int(s.next.Add(1))%len(s.conns)] }

// unary makes a call, and makes it again elsewhere while it is certain that nothing was done: another node leads, or none
// does at the moment, or a node can't be reached. It gives up where no node answers at all, and when ctx or the patience
// ends.
func (n *nodes) unary(ctx context.Context, method string, request, reply any, _ *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	began, answered := time.Now(), false
	for hops := 1; ; hops++ {
		at, sent := n.at.Load(), time.Now()
		err := invoke(ctx, method, request, reply, n.list[at].conn(), options...)
		if err == nil {
			if n.said.Load() != at {
				n.said.Store(at)
			}
			return nil
		}
		elsewhere := n.heard(at, err, time.Since(sent))
		answered = answered || elsewhere
		if !elsewhere && !notSent(err) || ctx.Err() != nil {
			return err
		}
		if hops%len(n.list) != 0 {
			continue
		}
		if !answered || time.Since(began) >= n.patience || !wait(ctx, nobodyLeads, err) {
			return err
		}
		answered = false
	}
}

// nobodyLeads is how long a call waits where every node says that it does not lead: one will in a moment.
const nobodyLeads = 40 * time.Millisecond

// notSent tells whether a call never left this machine: there was no connection, or it ended before any call could begin,
// in the handshake of TLS or of HTTP/2.
func notSent(err error) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	message := status.Convert(err).Message()
	// gRPC tells what went wrong while it sent the last of its own beginning as it is. On a connection that has begun, it is
	// the reader that tells, in other words.
	if strings.HasPrefix(message, "write ") {
		return true
	}
	return strings.Contains(message, "connection error: desc = ") && slices.ContainsFunc([]string{
		"while dialing", "authentication handshake failed", "failed to write client preface", "failed to write initial settings frame",
		"failed to write window update", "error reading server preface",
	}, func(s string) bool { return strings.Contains(message, s) })
}

// stream has the next stream go elsewhere where this one's end says so.
func (n *nodes) stream(ctx context.Context, d *grpc.StreamDesc, _ *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	at := n.at.Load()
	s, err := open(ctx, d, n.list[at].conn(), method, options...)
	if err != nil {
		n.heard(at, err, 0)
		return nil, err
	}
	return &heardStream{s, n, at}, nil
}

type heardStream struct {
	grpc.ClientStream
	nodes *nodes
	at    uint32
}

// RecvMsg implements grpc.ClientStream.
func (s *heardStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.nodes.heard(s.at, err, 0)
	}
	return err
}

// heard learns from the error of node at, after so long. It reports whether nothing was done because that node does not lead.
func (n *nodes) heard(at uint32, err error, took time.Duration) (elsewhere bool) {
	next := n.after(at)
	if d := detail[*ledgerv1.ErrorDetail](err); d.GetReason() == ledgerv1.ErrorReason_ERROR_REASON_NOT_LEADER {
		leader := n.find(d.GetLeader())
		news := n.said.Swap(leader) != leader
		if int(leader) < len(n.list) && (news || n.list[leader].answers()) {
			next = leader
		}
		n.at.CompareAndSwap(at, next)
		return true
	}
	switch Reason(err) { //nolint:exhaustive // the others are answers of a node that leads
	case ledgerv1.ErrorReason_ERROR_REASON_UNSPECIFIED, ledgerv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, ledgerv1.ErrorReason_ERROR_REASON_STOPPING:
	default:
		return false
	}
	switch code := status.Code(err); { // the others are answers
	case code == codes.Unavailable, code == codes.DeadlineExceeded && took >= patientCaller:
		// That others name it still is no news: it has led until now.
		n.list[at].silent.Store(time.Now().Add(silence).UnixNano())
		n.said.Store(at)
		n.at.CompareAndSwap(at, next)
	}
	return false
}

// find returns the index of an address; len(list) for one that is not among them, which no call goes to.
func (n *nodes) find(address string) uint32 {
	for i, s := range n.list {
		if s.address == address {
			return uint32(i)
		}
	}
	return uint32(len(n.list)) //nolint:gosec // few
}

// after is the next node that answers, or else the next one.
func (n *nodes) after(at uint32) uint32 {
	count := uint32(len(n.list)) //nolint:gosec // few
	for i := uint32(1); i < count; i++ {
		if next := (at + i) % count; n.list[next].answers() {
			return next
		}
	}
	return (at + 1) % count
}

func (s *server) answers() bool { return time.Now().UnixNano() >= s.silent.Load() }
