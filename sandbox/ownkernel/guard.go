package ownkernel

import (
	"encoding/binary"
	"errors"
	"net"
)

// What of a frame of yamux a guard looks at (https://github.com/hashicorp/yamux/blob/master/spec.md).
const (
	frameHead   = 12
	frameTypeAt = 1
	frameSizeAt = 8
	frameData   = 0 // the only type that is followed by so many bytes
	framePing   = 2
)

// errPing is for a guest that is not our init, which never asks whether somebody is there.
var errPing = errors.New("the machine pings: that would cost the host memory for each that it does not take the answer of")

// A guard ends what a guest says at its first ping: yamux answers each by a goroutine, which waits for as long as the
// guest does not read.
type guard struct {
	net.Conn
	refuse func(error)

	head [frameHead]byte
	have int    // bytes of the head
	left uint32 // bytes of data until the next head
}

// Read implements net.Conn.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if bad := g.look(p[:n]); bad != nil {
		g.refuse(bad)
		return 0, bad
	}
	return n, err
}

func (g *guard) look(p []byte) error {
	for len(p) > 0 {
		if g.left > 0 {
			skip := min(len(p), int(g.left))
			g.left -= uint32(skip) //nolint:gosec // at most left
			p = p[skip:]
			continue
		}
		n := copy(g.head[g.have:], p)
		g.have, p = g.have+n, p[n:]
		if g.have < frameHead {
			return nil
		}
		g.have = 0
		switch g.head[frameTypeAt] {
		case framePing:
			return errPing
		case frameData:
			g.left = binary.BigEndian.Uint32(g.head[frameSizeAt:])
		}
	}
	return nil
}
