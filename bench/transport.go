package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	ledgerv1 "github.com/sterlingrun/sterling/proto/gen/sterling/ledger/v1"
)

const (
	maxMessage  = 16 << 20
	callTimeout = 60 * time.Second // after which a call counts as lost
)

// caller sends one request and says how many of its transfers were created. One goroutine uses it.
type caller interface {
	call(ctx context.Context, c *chooser) (created, sent int, err error)
	io.Closer
}

// dial opens gRPC connections; they connect with their first call.
func dial(address string, n int, more ...grpc.DialOption) (conns []*grpc.ClientConn, err error) {
	options := append(more, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	for range n {
		conn, err := grpc.NewClient("passthrough:///"+address, options...)
		if err != nil {
			return conns, errors.Join(fmt.Errorf("connect to %s: %w", address, err), closeAll(conns))
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func closeAll[C io.Closer](closers []C) error {
	var errs []error
	for _, c := range closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// authorized adds the token to the calls made with the context.
func authorized(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// rawCodec hands encoded messages through.
type rawCodec struct{}

// Name implements encoding.CodecV2.
func (rawCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2 for a *[]byte, which must not change until the call has returned.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("encode %T: want *[]byte", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

// Unmarshal implements encoding.CodecV2 for a *[]byte, whose memory is used again.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("decode %T: want *[]byte", v)
	}
	n := data.Len()
	if cap(*b) < n {
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	data.CopyTo(*b)
	return nil
}

// grpcCaller calls over a connection that others share.
type grpcCaller struct {
	conn   *grpc.ClientConn
	method string
	batch  batch
	count  func([]byte) (int, error)
	answer []byte
	option grpc.CallOption
}

func newWireCaller(conn *grpc.ClientConn, n int) (caller, error) {
	batch, err := newWireBatch(n)
	if err != nil {
		return nil, err
	}
	return &grpcCaller{
		conn: conn, method: ledgerv1.LedgerService_CreateTransfers_FullMethodName, batch: batch, count: createdInWire,
		option: grpc.ForceCodecV2(rawCodec{}),
	}, nil
}

func newPackedCaller(conn *grpc.ClientConn, n int, asset uint32) caller {
	return &grpcCaller{
		conn: conn, method: ledgerv1.LedgerService_CreateTransfersPacked_FullMethodName, batch: newPackedBatch(n, asset),
		count: createdInPacked, option: grpc.ForceCodecV2(rawCodec{}),
	}
}

func (g *grpcCaller) call(ctx context.Context, c *chooser) (created, sent int, err error) {
	request := g.batch.fill(c)
	if err := g.conn.Invoke(ctx, g.method, &request, &g.answer, g.option); err != nil {
		return 0, g.batch.transfers(), err
	}
	created, err = g.count(g.answer)
	return created, g.batch.transfers(), err
}

// Close leaves the shared connection open.
func (g *grpcCaller) Close() error { return nil }

// httpCaller speaks just enough HTTP/1.1 to send one request after the other over a connection of its own. The
// processor is shared with the server, so it costs little more than the two system calls.
type httpCaller struct {
	conn  net.Conn
	read  *bufio.Reader
	batch *textBatch
	body  []byte
}

func newHTTPCaller(ctx context.Context, address, token string) (caller, error) {
	batch, err := newHTTPCall(address, token)
	if err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &httpCaller{conn: conn, read: bufio.NewReader(conn), batch: batch}, nil
}

func (h *httpCaller) call(_ context.Context, c *chooser) (created, sent int, err error) {
	if err := h.conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return 0, 1, err
	}
	if _, err := h.conn.Write(h.batch.fill(c)); err != nil {
		return 0, 1, fmt.Errorf("send a request: %w", err)
	}
	status, err := h.answer()
	if err != nil {
		return 0, 1, fmt.Errorf("read an answer: %w", err)
	}
	if status != "200" {
		return 0, 1, fmt.Errorf("the server answered %s: %.200s", status, h.body)
	}
	return createdInJSON(h.body), 1, nil
}

var contentLength = []byte("content-length:")

// answer reads one answer; its body stays in h.body until the next.
func (h *httpCaller) answer() (status string, err error) {
	line, err := h.read.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return "", fmt.Errorf("not HTTP/1.1: %.60q", line)
	}
	status = "200"
	if code := line[9:12]; string(code) != status {
		status = string(code)
	}
	length := -1
	for {
		if line, err = h.read.ReadSlice('\n'); err != nil {
			return "", err
		}
		if len(line) <= 2 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return "", err
			}
		}
	}
	if length < 0 || length > maxMessage {
		return "", fmt.Errorf("an answer of unknown or excessive length (%d)", length)
	}
	if cap(h.body) < length {
		h.body = make([]byte, length)
	}
	h.body = h.body[:length]
	_, err = io.ReadFull(h.read, h.body)
	return status, err
}

// Close ends the connection.
func (h *httpCaller) Close() error { return h.conn.Close() }
