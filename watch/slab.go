package watch

// slab keeps records of one size in pages, so that millions of them are a handful of objects to the garbage collector,
// never move, and cost no copying as they grow. Places are reused, the last that was given back first: a function of
// the calls alone, so that a restored slab goes on as the one before would have.
type slab[T any] struct {
	pages [][]T
	size  uint32 // places that were ever used; place 0 never is
	free  []uint32
}

const pageBits = 10

// at returns the record at a place. The pointer holds until the place is given back.
func (s *slab[T]) at(i uint32) *T { return &s.pages[i>>pageBits][i&(1<<pageBits-1)] }

// take returns a place for a zero record.
func (s *slab[T]) take() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if s.size == 0 {
		s.size = 1
	}
	if int(s.size>>pageBits) == len(s.pages) {
		s.pages = append(s.pages, make([]T, 1<<pageBits))
	}
	s.size++
	return s.size - 1
}

// give takes a record back.
func (s *slab[T]) give(i uint32) {
	var zero T
	*s.at(i) = zero
	s.free = append(s.free, i)
}

// used is how many records there are.
func (s *slab[T]) used() int { return max(int(s.size)-1, 0) - len(s.free) }
