package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/procfs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// The message that all subjects carry: what a small payment looks like.
var (
	requestText = "POST /v1/payments HTTP/1.1\r\nHost: pay.bank.example\r\nUser-Agent: bench\r\nAccept: application/json\r\n" +
		"Content-Type: application/json\r\nIdempotency-Key: 01929b2e-5c3f-7c1a-9d5e-1b2c3d4e5f60\r\n" +
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nContent-Length: 128\r\n\r\n" + strings.Repeat("x", 128)
	answerText = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: 256\r\n\r\n" +
		strings.Repeat("y", 256)
)

// serveBackend answers every request with the same bytes, at an address it writes to standard output.
func serveBackend() error {
	ln, err := announce("")
	if err != nil {
		return err
	}
	for {
		c, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go answerAll(c, func() {})
	}
}

func answerAll(c net.Conn, work func()) {
	defer func() { _ = c.Close() }()
	buf := make([]byte, 16<<10)
	have := 0
	for {
		n, err := c.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		for {
			head := bytes.Index(buf[:have], []byte("\r\n\r\n"))
			if head < 0 || have < head+4+128 {
				break
			}
			work()
			have = copy(buf, buf[head+4+128:have])
			if _, err := io.WriteString(c, answerText); err != nil {
				return
			}
		}
	}
}

// announce listens at an address, or else on a free port of loopback, and says where.
func announce(address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", cmp.Or(address, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	_, err = fmt.Println(ln.Addr())
	return ln, err
}

// measure drives the subject with n connections for span, each with one request after the other.
func (s *subject) measure(n int, span time.Duration) (Result, error) {
	if _, err := s.drive(n, span/4); err != nil { // connections and caches
		return Result{}, err
	}
	before, err := cpuTime(s.pids)
	if err != nil {
		return Result{}, err
	}
	took, err := s.drive(n, span)
	if err != nil {
		return Result{}, err
	}
	after, err := cpuTime(s.pids)
	if err != nil {
		return Result{}, err
	}
	count := len(took.all)
	if count == 0 {
		return Result{}, fmt.Errorf("measure %s as %s: no request was answered", s.subject, s.name)
	}
	slices.Sort(took.all)
	return Result{
		CPUMicros: (after - before) * 1e6 / float64(count), PerSecond: float64(count) / span.Seconds(), Errors: took.errors,
		P50Micros: float64(took.all[count/2]) / 1e3, P99Micros: float64(took.all[count*99/100]) / 1e3,
	}, nil
}

type times struct {
	all    []int64 // nanoseconds
	errors int
}

func (s *subject) drive(n int, span time.Duration) (times, error) {
	var (
		mu   sync.Mutex
		sum  times
		wg   sync.WaitGroup
		last error
		end  = time.Now().Add(span)
	)
	one := s.one
	if s.call != nil {
		one = s.call
	}
	if s.name == "grpc" {
		clients, err := dialGRPC("passthrough:///"+s.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("pay.bank.example"))
		if err != nil {
			return sum, err
		}
		defer clients.close()
		one = clients.one
	}
	for range n {
		wg.Go(func() {
			took, err := one(end)
			mu.Lock()
			defer mu.Unlock()
			sum.all = append(sum.all, took...)
			if err != nil {
				sum.errors++
				last = err
			}
		})
	}
	wg.Wait()
	if sum.errors == n {
		return sum, fmt.Errorf("drive %s as %s: %w", s.subject, s.name, last)
	}
	return sum, nil
}

// one sends requests on one connection until end.
func (s *subject) one(end time.Time) (took []int64, err error) {
	c, err := net.DialTimeout("tcp", s.address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(end.Add(5 * time.Second)); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(c, 4096)
	for {
		start := time.Now()
		if start.After(end) {
			return took, nil
		}
		if _, err := io.WriteString(c, requestText); err != nil {
			return took, err
		}
		if err := readAnswer(in); err != nil {
			return took, err
		}
		took = append(took, int64(time.Since(start)))
	}
}

func readAnswer(in *bufio.Reader) error {
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answered %q", line)
		}
		if len(line) == 2 {
			_, err := in.Discard(256)
			return err
		}
	}
}

// cpuTime is the processor time of the processes so far, in seconds.
func cpuTime(pids []int) (sum float64, err error) {
	for _, pid := range pids {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return 0, fmt.Errorf("look at process %d: %w", pid, err)
		}
		stat, err := p.Stat()
		if err != nil {
			return 0, fmt.Errorf("look at process %d: %w", pid, err)
		}
		sum += stat.CPUTime()
	}
	return sum, nil
}

// idleMemory opens 1,000 connections, sends a request on each, and looks at the memory of the processes.
func (s *subject) idleMemory(r *Result) (err error) {
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			err = errors.Join(err, c.Close())
		}
	}()
	for range 1000 {
		c, err := net.DialTimeout("tcp", s.address, 5*time.Second)
		if err != nil {
			return fmt.Errorf("open 1,000 connections to %s: %w", s.subject, err)
		}
		conns = append(conns, c)
		if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		if _, err := io.WriteString(c, requestText); err != nil {
			return err
		}
		if err := readAnswer(bufio.NewReaderSize(c, 1024)); err != nil {
			return err
		}
	}
	for _, pid := range s.pids {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return fmt.Errorf("look at process %d: %w", pid, err)
		}
		stat, err := p.Stat()
		if err != nil {
			return fmt.Errorf("look at process %d: %w", pid, err)
		}
		r.IdleMB += float64(stat.ResidentMemory()) / 1e6
	}
	return nil
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
