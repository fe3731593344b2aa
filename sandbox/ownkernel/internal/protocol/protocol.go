// Package protocol is what the host and the init of a machine say to each other: streams over one serial port, and
// frames on the streams. It starts nothing and trusts neither end; sizes are bounded. Start reading at Order.
package protocol

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// A Kind says what a frame is.
type Kind byte

// The kinds of frames. The first one on a stream is an Ask.
const (
	Ask    Kind = iota + 1 // JSON: an Order from the host, a Call from the guest
	Ready                  // to a boot, or to a call for a socket: done
	Stdin                  // to a process; an empty one is the end
	Stdout                 // of a process
	Stderr                 // of a process
	Signal                 // to a process: its number, one byte
	Exit                   // of a process: its status as shells give it, one byte. The last frame
	Fault                  // what was asked for was not done: text. The last frame
	Event                  // a message as gVisor's kernel writes it for its remote sink
	lastKind
)

// Bounds of frames.
const (
	MaxFrame = 256 << 10 // bytes of a payload
	MaxOrder = 4 << 20   // bytes of the payload of an Order
	headSize = 5
)

// Order is what the host asks for: one of its parts.
type Order struct {
	Boot *Boot `json:"boot,omitempty"`
	Run  *Run  `json:"run,omitempty"`
}

// Boot makes the machine ready for a workload. There is one.
type Boot struct {
	Hostname  string   `json:"hostname"`
	Disk      bool     `json:"disk"` // a root file system is there; without it the machine only answers
	Writable  bool     `json:"writable"`
	Memory    []Memory `json:"memory"`
	Secrets   []Secret `json:"secrets"`
	Sockets   []Socket `json:"sockets"`
	Processes int      `json:"processes"`
	OpenFiles uint64   `json:"open_files"`
	FileSize  uint64   `json:"file_size"` // bytes; zero is no limit
	UID       uint32   `json:"uid"`
	GID       uint32   `json:"gid"`
	Env       []string `json:"env"`
	Folder    string   `json:"folder"` // where processes start
}

// Memory is a file system in memory.
type Memory struct {
	Target string `json:"target"`
	Size   int64  `json:"size"` // bytes
}

// Secret is a file that processes may read.
type Secret struct {
	Name string `json:"name"`
	Text []byte `json:"text"`
}

// Socket is one that processes connect to, with the owner and mode of the host's.
type Socket struct {
	Name string `json:"name"`
	UID  uint32 `json:"uid"`
	GID  uint32 `json:"gid"`
	Mode uint32 `json:"mode"`
}

// Run starts a process with the user, the environment and the folder of the boot.
type Run struct {
	Argv []string `json:"argv"`
	// Main is the workload: when it ends, everything does. It reads nothing.
	Main bool `json:"main"`
}

// Call is what the guest opens a stream for: its events, or, with a name, a connection to that socket. After the Ask, a
// connection's stream is its bytes, and a Ready of the host, which says that it has counted the connection, before them.
type Call struct {
	Events bool   `json:"events,omitempty"`
	Socket string `json:"socket,omitempty"`
}

// Config is that of both ends. A machine that is frozen answers nothing for as long as it takes.
func Config() *yamux.Config {
	c := yamux.DefaultConfig()
	c.EnableKeepAlive = false
	c.AcceptBacklog = 32 // what a hostile guest can make the host keep: so many windows of 256 KiB, and those of open streams
	c.ConnectionWriteTimeout = 365 * 24 * time.Hour
	c.StreamOpenTimeout, c.StreamCloseTimeout = 0, 0
	c.LogOutput = io.Discard
	return c
}

// Write writes a frame.
func Write(w io.Writer, k Kind, payload []byte) error {
	if len(payload) > MaxOrder {
		return fmt.Errorf("a frame of %d bytes, at most %d", len(payload), MaxOrder)
	}
	b := make([]byte, headSize, headSize+len(payload))
	b[0] = byte(k)
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload))) //nolint:gosec // checked
	_, err := w.Write(append(b, payload...))
	return err
}

// WriteAsk writes the first frame of a stream.
func WriteAsk(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return Write(w, Ask, text)
}

// Read reads a frame of at most so many bytes. It reads nothing beyond it.
func Read(r io.Reader, most int) (Kind, []byte, error) {
	var head [headSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	k, size := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	if k == 0 || k >= lastKind || uint64(size) > uint64(most) { //nolint:gosec // a bound of ours
		return 0, nil, fmt.Errorf("a frame of kind %d with %d bytes", k, size)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("a frame ends early: %w", err)
	}
	return k, payload, nil
}

// ReadAsk reads the first frame of a stream.
func ReadAsk(r io.Reader, most int, v any) error {
	k, payload, err := Read(r, most)
	if err == nil && k != Ask {
		err = fmt.Errorf("a stream begins with a frame of kind %d", k)
	}
	if err == nil {
		err = json.Unmarshal(payload, v)
	}
	if err != nil {
		return fmt.Errorf("read what a stream is for: %w", err)
	}
	return nil
}

// Frames writes what it is given as frames of one kind, each of at most 32 KiB.
type Frames struct {
	To   io.Writer
	Kind Kind
}

// Write implements io.Writer.
func (f Frames) Write(p []byte) (int, error) {
	const most = 32 << 10
	for n := 0; n < len(p); n += most {
		if err := Write(f.To, f.Kind, p[n:min(len(p), n+most)]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}
