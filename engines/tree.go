package engines

// An entry is what the system tells of a process.
type entry struct {
	parent int
	zombie bool // ended, and not waited for yet
}

// descendants returns the pids of all processes below pid, children before their own children.
func descendants(pid int) ([]int, error) {
	table, err := processTable()
	if err != nil {
		return nil, err
	}
	below := map[int][]int{}
	for child, e := range table {
		if !e.zombie {
			below[e.parent] = append(below[e.parent], child)
		}
	}
	found := append([]int(nil), below[pid]...)
	for i := 0; i < len(found); i++ {
		found = append(found, below[found[i]]...)
	}
	return found, nil
}
