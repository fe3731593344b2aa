// Package keystore keeps the keys that personal metadata is encrypted with, one for each subject, outside of the
// journal, and destroys them: a journal is never rewritten, so destroying the key is what erases the data.
//
// It never writes a key in clear (the files hold keys wrapped by keys that a master key wraps), never gives a key to a
// subject that was erased, never knows what the values mean, and never touches the journal: who erases has journaled
// that before. Start reading at [Store.Seal], then [Store.Erase]; the files are described in docs/formats.md, and why
// they are as they are in docs/adr/0009-erasure.md.
package keystore
