package index

// The memory of a buffer comes in pages that never move. One long slice would have to be made, and cleared, while
// everybody who asks waits: 20 ms for the next run's.

// entry is one value of a list.
type entry struct {
	value uint64
	prev  uint32 // the list's entry before
	aside uint32 // where in the arena stands what the value has with it; 0: nothing
}

const entryBits = 12

// entryPage has consecutive entries, and the account number of each: 0 for an entry of another list.
type entryPage struct {
	entries [1 << entryBits]entry
	owners  [1 << entryBits]uint32
}

// entries are numbered from 1 on; 0 stands for none. A copy may be read while entries are added: it has those that were
// there when it was made.
type entries struct {
	pages []*entryPage
	last  uint32
}

// at returns an entry that is there.
func (e *entries) at(i uint32) *entry { return &e.pages[i>>entryBits].entries[i&(1<<entryBits-1)] }

func (e *entries) add(v entry, owner uint32) uint32 {
	e.last++
	page, i := int(e.last>>entryBits), e.last&(1<<entryBits-1)
	if page == len(e.pages) {
		e.pages = append(e.pages, new(entryPage))
	}
	e.pages[page].entries[i], e.pages[page].owners[i] = v, owner
	return e.last
}

const arenaBits = 16

type arenaPage [1 << arenaBits]byte

// arena keeps short strings of bytes, each with its length before it and within one page. Place 0 stands for none. A
// copy may be read like one of entries.
type arena struct {
	pages []*arenaPage
	next  uint32
}

// add keeps a copy of up to 255 bytes and returns its place.
func (a *arena) add(b []byte) uint32 {
	const inPage = 1<<arenaBits - 1
	if a.next == 0 {
		a.next = 1
	}
	if int(a.next&inPage)+1+len(b) > 1<<arenaBits {
		a.next = (a.next | inPage) + 1
	}
	page, i := int(a.next>>arenaBits), a.next&inPage
	if page == len(a.pages) {
		a.pages = append(a.pages, new(arenaPage))
	}
	at := a.next
	a.pages[page][i] = byte(len(b)) //nolint:gosec // see above
	copy(a.pages[page][i+1:], b)
	a.next += 1 + uint32(len(b)) //nolint:gosec // see above
	return at
}

// at returns what is kept at a place, in the arena's memory; nil for 0.
func (a *arena) at(place uint32) []byte {
	if place == 0 {
		return nil
	}
	page, i := a.pages[place>>arenaBits], place&(1<<arenaBits-1)
	return page[i+1 : i+1+uint32(page[i])]
}

// size is how many bytes are used.
func (a *arena) size() int { return int(a.next) }
