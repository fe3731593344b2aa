package supervisor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sterlingrun/sterling/durable"
)

func (s *Supervisor) file(name string) string {
	return filepath.Join(s.o.Dir, servicesDir, name+".json")
}

// save keeps a service's state, if it is another than what is on disk. Where that fails, nothing that follows from the
// state may be done.
func (s *Supervisor) save(name string, u *unit) error {
	text, err := json.Marshal(&u.state)
	if err == nil && !bytes.Equal(text, u.saved) {
		err = durable.WriteFile(s.file(name), text)
	}
	if err != nil {
		err = fmt.Errorf("keep the state of %s: %w", name, err)
		if u.fault != err.Error() {
			u.fault = err.Error()
			s.o.Log.Error("nothing is done about a service until its state can be kept", "service", name, "error", err)
		}
		return err
	}
	u.fault, u.saved = "", text
	return nil
}

// remove forgets a service of which nothing is left.
func (s *Supervisor) remove(name string, u *unit) {
	for i := range u.state.Ended {
		if _, there := s.boxes[u.state.Ended[i].ID]; there {
			return
		}
	}
	if len(u.busy)+len(u.starting) > 0 {
		return
	}
	u.leave()
	select {
	case <-u.left:
	default:
		if u.left != nil {
			return // who is declared next by this name gets the same folders
		}
	}
	if err := os.RemoveAll(s.offer(name)); err != nil {
		s.o.Log.Error("remove the sockets of a service", "service", name, "error", err)
	}
	err := os.Remove(s.file(name))
	if err == nil {
		err = durable.SyncFolder(filepath.Join(s.o.Dir, servicesDir))
	}
	if err != nil {
		u.fault = err.Error()
		s.o.Log.Error("forget a service", "service", name, "error", err)
		return
	}
	delete(s.services, name)
	s.o.Log.Info("a service is removed", "service", name)
}
