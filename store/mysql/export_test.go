package mysql

// Unfenced is a store that was planted a fault: it appends on a free number, whatever stands before it.
func Unfenced(o *Options) { o.insert = insertColumns + insertWritable }

// Connections is how many connections the store has now.
func (s *Store) Connections() int {
	n := s.readers.Stats().OpenConnections
	if s.writer != nil {
		n++
	}
	return n
}
