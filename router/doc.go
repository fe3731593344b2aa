// Package router knows which cell has which account, and brings transfers between cells to their end.
//
// Start reading at Map.
package router
