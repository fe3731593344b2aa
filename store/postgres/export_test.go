package postgres

// Unfenced is a store that was planted a fault: it appends on a free number, whatever stands before it.
func Unfenced(o *Options) { o.insert = insertColumns + insertOnce }
