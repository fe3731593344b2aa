// Package h1 is the HTTP/1.1 codec of the node proxy: it reads heads and bodies from a buffer that its caller fills.
// It is stricter than RFC 9112 asks of a recipient wherever leniency lets two parties disagree on where a message
// ends, which is what request smuggling lives on: line ends are CRLF, a message has one framing, a length is digits.
//
// It never touches a socket's deadlines, never guesses at a malformed message and never resynchronises: after an
// [Error] the connection is of no further use.
//
// Start reading at [Reader.Request]; body.go has the bodies, fields.go the header fields.
package h1
