// Package local keeps a cell's journal and snapshots in a folder of one machine: preallocated segment files, written
// by sectors that carry a checksum, one fdatasync for every block. It implements cell.Log and cell.Snapshots. It never
// decides what a block means, never repairs damage by guessing (a torn tail is cut, everything else stops it), and
// never deletes a block: an old segment may be moved to an archive folder, where it is read as before. Its files are specified in docs/formats.md.
//
// Start reading at Open (open.go), then Append (append.go), recovery (recover.go) and the layout of a sector
// (sector.go).
//
// Locks are taken in this order: Store.life, Store.archiving, Store.appending, Store.mu, segment.scan, files.mu.
package local
