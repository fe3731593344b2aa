package proxy

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a TCP connection that is read and written by system calls of which Go's scheduler is not told. They never
// block, so there is nothing for it to do; telling it costs a tenth of a request on a busy machine, because whoever is
// preempted in one has its processor taken away. Waiting is the scheduler's business as always.
//
// One goroutine at a time may read, and one may write.
type socket struct {
	*net.TCPConn
	raw       syscall.RawConn
	in, out   []byte // what is to be read into, and what is still to be written
	got       int
	inErr     error
	outErr    error
	asking    bool // out is to be written first
	silent    bool // what look saw
	recv, put func(fd uintptr) bool
	peek      func(fd uintptr)
}

// direct makes a socket of a TCP connection, and leaves any other as it is.
func direct(nc net.Conn) net.Conn {
	t, ok := nc.(*net.TCPConn)
	if !ok {
		return nc
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return nc
	}
	s := &socket{TCPConn: t, raw: raw}
	s.recv, s.put, s.peek = s.receive, s.transmit, s.look
	return s
}

// bare is the connection as the net package knows it: it can leave moving bytes to the kernel.
func bare(nc net.Conn) net.Conn {
	if s, ok := nc.(*socket); ok {
		return s.TCPConn
	}
	return nc
}

func (s *socket) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.in, s.got, s.inErr = b, 0, nil
	err := s.raw.Read(s.recv)
	s.in = nil
	if err == nil {
		err = s.inErr
	}
	return s.got, err
}

// receive is a step of Read: false waits until the connection is readable.
func (s *socket) receive(fd uintptr) bool {
	if s.asking {
		s.asking = false
		return !s.transmit(fd) || s.outErr != nil
	}
	n, errno := direction(unix.SYS_RECVFROM, fd, s.in, unix.MSG_DONTWAIT)
	switch {
	case errno == unix.EAGAIN:
		return false
	case errno != 0:
		s.inErr = os.NewSyscallError("recv", errno)
	case n == 0:
		s.inErr = io.EOF
	}
	s.got = n
	return true
}

func (s *socket) Write(b []byte) (int, error) {
	s.out, s.outErr = b, nil
	err := s.raw.Write(s.put)
	n := len(b) - len(s.out)
	s.out = nil
	if err == nil {
		err = s.outErr
	}
	return n, err
}

// transmit is a step of Write: false waits until the connection is writable.
func (s *socket) transmit(fd uintptr) bool {
	for len(s.out) > 0 {
		n, errno := direction(unix.SYS_SENDTO, fd, s.out, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno == unix.EAGAIN {
			return false
		}
		if errno != 0 {
			s.outErr = os.NewSyscallError("send", errno)
			return true
		}
		s.out = s.out[n:]
	}
	return true
}

// ask writes a request and reads the beginning of its answer. It does both in one wait: what comes after the wait has
// been prepared wakes it up, so there is no need to try a read that is sure to come too early. written says how much of
// the request has left; where that is all of it, err is about the answer.
func (s *socket) ask(request, b []byte) (written, read int, err error) {
	s.out, s.outErr, s.asking = request, nil, true
	read, err = s.Read(b)
	written = len(request) - len(s.out)
	if err == nil {
		err = s.outErr
	}
	if rest := s.out; err == nil && len(rest) > 0 { // the peer is slow to take it
		var n int
		n, err = s.Write(rest)
		if written += n; err == nil {
			read, err = s.Read(b)
		}
	}
	s.out, s.asking = nil, false
	return written, read, err
}

// quiet tells whether nothing has come: neither bytes nor the connection's end.
func (s *socket) quiet() bool {
	s.silent = false
	err := s.raw.Control(s.peek)
	return err == nil && s.silent
}

func (s *socket) look(fd uintptr) {
	var b [1]byte
	_, errno := direction(unix.SYS_RECVFROM, fd, b[:], unix.MSG_DONTWAIT|unix.MSG_PEEK)
	s.silent = errno == unix.EAGAIN
}

// direction makes a system call that moves b, which is not empty, to or from a socket, and does not block.
func direction(call, fd uintptr, b []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}
