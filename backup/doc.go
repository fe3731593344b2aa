// Package backup copies a cell's journal, block by block as it stands, into a repository of immutable objects, and
// brings it back up to any block or time. A repository is a folder or an S3-compatible store; its format is specified
// in docs/formats.md.
//
// It never writes a journal's files (Restore hands blocks to whoever appends them), never changes or trusts an object
// that it did not check, and never removes one that a backup needs. What a block means is not its business beyond
// header, hash and chain.
//
// Start reading at Run, then Restore, then Manifest, which binds a backup's objects together.
package backup
