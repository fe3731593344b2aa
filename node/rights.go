package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/sterlingrun/sterling/cell"
	"github.com/sterlingrun/sterling/journal"
	"github.com/sterlingrun/sterling/ledger"
)

// rights are those that the journal gives to tokens, on a node that follows it: who was revoked is refused there, too.
// Where the node leads, the API sets them.
type rights struct {
	changed atomic.Bool // a block may have changed them since they were read

	mu   sync.Mutex // one at a time hands them on
	list atomic.Pointer[[]ledger.Principal]
}

// look sees whether a block may change rights: a decision may, because what was proposed can be a right.
func (r *rights) look(b *journal.Block) {
	for i := range b.Requests {
		if k := b.Requests[i].Kind; k == journal.KindPrincipals || k == journal.KindDecision {
			r.changed.Store(true)
			return
		}
	}
}

// followed reads the rights out of the state that this node has followed, if they may have changed.
func (n *Node) followed(s *ledger.State) {
	n.nameFolder()
	if first := n.rights.list.Load() == nil; !n.rights.changed.Swap(false) && !first {
		return
	}
	list := s.Principals()
	n.rights.list.Store(&list)
	if err := n.takeRights(nil); err != nil {
		n.fail(err)
	}
}

// nameFolder has the folder named before there is more in it of a journal whose first blocks another node has written.
func (n *Node) nameFolder() {
	ctx, cancel := context.WithTimeout(context.Background(), n.config.Store.Lease)
	defer cancel()
	switch err := n.identify(ctx); {
	case errors.Is(err, cell.ErrDamaged):
		n.fail(err)
	case err != nil:
		n.logger.Warn("the folder is not named yet after its journal; it is tried again", "error", err)
	}
}

// takeRights hands the rights that were read last to whoever verifies tokens, once there is somebody. It closes open
// (unless nil) in the same breath: a node that may lead from then on reads newer ones.
func (n *Node) takeRights(open chan struct{}) error {
	n.rights.mu.Lock()
	defer n.rights.mu.Unlock()
	if open != nil {
		defer close(open)
	} else {
		select {
		case <-n.opened:
		default:
			return nil // serve takes them over
		}
	}
	list := n.rights.list.Load()
	if list == nil { // the journal is this node's alone
		return nil
	}
	if err := n.access.setPrincipals(*list); err != nil {
		return fmt.Errorf("the journal's rights of tokens: %w", err)
	}
	return nil
}
