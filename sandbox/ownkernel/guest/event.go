package guest

import (
	"encoding/binary"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sterlingrun/sterling/sandbox/ownkernel/internal/protocol"
)

// Numbers of messages and fields are those of gVisor's pkg/sentry/seccheck/points, which the recorder reads.
const (
	msgStart   = 1
	msgExec    = 3
	msgExit    = 5
	msgConnect = 10

	sysConnect = 42
	familyUnix = 1
	headerSize = 8
)

// events sends messages to the recorder, in order. What it can't send ends the machine: nothing goes unrecorded.
type events struct {
	mu   sync.Mutex
	to   io.Writer
	lost chan struct{} // closed when a message could not be sent
	once sync.Once

	ended   bool           // nothing is told any more
	calling sync.WaitGroup // connections that were told of, and that the host may not have seen yet
}

// end ends the stream once the host has seen every connection that it was told of. What would come later, such as a
// connection that a process made before it was killed, does not happen: it is in no account.
func (e *events) end() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.calling.Wait()
	if c, ok := e.to.(io.Closer); ok {
		_ = c.Close()
	}
}

// task is the process that an event is about.
type task struct {
	pid, parent int
	uid, gid    uint32
	folder      string
	command     string
	session     bool // one more command, not the workload's own
}

type message []byte

func (m message) number(field protowire.Number, v uint64) message {
	if v == 0 {
		return m
	}
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), v)
}

func (m message) bytes(field protowire.Number, v []byte) message {
	if len(v) == 0 {
		return m
	}
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) text(field protowire.Number, s string) message { return m.bytes(field, []byte(s)) }

// texts is a list, whose elements are there also where they are empty.
func (m message) texts(field protowire.Number, list []string) message {
	for _, s := range list {
		m = protowire.AppendString(protowire.AppendTag(m, field, protowire.BytesType), s)
	}
	return m
}

// context is the first field of each message.
func (t task) context() message {
	var user message
	for field := protowire.Number(1); field <= 3; field++ {
		user = user.number(field, uint64(t.uid)).number(field+3, uint64(t.gid))
	}
	pid := uint64(t.pid) //nolint:gosec // positive
	c := message{}.number(1, uint64(time.Now().UnixNano())).number(2, pid).number(4, pid).bytes(7, user)
	c = c.text(8, t.folder).text(9, t.command).number(10, uint64(t.parent)) //nolint:gosec // positive
	if t.session {
		c = c.number(11, 1)
	}
	return message{}.bytes(1, c)
}

// send tells whether the stream has not ended.
func (e *events) send(kind uint16, m message) bool {
	frame := make([]byte, headerSize, headerSize+len(m))
	binary.LittleEndian.PutUint16(frame, headerSize)
	binary.LittleEndian.PutUint16(frame[2:], kind)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	if kind == msgConnect {
		e.calling.Add(1)
	}
	if err := protocol.Write(e.to, protocol.Event, append(frame, m...)); err != nil {
		e.once.Do(func() { close(e.lost) })
	}
	return true
}

func (e *events) started(t task, argv []string) {
	m := t.context().text(3, t.folder)
	m = m.texts(4, argv)
	e.send(msgStart, m)
}

func (e *events) executed(t task, p program, argv []string) {
	m := t.context().text(2, p.path).texts(3, argv)
	m = m.number(5, uint64(p.mode)).number(6, uint64(p.uid)).number(7, uint64(p.gid)).bytes(8, p.sha256[:])
	e.send(msgExec, m.number(10, p.inode).number(18, uint64(p.size))) //nolint:gosec // not negative
}

func (e *events) exited(t task, status uint32) {
	e.send(msgExit, t.context().number(2, uint64(status)))
}

// connected tells of a connection, unless the stream has ended: then there must not be one. After it, calling.Done is due
// once the host has seen the connection, or never will.
func (e *events) connected(t task, path string) bool {
	address := append(binary.LittleEndian.AppendUint16(nil, familyUnix), path...)
	return e.send(msgConnect, t.context().number(3, sysConnect).bytes(6, address)) // without an exit: it succeeded
}
