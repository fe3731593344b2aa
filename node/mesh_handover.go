package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The handover of listeners to a new process, over a Unix socket that keeps messages apart:
//
//	new → old  take      "I start in your folder"
//	old → new  sockets   which they are, and the sockets themselves (SCM_RIGHTS); both can accept from here on
//	new → old  ready     "I serve"; without it, the old one goes on as if nothing had been
//	old → new  leaving   it keeps no certificates any more, and drains
const (
	handoverSocket  = "handover.sock"
	handoverTake    = "take"
	handoverReady   = "ready"
	handoverLeaving = "leaving"
	maxHandover     = 64 << 10
	maxSockets      = 253 // that one message carries (SCM_MAX_FD)
	// handoverTime is how long the new process may take to be ready, and answerTime how long a message.
	handoverTime = time.Minute
	answerTime   = 10 * time.Second
)

// handedSocket says which socket a descriptor is.
type handedSocket struct {
	Workload string `json:"workload"`
	Address  string `json:"address"`
}

// predecessor is the process that serves in the same folder.
type predecessor struct {
	conn    *net.UnixConn
	sockets map[string]map[string]socket // by workload and address
}

// askForSockets asks whoever serves in a folder for its sockets; nil: nobody does.
func askForSockets(path string) (*predecessor, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // nobody answers: there is nothing to take over
	}
	p := &predecessor{conn: conn, sockets: map[string]map[string]socket{}}
	if err := p.ask(); err != nil {
		p.close()
		return nil, fmt.Errorf("take over from the process that serves in this folder: %w", err)
	}
	return p, nil
}

func (p *predecessor) ask() error {
	if err := p.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := p.conn.Write([]byte(handoverTake)); err != nil {
		return err
	}
	text, rights := make([]byte, maxHandover), make([]byte, unix.CmsgSpace(4*maxSockets))
	n, r, _, _, err := p.conn.ReadMsgUnix(text, rights)
	if err != nil {
		return err
	}
	files, err := filesOf(rights[:r])
	defer func() {
		for _, f := range files {
			_ = f.Close() // the listeners have copies
		}
	}()
	if err != nil {
		return err
	}
	var list []handedSocket
	if err := json.Unmarshal(text[:n], &list); err != nil {
		return err
	}
	if len(list) != len(files) {
		return fmt.Errorf("%d sockets were named, %d came", len(list), len(files))
	}
	for i, named := range list {
		l, err := net.FileListener(files[i])
		if err != nil {
			return err
		}
		one, ok := l.(socket)
		if !ok {
			return errors.Join(errors.New("what came is no socket"), l.Close())
		}
		if p.sockets[named.Workload] == nil {
			p.sockets[named.Workload] = map[string]socket{}
		}
		p.sockets[named.Workload][named.Address] = one
	}
	return nil
}

// filesOf are the descriptors of a message.
func filesOf(rights []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "listener"))
		}
	}
	return files, nil
}

// of hands out the sockets of a workload, once.
func (p *predecessor) of(workload string) map[string]socket {
	out := map[string]socket{}
	if p != nil && p.sockets[workload] != nil {
		out = p.sockets[workload]
		delete(p.sockets, workload)
	}
	return out
}

// confirm tells the process before that it is not needed any more, and waits until it keeps no certificates. That it
// has ended is as good; that it goes on is an error: two would serve for ever.
func (p *predecessor) confirm() error {
	err := p.tell()
	if err == nil {
		return nil
	}
	conn, dialErr := net.Dial("unixpacket", p.conn.RemoteAddr().String())
	if dialErr != nil {
		return nil //nolint:nilerr // nobody is there any more
	}
	return errors.Join(err, conn.Close())
}

func (p *predecessor) tell() error {
	if err := p.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := p.conn.Write([]byte(handoverReady)); err != nil {
		return err
	}
	text := make([]byte, 16)
	n, err := p.conn.Read(text)
	if err == nil && string(text[:n]) != handoverLeaving {
		err = fmt.Errorf("it said %q", text[:n])
	}
	return err
}

func (p *predecessor) close() {
	if p == nil {
		return
	}
	_ = p.conn.Close() // all was said
	for _, sockets := range p.sockets {
		for _, socket := range sockets {
			_ = socket.Close() // of workloads that are no longer served
		}
	}
}

// offerSockets lets a process that starts in the same folder take over.
func (n *MeshNode) offerSockets() error {
	var err error
	if n.handover, err = replaceUnix("unixpacket", filepath.Join(n.config.Data, handoverSocket), 0o600); err != nil {
		return err
	}
	n.running.Go(func() {
		for {
			conn, err := n.handover.AcceptUnix()
			if err != nil {
				return // closed
			}
			gone, err := n.handOver(conn)
			if err != nil {
				n.log.Warn("listeners were not handed over", "error", err)
			}
			_ = conn.Close() // all was said
			if gone {
				n.log.Info("another process has taken over")
				close(n.taken)
				return
			}
		}
	})
	return nil
}

// handOver gives the sockets away, and tells whether another process serves them now.
func (n *MeshNode) handOver(conn *net.UnixConn) (bool, error) {
	if err := sameUser(conn); err != nil {
		return false, err
	}
	if err := hear(conn, handoverTake, answerTime); err != nil {
		return false, err
	}
	list, files, err := n.socketFiles()
	defer func() {
		for _, f := range files {
			_ = f.Close() // copies
		}
	}()
	if err != nil {
		return false, err
	}
	text, err := json.Marshal(list)
	if err != nil {
		return false, err
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	if len(text) > maxHandover || len(fds) > maxSockets {
		return false, fmt.Errorf("%d sockets: at most %d can be handed over", len(fds), maxSockets)
	}
	if _, _, err := conn.WriteMsgUnix(text, unix.UnixRights(fds...), nil); err != nil {
		return false, err
	}
	if err := hear(conn, handoverReady, handoverTime); err != nil {
		return false, fmt.Errorf("the new process did not become ready: %w", err)
	}
	n.stopKeepers()
	n.keepers.Wait()
	n.closeMetrics()
	_, err = conn.Write([]byte(handoverLeaving))
	return true, err
}

// hear waits for a message.
func hear(conn *net.UnixConn, want string, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	text := make([]byte, 16)
	n, err := conn.Read(text)
	if err == nil && string(text[:n]) != want {
		err = fmt.Errorf("want %q, got %q", want, text[:n])
	}
	return err
}

// socketFiles are copies of all sockets.
func (n *MeshNode) socketFiles() (list []handedSocket, files []*os.File, err error) {
	for _, s := range n.sidecars {
		s.mu.Lock()
		for address, socket := range s.sockets {
			f, err := copyOfSocket(socket)
			if err != nil {
				s.mu.Unlock()
				return nil, files, err
			}
			list, files = append(list, handedSocket{s.id.String(), address}), append(files, f)
		}
		s.mu.Unlock()
	}
	return list, files, nil
}
